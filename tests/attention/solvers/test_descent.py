"""Step sizes, damping, momentum and sweeps: loops by hand, and what is promised of the energy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.attention import relax
from attenergy.attention.solvers.catalogue import check_solver, trainable
from attenergy.energies import domain_of, guarantee_of, make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import build, draw, float64, random_case, variations

REGISTRY = load_registry(plugins=False)
PROMISED = [n for n, spec in REGISTRY.energies.items() if guarantee_of(spec) != "none"]
H, L, S, D = 2, 3, 5, 4


def make(name, num_heads=None, dim=D, **chosen):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **chosen)


def pull(xi, X, beta):
    """The gradient of log-sum-exp, by hand."""
    return xi - torch.softmax(beta * xi @ X.mT, -1) @ X


def test_a_step_size_for_every_step():
    energy, xi, X = make("lse", beta=1.3), draw(1, L, D), draw(2, S, D)
    state = xi
    for gamma in (1.5, 0.2, 0.9):
        state = state - gamma * pull(state, X, 1.3)
    got = relax(energy, xi, X, steps=3, step_size=[1.5, 0.2, torch.tensor(0.9)]).state
    torch.testing.assert_close(got, state)


def test_a_step_size_for_every_head_and_every_state():
    energy = make("lse", H, beta=1.3)
    xi, X = draw(1, H, L, D), draw(2, H, S, D)
    for gamma in (torch.tensor([0.5, 1.5]).view(H, 1, 1), draw(3, H, L, 1).sigmoid()):
        got = relax(energy, xi, X, step_size=gamma.double()).state
        torch.testing.assert_close(got, xi - gamma * pull(xi, X, 1.3))


@pytest.mark.parametrize("solver", ["descent", "semi_implicit", "coordinate_descent"])
def test_step_sizes_of_each_step_are_learned_by_every_solver(solver):
    energy, xi, X = make("graph_hopfield"), draw(1, L, D), draw(2, S, D)
    gammas = [torch.tensor(g, dtype=torch.float64, requires_grad=True) for g in (0.5, 0.8)]
    assert torch.autograd.gradcheck(
        lambda *g: relax(energy, xi, X, steps=2, step_size=g, solver=solver).state, gammas
    )


def test_damping_in_free_space_is_a_smaller_step():
    energy, xi, X = make("lse"), draw(1, L, D), draw(2, S, D)
    got = relax(energy, xi, X, steps=3, step_size=1.5, damping=0.4).state
    torch.testing.assert_close(got, relax(energy, xi, X, steps=3, step_size=0.9).state)


def test_damped_magnetisations():
    """m <- 0.7 tanh(beta (J m + b)) + 0.3 m, with J and b read off the energy."""
    energy, m = make("tap", beta=0.8), torch.tanh(draw(1, L, D))
    X = draw(2, S, D)
    undamped = relax(energy, m, X, step_size=1.0).state
    got = relax(energy, m, X, step_size=1.0, damping=0.3).state
    torch.testing.assert_close(got, 0.7 * undamped + 0.3 * m)


@pytest.mark.parametrize("name", ["polynomial", "vector_spins", "et_memory", "causal_tokens"])
def test_damped_states_stay_on_the_sphere(name):
    """Between two points of a sphere lies none of it: the mixture is projected back."""
    energy = make(name)
    xi = energy.from_real(draw(1, L, D))
    X = draw(2, S, D) if energy.reads_patterns else xi
    for steps in (1, 2):
        got = relax(energy, xi, X, steps=steps, step_size=1.0, damping=0.4).state
        torch.testing.assert_close(got.square().mean(-1), torch.ones(got.shape[:-1]).double())
        if energy.spec.domain == "layer_norm":
            torch.testing.assert_close(got.mean(-1), torch.zeros(got.shape[:-1]).double())
        want = xi
        for _ in range(steps):
            stored = X if energy.reads_patterns else want
            moved = relax(energy, want, stored, step_size=1.0).state
            mixed = 0.6 * moved + 0.4 * want
            want = mixed / mixed.square().mean(-1, keepdim=True).sqrt()
        torch.testing.assert_close(got, want)


def test_momentum_is_the_heavy_ball():
    energy, xi, X = make("lse", beta=1.3), draw(1, L, D), draw(2, S, D)
    before, state = xi, xi
    for _ in range(4):
        new = state - 0.4 * pull(state, X, 1.3) + 0.6 * (state - before)
        before, state = state, new
    got = relax(energy, xi, X, steps=4, step_size=0.4, momentum=0.6).state
    torch.testing.assert_close(got, state)


def test_momentum_raises_the_energy_where_plain_steps_do_not():
    energy, xi, X = make("gaussian_spins", coupling=0.9), draw(1, 9, D), draw(2, S, D)
    plain = relax(energy, xi, X, steps=40, step_size=1.0, trace=True)
    heavy = relax(energy, xi, X, steps=40, step_size=1.0, momentum=0.9, trace=True)
    assert plain.guarantee
    assert not heavy.guarantee
    assert (plain.energies.diff(dim=0) <= 1e-12).all()
    assert (heavy.energies.diff(dim=0) > 1e-3).any()


@pytest.mark.by_kind
@pytest.mark.parametrize("name", PROMISED)
@given(share=st.floats(0.02, 1.0), damping=st.floats(0.0, 0.9), seed=st.integers(0, 100))
@settings(max_examples=3)
def test_steps_that_promise_descent_keep_it(name, share, damping, seed):
    """With a field, a mask and any gamma in the range; damped as well, but for spins."""
    spec = REGISTRY.energies[name]
    energy = build(spec, seed)
    at_once = guarantee_of(spec) == "parallel"
    largest = min(domain_of(spec).largest_step, 10.0)
    options = {"damping": damping} if at_once and not domain_of(spec).discrete else {}
    for case in variations(energy, seed):
        result = relax(
            energy, case.xi, case.X, mask=case.mask, field=case.field, steps=3, trace=True,
            step_size=share * largest, solver="descent" if at_once else "coordinate_descent",
            **options,
        )  # fmt: skip
        assert result.guarantee
        assert result.no_guarantee == ""
        rises = result.energies.diff(dim=0) / (1 + result.energies[:-1].abs())
        assert rises.max() <= 1e-9


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lse", {"step_size": 2.5}, "step sizes from 0 to 2 are safe, 2.5 is not"),
        ("lse", {"step_size": [1.0, 3.0]}, "3 is not among them"),
        ("lse", {"step_size": torch.tensor([[1.0], [2.5], [0.5]])}, "a tensor is not among them"),
        ("lse", {"step_size": torch.tensor(2.5)}, "a tensor is not among them"),
        ("lse", {"momentum": 0.1}, "momentum may raise the energy"),
        ("lse", {"solver": "langevin", "step_size": 0.1}, "noise raises the energy"),
        ("learned", {}, "promises no descent"),
        ("potts", {"step_size": 0.5}, "one site after the other, not all at once"),
        ("potts", {"solver": "coordinate_descent", "step_size": 1.5}, "from 0 to 1 are safe"),
    ],
)
def test_what_has_no_guarantee_says_so(name, options, message):
    case = random_case(make(name))
    result = relax(case.energy, case.xi[0], case.X[0], **{"steps": 2, **options})
    assert not result.guarantee
    assert message in result.no_guarantee


@pytest.mark.parametrize("gamma", [1.99, torch.tensor([[1.0], [1.5], [0.1]]), [0.1, 2.0]])
def test_what_has_a_guarantee_says_so(gamma):
    assert relax(make("lse"), draw(1, L, D), draw(2, S, D), steps=2, step_size=gamma).guarantee


def test_step_sizes_beyond_the_range_do_raise_the_energy():
    energy, xi, X = make("lse"), draw(1, L, D), draw(2, S, D)
    result = relax(energy, xi, X, steps=5, step_size=2.5, trace=True)
    assert (result.energies.diff(dim=0) > 0).any()


@pytest.mark.parametrize("name", ["polynomial", "et_memory"])
def test_components_that_are_tied_do_not_move_alone(name):
    with pytest.raises(ValueError, match="are tied"):
        relax(make(name), draw(1, L, D), draw(2, S, D), solver="coordinate_descent")
    with pytest.raises(ValueError, match="are tied"):
        check_solver("coordinate_descent", make(name))


def test_the_trace_has_states_and_entropies():
    energy, xi, X = make("lse", beta=0.7), draw(1, L, D), draw(2, S, D)
    mask = torch.ones(L, S, dtype=torch.bool)
    mask[0, 1:] = mask[1] = False
    result = relax(energy, xi, X, mask=mask, steps=3, step_size=0.5, trace=True)
    assert result.states.shape == (4, L, D)
    assert torch.equal(result.states[0], xi)
    assert torch.equal(result.states[-1], result.state)
    weights = torch.softmax(0.7 * result.states[:, 2] @ X.mT, -1)
    want = -(weights * weights.log()).sum(-1)
    torch.testing.assert_close(result.entropies[:, 2], want)
    assert (result.entropies[:, :2] == 0).all()  # one pattern, and none
    assert relax(make("learned"), xi, X, trace=True).entropies is None
    untraced = relax(energy, xi, X)
    assert untraced.states is None
    assert untraced.entropies is None
    assert untraced.converged is None


def test_entropy_of_weights_that_are_no_distribution():
    """Weights s of linear attention, of both signs: the shares of their sizes."""
    energy, xi, X = make("linear_attention"), draw(1, L, D), draw(2, S, D)
    entropies = relax(energy, xi, X, steps=0, trace=True).entropies[0]
    shares = (xi @ X.mT).abs()
    shares = shares / shares.sum(-1, keepdim=True)
    torch.testing.assert_close(entropies, -(shares * shares.log()).sum(-1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": [1.0]}, "step_size lists 1 numbers, there are 2 steps"),
        ({"step_size": [1.0, 0.0]}, "step_size must be above 0, got 0.0"),
        ({"step_size": torch.ones(2)}, r"broadcastable to \(..., L, 1\), got \(2,\)"),
        ({"damping": 1.0}, r"damping must lie in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, r"momentum must lie in \[0, 1\), got -0.1"),
        ({"tolerance": 0.1}, "tolerance is for 'fixed_point', the solver is 'descent'"),
        ({"temperature": 1.0}, "temperature and generator are for 'langevin'"),
        (
            {"solver": "coordinate_descent", "momentum": 0.1},
            "are for 'descent' and 'semi_implicit'",
        ),
        ({"stepsize": 0.1}, r"no argument 'stepsize' \(did you mean 'step_size'\?\)"),
        ({"solver": "implict"}, r"no solver 'implict' \(did you mean 'semi_implicit'\?\)"),
        ({"solver": "fixed_point", "step_size": [1.0, 1.0]}, "takes one step_size for all steps"),
        ({"solver": "fixed_point", "tolerance": -1.0}, "tolerance must be a number from 0, got -1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        relax(make("lse"), draw(1, L, D), draw(2, S, D), **{"steps": 2, **options})


def test_spins_are_not_damped():
    with pytest.raises(ValueError, match="spins, which cannot be damped"):
        relax(make("classical_hopfield"), draw(1, L, D), draw(2, S, D), damping=0.1)


def test_all_solvers_but_the_noisy_one_are_trained_through():
    """Gradients with respect to the patterns."""
    energy, xi = make("gaussian_spins"), draw(1, L, D)
    assert "langevin" not in trainable()
    for solver in trainable():
        X = draw(2, S, D).requires_grad_()
        relax(energy, xi, X, steps=100, solver=solver, step_size=0.9).state.sum().backward()
        assert (X.grad.abs() > 1e-6).all()


@pytest.mark.parametrize("solver", ["descent", "semi_implicit"])
def test_the_whole_relaxation_is_one_graph(solver):
    energy = make("graph_hopfield", H)
    xi, X, gamma = draw(1, H, L, D), draw(2, H, S, D), torch.full((H, 1, 1), 0.5).double()

    def run(xi, X, gamma):
        options = {"solver": solver, "momentum": 0.3, "damping": 0.1}
        return relax(energy, xi, X, steps=2, step_size=[gamma, 0.7], **options).state

    torch.compiler.reset()
    compiled = torch.compile(run, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(xi, X, gamma), run(xi, X, gamma))
    mapped = torch.vmap(run, in_dims=(0, 0, None))(
        torch.stack([xi, 2 * xi]), torch.stack([X, X]), gamma
    )
    torch.testing.assert_close(mapped[1], run(2 * xi, X, gamma))
