"""`relax` against loops written by hand."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import SOLVERS, Relaxation, backends, gradient, relax
from attenergy.energies import guarantee_of, make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
B, H, L, S, D = 2, 3, 4, 5, 6


def make(name, num_heads=None, dim=D, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def masks():
    padding = torch.ones(B, 1, 1, L, dtype=torch.bool)
    padding[0, ..., -1] = padding[1, ..., :2] = False
    causal = torch.ones(L, L, dtype=torch.bool).tril()
    return {"none": None, "padding": padding, "causal": causal, "both": padding & causal}


@pytest.mark.parametrize("backend", ["eager", "scores", "sdpa"])
@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
def test_one_step_of_log_sum_exp_is_attention(backend, kind):
    """In float32, values and gradients."""
    mask = masks()[kind]
    energy = make_energy("lse", dim=D, num_heads=H, registry=REGISTRY)
    leaves = [draw(B, H, L, D, dtype=torch.float32).requires_grad_() for _ in range(2)]
    got = relax(energy, *leaves, mask=mask, step_size=1.0, backend=backend).state
    want = scaled_dot_product_attention(leaves[0], leaves[1], leaves[1], attn_mask=mask)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    weight = draw(B, H, L, D, dtype=torch.float32)
    for mine, theirs in zip(
        torch.autograd.grad((got * weight).sum(), leaves),
        torch.autograd.grad((want * weight).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("backend", ["eager", "scores", "sdpa"])
def test_several_steps_of_log_sum_exp(backend):
    energy, xi, X = make("lse", beta=1.3), draw(L, D), draw(S, D)
    state = xi
    for _ in range(4):
        state = state - 0.7 * (state - torch.softmax(1.3 * state @ X.mT, -1) @ X)
    got = relax(energy, xi, X, steps=4, step_size=0.7, backend=backend)
    torch.testing.assert_close(got.state, state)
    assert got == Relaxation(got.state)


def test_several_steps_on_the_sphere():
    """beta cancels: relu(beta s)^3/(3 beta) pulls by relu(beta s)^2 / 1, then the length is set."""
    energy, xi, X = make("polynomial", beta=0.5), draw(L, D), draw(S, D)
    state = math.sqrt(D) * xi / xi.norm(dim=-1, keepdim=True)
    for _ in range(3):
        state = state + 0.4 * torch.relu(0.5 * state @ X.mT) ** 2 @ X
        state = math.sqrt(D) * state / state.norm(dim=-1, keepdim=True)
    got = relax(energy, xi, X, steps=3, step_size=0.4).state
    torch.testing.assert_close(got, state)
    start = relax(energy, xi, X, steps=0).state
    torch.testing.assert_close(start.norm(dim=-1), torch.full((L,), math.sqrt(D)).double())


def test_several_steps_of_a_graph():
    """Complete graph of L nodes: Lap = (L I - 1 1')/(L - 1); the step divides by 1 + 4 c."""
    c, beta = 0.3, 0.8
    energy = make("graph_hopfield", graph="complete", coupling=c, beta=beta)
    xi, X = draw(L, D), draw(S, D)
    laplacian = (L * torch.eye(L) - torch.ones(L, L)).double() / (L - 1)
    state = xi
    for _ in range(3):
        grad = state - torch.softmax(beta * state @ X.mT, -1) @ X + 2 * c * laplacian @ state
        state = state - 1.5 * grad / (1 + 4 * c)
    got = relax(energy, xi, X, steps=3, step_size=1.5).state
    torch.testing.assert_close(got, state)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["none", "both"])
def test_the_trace(name, kind, stored):
    energy, mask = make(name, H), masks()[kind]
    xi, X, field = draw(B, H, L, D), draw(B, H, L, D), draw(H, L, L)
    result = relax(energy, xi, X, mask=mask, field=field, steps=3, step_size=0.5, trace=True)
    axes = (B, H) if energy.states_interact else (B, H, L)
    assert result.energies.shape == (4, *axes)
    assert result.residuals.shape == (3, B, H, L)
    for count in range(4):
        part = relax(energy, xi, X, mask=mask, field=field, steps=count, step_size=0.5).state
        patterns = stored(energy, part, X)
        wanted = energy(part, patterns, mask=mask, field=field)
        torch.testing.assert_close(result.energies[count], wanted)
        if count < 3:
            step = gradient(energy, part, patterns, mask=mask, field=field)
            curvature = energy.curvature(part, patterns, mask, field)
            step = step if curvature is None else step / curvature
            torch.testing.assert_close(result.residuals[count], step.norm(dim=-1))
    torch.testing.assert_close(result.state, part)


@pytest.mark.parametrize("name", [n for n in NAMES if guarantee_of(REGISTRY.energies[n]) != "none"])
@pytest.mark.parametrize("kind", ["none", "both"])
def test_no_step_of_the_promised_kind_raises_the_energy(name, kind):
    energy, mask, solver = make(name, H), masks()[kind], "descent"
    if guarantee_of(REGISTRY.energies[name]) == "sequential":
        solver = "coordinate_descent"
    xi, X, field = draw(B, H, L, D), draw(B, H, L, D), draw(H, L, L)
    given = {"mask": mask, "field": field, "steps": 3, "step_size": 0.5, "trace": True}
    energies = relax(energy, xi, X, solver=solver, **given).energies
    assert (energies[1:] <= energies[:-1] + 1e-9).all()


def test_a_trace_of_no_steps():
    result = relax(make("lse"), draw(L, D), draw(S, D), steps=0, trace=True)
    assert result.energies.shape == (1, L)
    assert result.residuals.shape == (0, L)


@pytest.mark.parametrize("name", NAMES)
def test_the_trace_of_a_state_shared_by_heads(name):
    result = relax(make(name, H), draw(1, L, D), draw(1, S, D), steps=2, trace=True)
    assert result.state.shape == (H, L, D)
    assert result.energies.shape[:2] == (3, H)


@pytest.mark.parametrize("name", NAMES)
def test_states_that_see_nothing_stay_exactly(name, stored):
    energy, xi = make(name), draw(B, L, D)
    X = stored(energy, xi, draw(B, S, D))
    mask = torch.ones(B, L, X.shape[-2], dtype=torch.bool)
    mask[0, 1] = mask[1] = False
    for backend in (b for b in backends(energy) if b != "traced"):
        result = relax(energy, xi, X, mask=mask, steps=3, trace=True, backend=backend)
        assert torch.equal(result.state[0, 1], xi[0, 1])
        assert torch.equal(result.state[1], xi[1])
        assert not torch.equal(result.state[0, 0], xi[0, 0])
        assert (result.residuals[:, 1] == 0).all()
        assert (result.energies[:, 1] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (H, 1, 1)])
def test_the_step_size_may_be_learned(name, shape):
    energy, xi, X = make(name, H), draw(B, H, L, D), draw(B, H, S, D)
    gamma = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
    got = relax(energy, xi, X, steps=2, step_size=gamma).state
    torch.testing.assert_close(got, relax(energy, xi, X, steps=2, step_size=0.5).state)
    (slope,) = torch.autograd.grad(got[..., 0].sum(), gamma)
    assert slope.isfinite().all()
    # A spin turns by the sign of its gradient, whatever the step size.
    assert (slope != 0).all() == (not energy.domain.discrete)


def test_the_step_size_of_the_entry_is_the_default():
    spec = REGISTRY.energies["lse"]
    half = spec.model_copy(update={"step_size": spec.step_size.model_copy(update={"default": 0.5})})
    xi, X = draw(L, D), draw(S, D)
    want = relax(make("lse"), xi, X, step_size=0.5).state
    torch.testing.assert_close(relax(make(half), xi, X).state, want)


def test_memories_are_recalled():
    """Sharp log-sum-exp from a noisy copy lands on the pattern."""
    X = torch.nn.functional.normalize(draw(20, 64), dim=-1)
    state = relax(make("lse", dim=64, beta=50.0), X + 0.05 * draw(20, 64), X, steps=5).state
    torch.testing.assert_close(state, X, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be a whole number from 0, got -1"),
        ({"steps": 1.0}, "steps must be a whole number from 0, got 1.0"),
        ({"steps": True}, "steps must be a whole number from 0, got True"),
        ({"step_size": 0.0}, "step_size must be above 0, got 0.0"),
        ({"step_size": -1}, "step_size must be above 0, got -1"),
        ({"step_size": float("nan")}, "step_size must be a finite number, got nan"),
        ({"solver": "decent"}, r"no solver 'decent' \(did you mean 'descent'\?\)"),
        ({"backend": "score"}, r"no backend 'score' \(did you mean 'scores'\?\)"),
        ({"mask": torch.ones(4, 5)}, "mask must be boolean"),
        ({"field": torch.ones(5, 5)}, "field must be broadcastable"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        relax(make("lse"), draw(L, D), draw(S, D), **options)


OPTIONS = sorted({name for solver in SOLVERS.values() for name in solver.options})


def reading(name: str) -> dict[str, Any]:
    """One energy that reads a number of that name, a formula and a function."""

    def function(xi, X, **given):
        return 0.5 * (xi * xi).sum(-1) - given[name] * torch.logsumexp(X @ xi, -1)

    parameters = [*inspect.signature(function).parameters.values()][:2]
    parameters += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=0.5)]
    function.__signature__ = inspect.Signature(parameters)
    return {"formula": f"0.5*|xi|^2 - {name} * lse(X @ xi)", "function": function}


@pytest.mark.parametrize("kind", ["formula", "function"])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("solver", ["descent", "fixed_point", "langevin"])
def test_a_name_that_solver_and_energy_have(name, solver, kind):
    """It is the energy's where the solver has no such option, and refused where both have it."""
    energy, xi, X = reading(name)[kind], draw(L, D), draw(S, D)
    other = {"temperature": 1.0} if solver == "langevin" and name != "temperature" else {}

    def run(energy: Any, **options: Any) -> torch.Tensor:
        torch.manual_seed(0)
        steps = {"steps": 2, "step_size": 0.5}
        return relax(energy, xi, X, solver=solver, **steps, **other, **options).state

    if name in SOLVERS[solver].options:
        with pytest.raises(ValueError, match=f"^'{name}' is an option of solver '{solver}' and a"):
            run(energy, **{name: 0.9})
        return
    with float64():
        made = make_energy(energy, dim=D, **{name: 0.9}).requires_grad_(False)
    torch.testing.assert_close(run(energy, **{name: 0.9}), run(made))


def test_an_option_that_is_none_is_nobodys():
    energy, xi, X = reading("damping")["function"], draw(L, D), draw(S, D)
    assert torch.equal(relax(energy, xi, X, damping=None).state, relax(energy, xi, X).state)


def test_names_are_looked_up_in_a_registry(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        'version: 1\nenergies:\n  mine: {title: Mine, formula: "0.5*|xi|^2 - 2*lse(X @ xi)"}\n'
    )
    xi, X = draw(L, D), draw(S, D)
    want = relax("0.5*|xi|^2 - 2*lse(X @ xi)", xi, X).state
    torch.testing.assert_close(relax("mine", xi, X, registry=path).state, want)
    with pytest.raises(ValueError, match="no energy or mixer 'mine'"):
        relax("mine", xi, X)


@pytest.mark.parametrize("trace", [0.5, "no", 2, None])
def test_trace_is_a_flag(trace):
    with pytest.raises(ValueError, match="trace must be True or False, got"):
        relax("lse", draw(L, D), draw(S, D), trace=trace)


@pytest.mark.parametrize("solver", ["descent", "fixed_point", "coordinate_descent"])
@pytest.mark.parametrize("size", [(4, 1), (2, 1), (5, 1, 1), (2, 3, 1, 1)])
def test_step_sizes_for_other_states_are_refused(solver, size):
    energy, xi, X = make_energy("lse", dim=8), torch.randn(4, 3, 8), torch.randn(5, 8)
    if solver == "coordinate_descent":
        energy = make_energy("classical_hopfield", dim=8)
    with pytest.raises(ValueError, match=r"step_size must be .* \(4, 3, 1\), got"):
        relax(energy, xi, X, solver=solver, step_size=torch.full(size, 0.5))
