"""Implicit steps: linear systems solved by hand, and descent however strong the coupling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.attention import gradient, relax
from attenergy.attention.solvers.catalogue import check_solver
from attenergy.energies import adjacency, make_energy
from attenergy.energies.graphs import couplings
from attenergy.energies.graphs.couplings import coupling_matrix, normalised
from attenergy.registry import load_registry
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)
COUPLED = ("graph_hopfield", "gaussian_spins")
H, L, S, D = 2, 6, 5, 4


def make(name, num_heads=None, **chosen):
    with float64():
        return make_energy(name, dim=D, num_heads=num_heads, registry=REGISTRY, **chosen)


def laplacian(rule):
    edges = adjacency(rule, L)
    scale = edges.sum(-1).rsqrt()
    return torch.eye(L).double() - scale[:, None] * edges * scale


def test_a_step_of_a_graph_hopfield_network_solves_for_the_new_states():
    """(1 + 2 c Lap) xi_new = X' softmax(beta X xi)."""
    c, beta = 3.0, 0.8
    energy = make("graph_hopfield", graph="ring", coupling=c, beta=beta)
    xi, X = draw(1, L, D), draw(2, S, D)
    read = torch.softmax(beta * xi @ X.mT, -1) @ X
    want = torch.linalg.solve(torch.eye(L).double() + 2 * c * laplacian("ring"), read)
    torch.testing.assert_close(
        relax(energy, xi, X, solver="semi_implicit", step_size=1.0).state, want
    )
    half = relax(energy, xi, X, solver="semi_implicit", step_size=0.5).state
    torch.testing.assert_close(half, 0.5 * want + 0.5 * xi)


@pytest.mark.parametrize("kind", ["ferromagnetic", "spin_glass"])
def test_one_step_of_gaussian_spins_is_their_fixed_point(kind):
    """(I - c K)^-1 b, where plain steps need hundreds."""
    energy = make("gaussian_spins", graph="ring", coupling=0.95, couplings=kind)
    X, eye = draw(2, L, D), torch.eye(L, dtype=torch.bool)  # state i sees pattern i
    K = normalised(coupling_matrix(kind, "ring", L))
    want = torch.linalg.solve(eye.double() - 0.95 * K, X)
    result = relax(energy, draw(1, L, D), X, mask=eye, solver="semi_implicit", step_size=1.0)
    torch.testing.assert_close(result.state, want)


def test_both_ways_lead_to_the_same_place():
    """Many small explicit steps, and implicit ones, from the same start to the same minimum."""
    energy = make("graph_hopfield", coupling=0.7, beta=0.5)
    xi, X = draw(1, L, D), draw(2, S, D)
    solved = relax(energy, xi, X, solver="semi_implicit", steps=100).state
    stepped = relax(energy, xi, X, steps=1000, step_size=0.3).state
    assert gradient(energy, solved, X).abs().max() < 1e-12
    torch.testing.assert_close(stepped, solved, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("rule", ["ring", "complete", "watts_strogatz"])
@given(
    strength=st.floats(0.01, 0.99),
    gamma=st.floats(0.01, 1.99),
    beta=st.sampled_from([0.1, 1, 100]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=8)
def test_no_step_raises_the_energy(name, rule, strength, gamma, beta, seed):
    """Couplings of the network up to 100, where the longest safe explicit step is 2/401."""
    chosen = {"beta": beta, "coupling": 100 * strength} if name == COUPLED[0] else {}
    chosen = chosen or {"coupling": strength, "couplings": "plus_minus"}
    energy = make(name, H, graph=rule, **chosen)
    mask = torch.rand(2, 1, L, S, generator=torch.Generator().manual_seed(seed)) < 0.6
    xi, X, field = draw(seed, 2, H, L, D), draw(seed + 1, 2, H, S, D), draw(seed + 2, 1, L, S)
    for seen, h in ((None, field), (mask, None)):
        result = relax(
            energy, xi, X, mask=seen, field=h, steps=4, step_size=gamma, solver="semi_implicit",
            trace=True,
        )  # fmt: skip
        assert result.guarantee
        rises = result.energies.diff(dim=0) / (1 + result.energies[:-1].abs())
        assert rises.max() <= 1e-10


@pytest.mark.parametrize("name", COUPLED)
def test_the_form_is_the_linear_part_of_the_gradient(name):
    """Differences of gradients on one pattern, which pulls the same anywhere."""
    energy, X = make(name, H, graph="ring", coupling=0.4), draw(2, H, 1, D)
    seen = torch.ones(H, L, 1, dtype=torch.bool)
    seen[1, 2] = False
    a, b = draw(3, H, L, D), draw(4, H, L, D)
    alive = seen.any(-1, keepdim=True)
    got = energy.quadratic_form(a, seen) @ (alive * (a - b))
    want = gradient(energy, a, X, mask=seen) - gradient(energy, b, X, mask=seen)
    torch.testing.assert_close(alive * got, want)


def test_graphs_of_each_sample():
    energy = make("graph_hopfield", coupling=1.5)
    edges = torch.stack([adjacency("ring", L), adjacency("complete", L)])
    xi, X = draw(1, 2, L, D), draw(2, 2, S, D)
    both = relax(energy.use_graph(edges), xi, X, solver="semi_implicit").state
    for i in range(2):
        alone = relax(energy.use_graph(edges[i]), xi[i], X[i], solver="semi_implicit").state
        torch.testing.assert_close(both[i], alone)


def test_a_long_list_of_edges_is_the_matrix(monkeypatch):
    energy, xi, X = make("graph_hopfield", graph="ring"), draw(1, 20, D), draw(2, S, D)
    want = relax(energy, xi, X, solver="semi_implicit").state
    monkeypatch.setattr(couplings, "SPARSE_NODES", 10)
    monkeypatch.setattr(couplings, "SPARSE_SHARE", 1.0)
    torch.testing.assert_close(relax(energy, xi, X, solver="semi_implicit").state, want)


@pytest.mark.parametrize("name", COUPLED)
def test_states_that_see_nothing_stay_and_pull_on_none(name):
    energy, xi, X = make(name, graph="ring"), draw(1, L, D), draw(2, S, D)
    mask = torch.ones(L, S, dtype=torch.bool)
    mask[2] = False
    state = relax(energy, xi, X, mask=mask, solver="semi_implicit", steps=2).state
    other = xi.clone()
    other[2] = 100.0
    again = relax(energy, other, X, mask=mask, solver="semi_implicit", steps=2).state
    assert torch.equal(state[2], xi[2])
    torch.testing.assert_close(again[[0, 1, 3, 4, 5]], state[[0, 1, 3, 4, 5]])


@pytest.mark.parametrize("name", COUPLED)
def test_damping_keeps_a_share_of_the_old_states(name):
    energy, xi, X = make(name), draw(1, L, D), draw(2, S, D)
    step = {"solver": "semi_implicit", "step_size": 1.0}
    want = xi
    for _ in range(2):
        want = 0.6 * relax(energy, want, X, **step).state + 0.4 * want
    got = relax(energy, xi, X, steps=2, damping=0.4, **step).state
    torch.testing.assert_close(got, want)
    assert not torch.allclose(got, relax(energy, xi, X, steps=2, **step).state)


@pytest.mark.parametrize("name", COUPLED)
def test_gradients(name):
    energy, xi = make(name, H), draw(1, H, L, D).requires_grad_()
    X, field = draw(2, H, 3, D).requires_grad_(), draw(3, L, 3).requires_grad_()

    def run(xi, X, field, *_):
        return relax(
            energy, xi, X, field=field, steps=2, step_size=0.8, solver="semi_implicit"
        ).state

    leaves = (xi, X, field, *energy.parameters())
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


def test_half_precision_is_solved_in_single():
    energy = make_energy("graph_hopfield", dim=D, registry=REGISTRY).bfloat16()
    result = relax(
        energy, draw(1, L, D).bfloat16(), draw(2, S, D).bfloat16(), solver="semi_implicit"
    )
    assert result.state.dtype == torch.bfloat16
    assert result.state.isfinite().all()


@pytest.mark.parametrize("name", [n for n in REGISTRY.energies if n not in COUPLED])
def test_energies_without_such_a_part_refuse(name):
    with pytest.raises(ValueError, match="no quadratic term between states to solve for"):
        check_solver("semi_implicit", make(name))
    if name == "lse":
        with pytest.raises(ValueError, match="take the solver 'descent'"):
            relax(make(name), draw(1, L, D), draw(2, S, D), solver="semi_implicit")
