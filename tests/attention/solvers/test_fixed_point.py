"""Fixed points and their implicit derivatives, against long unrolled relaxations."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import gradient, relax
from attenergy.attention.solvers import fixed_point
from attenergy.attention.solvers.catalogue import check_solver
from attenergy.attention.solvers.fixed_point import UnsolvedGradient
from attenergy.energies import adjacency, make_energy
from attenergy.energies.graphs.couplings import normalised
from attenergy.registry import load_registry
from attenergy.testing.cases import build, draw, float64, random_case

REGISTRY = load_registry(plugins=False)
B, H, L, S, D = 2, 2, 3, 5, 4
#: Entries whose states come to rest in few hundred steps on the problems below, at these settings.
RESTING = {
    "lse": {"beta": 0.6},
    "rbm": {"beta": 0.2},
    "zero_sink": {"beta": 0.6},
    "l2_lse": {"beta": 0.3},
    "entmax": {"beta": 0.1},
    "log_sum_kernel": {"beta": 0.2},
    "graph_hopfield": {"beta": 0.4, "coupling": 0.5},
    "graph_memory": {"beta": 0.4},
    "gaussian_spins": {"coupling": 0.6},
    "boltzmann": {"beta": 0.3},
    "elliptical": {"beta": 0.3},
    "polynomial": {"beta": 0.5},
    "et_memory": {},
    "ising_mean_field": {"beta": 0.4},
    "tap": {"beta": 0.3},
    "vector_spins": {"beta": 0.5},
    "potts": {"beta": 0.8},
}


def make(name, num_heads=None, **chosen):
    with float64():
        return make_energy(name, dim=D, num_heads=num_heads, registry=REGISTRY, **chosen)


def leaves_of(energy, seed=0):
    """States, patterns and a field that want derivatives."""
    case = random_case(energy, seed)
    xi = case.xi.detach()
    X = 0.5 * case.X.detach() if energy.reads_patterns else xi
    field = draw(seed + 9, B, 1, L, X.shape[-2]) if energy.reads_field else None
    return xi, *(None if t is None else t.clone().requires_grad_() for t in (X, field))


def derivatives(energy, state, X, field, seed=7):
    wanted = [p for p in (X, field, *energy.parameters()) if p is not None]
    loss = (state * draw(seed, *state.shape)).sum()
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(w) if f is None else f for f, w in zip(gradients, wanted, strict=True)]


@pytest.mark.by_kind
@pytest.mark.parametrize("name", RESTING)
@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_are_those_of_a_long_unrolled_relaxation(name, masked):
    energy = make(name, H, **RESTING[name])
    xi, X, field = leaves_of(energy)
    mask = None
    if masked:
        mask = torch.rand(B, 1, L, X.shape[-2], generator=torch.Generator().manual_seed(2)) < 0.7
        mask[..., 0] = True
        mask[0, :, 1] = False  # a state that sees nothing
    step_size = 5.0 if energy.spec.domain == "sphere" else 0.9
    given = {"mask": mask, "field": field, "step_size": step_size}
    result = relax(energy, xi, X, steps=1000, solver="fixed_point", tolerance=1e-14, **given)
    assert result.converged.all()
    solver = "coordinate_descent" if energy.guarantee == "sequential" else "descent"
    steps = int(result.steps_taken.max()) + 5
    unrolled = relax(energy, xi, X, steps=steps, solver=solver, **given).state
    torch.testing.assert_close(result.state, unrolled, rtol=1e-8, atol=1e-8)
    got = derivatives(energy, result.state, X, field)
    assert result.gradient.solved.all()
    for mine, theirs in zip(got, derivatives(energy, unrolled, X, field), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    assert any((g.abs() > 1e-3).any() for g in got)


@pytest.mark.parametrize("backend", ["eager", "scores", "sdpa"])
def test_every_backend_has_the_same_derivatives(backend):
    energy = make("lse", beta=0.6)
    xi, X, _ = leaves_of(energy)
    options = {"steps": 500, "solver": "fixed_point", "tolerance": 1e-13}
    want = derivatives(energy, relax(energy, xi, X, **options).state, X, None)
    got = derivatives(energy, relax(energy, xi, X, backend=backend, **options).state, X, None)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-9)


def test_gaussian_spins_and_their_derivative_by_linear_solves():
    """xi = (I - c K)^-1 X for state i that sees pattern i alone; dloss/dX = (I - c K)^-1 u."""
    energy, eye = make("gaussian_spins", graph="ring", coupling=0.6), torch.eye(5).bool()
    X, u = draw(1, 5, D).requires_grad_(), draw(2, 5, D)
    M = eye.double() - 0.6 * normalised(adjacency("ring", 5))
    result = relax(energy, 0 * X, X, mask=eye, steps=500, solver="fixed_point", tolerance=1e-14)
    torch.testing.assert_close(result.state, torch.linalg.solve(M, X))
    (got,) = torch.autograd.grad((result.state * u).sum(), X)
    torch.testing.assert_close(got, torch.linalg.solve(M, u))
    iterations = result.gradient.iterations
    assert result.converged.shape == result.steps_taken.shape == iterations.shape == ()
    assert iterations <= 5  # K of a ring of five has three eigenvalues


def test_gradcheck():
    energy = make("lse", beta=0.6)

    def rest(X, h, beta):
        return relax(
            energy, draw(1, L, D), X, field=h, solver="fixed_point", steps=500, tolerance=1e-14
        ).state

    leaves = (0.5 * draw(2, S, D), draw(3, L, S), *energy.parameters())
    assert torch.autograd.gradcheck(rest, [leaf.requires_grad_() for leaf in leaves])
    (want,) = torch.autograd.grad(rest(*leaves).sum(), leaves[0])
    got = torch.func.grad(lambda X: rest(X, *leaves[1:]).sum())(leaves[0])
    torch.testing.assert_close(got, want)


def test_the_start_does_not_matter_and_gets_derivatives_of_zero():
    energy = make("lse", beta=0.6)
    X = 0.5 * draw(2, S, D)
    xi = draw(1, L, D).requires_grad_()
    seen = torch.ones(L, S, dtype=torch.bool)
    seen[1] = False
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    states = relax(
        energy, xi, X, mask=seen, step_size=gamma, steps=500, solver="fixed_point", tolerance=1e-14
    ).state
    torch.testing.assert_close(states[0], states[2])
    states.sum().backward()
    want = torch.zeros(L, D).double()
    want[1] = 1.0  # it sees nothing and is handed through
    assert torch.equal(xi.grad, want)
    assert gamma.grad is None


def test_resting_samples_are_left_alone():
    """One sample beside others that rest at once, or never: the same numbers to the last bit."""
    energy = make("lse", beta=3.0)
    X = draw(2, B, S, D)
    xi = draw(1, B, L, D)
    options = {"solver": "fixed_point", "steps": 60, "tolerance": 1e-4}
    first = relax(energy, xi, X, **options)
    rest = relax(energy, first.state, X, **{**options, "steps": 500, "tolerance": 0.0}).state
    beside_rest, beside_far = xi.clone(), xi.clone()
    beside_rest[1], beside_far[1] = rest[1], 50 * draw(3, L, D)
    for start in (beside_rest, beside_far):
        result = relax(energy, start, X, **options)
        assert torch.equal(result.state[0], first.state[0])
        assert torch.equal(result.steps_taken[0], first.steps_taken[0])
    assert first.steps_taken.unique().numel() > 1
    longer = relax(energy, xi, X, **{**options, "steps": 200})
    assert torch.equal(longer.state[first.converged], first.state[first.converged])
    alone = relax(energy, xi[:1], X[:1], **options)
    assert torch.equal(alone.steps_taken, first.steps_taken[:1])
    torch.testing.assert_close(alone.state, first.state[:1], rtol=1e-12, atol=1e-12)


def test_it_stops_where_steps_no_longer_move():
    energy, xi, X = make("lse", beta=0.8), draw(1, L, D), draw(2, S, D)
    result = relax(energy, xi, X, solver="fixed_point", tolerance=1e-5, trace=True)
    assert result.converged.all()
    assert 1 < int(result.steps_taken.max()) < 100
    assert len(result.states) == int(result.steps_taken.max()) + 1
    assert torch.equal(result.states[-1], result.state)
    moves = result.states.diff(dim=0).norm(dim=-1)
    length = result.states[1:].norm(dim=-1).clamp_min(D**0.5)
    for state, taken in enumerate(result.steps_taken.tolist()):
        assert (moves[: taken - 1, state] > 1e-5 * length[: taken - 1, state]).all()
        assert moves[taken - 1, state] <= 1e-5 * length[taken - 1, state]
        assert (moves[taken:, state] == 0).all()
    assert gradient(energy, result.state, X).norm(dim=-1).max() < 1e-4
    assert result.guarantee
    steps = int(result.steps_taken[0])
    unrolled = relax(energy, xi, X, steps=steps).state[0]
    torch.testing.assert_close(result.state[0], unrolled)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode):
    energy, xi, X = make("lse", beta=0.6), draw(1, L, D), draw(2, S, D)
    want = relax(energy, xi, X, solver="fixed_point")
    with mode():
        result = relax(energy, xi, X, solver="fixed_point")
    assert torch.equal(result.state, want.state)
    assert not result.state.requires_grad
    assert result.gradient is None
    assert want.gradient.solved is None  # no backward pass has run


def test_it_trains():
    """Patterns are learned so that the fixed point lands on a target."""
    energy, target = make("lse", beta=0.6), 0.3 * draw(5, L, D)
    X = torch.nn.Parameter(0.5 * draw(2, L, S, D))
    optimizer = torch.optim.Adam([X, *energy.parameters()], lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        state = relax(energy, torch.zeros(L, 1, D).double(), X, solver="fixed_point").state
        loss = (state.squeeze(-2) - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 1e-3 * losses[0]


def test_samples_not_at_rest_get_the_derivative_of_one_step():
    energy = make("lse", beta=0.6)
    xi, X, _ = leaves_of(energy)
    result = relax(energy, xi, X, steps=2, solver="fixed_point", step_size=0.5, tolerance=1e-12)
    assert not result.converged.any()
    assert (result.steps_taken == 2).all()
    with pytest.warns(UnsolvedGradient, match="is that of one step"):
        got = derivatives(energy, result.state, X, None)
    assert not result.gradient.solved.any()
    want = derivatives(
        energy, relax(energy, result.state.detach(), X, step_size=1.0).state, X, None
    )
    torch.testing.assert_close(got, want)


def test_a_saddle_is_reported():
    """Halfway between two patterns a sharp memory has a point of rest, but no minimum."""
    energy = make("lse", beta=4.0)
    X = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]).double().requires_grad_()
    xi = torch.stack([torch.zeros(4), torch.ones(4)]).double()
    result = relax(energy, xi, X, solver="fixed_point", tolerance=1e-12, steps=200)
    assert result.converged.all()
    assert torch.equal(result.state[0], torch.zeros(4).double())
    with pytest.warns(UnsolvedGradient):
        result.state.sum().backward()
    assert result.gradient.solved.tolist() == [False, True]
    assert X.grad.isfinite().all()


def test_minima_that_form_a_line_are_reported():
    """Tokens with one metric for all directions can be turned together: H has zeros."""
    energy = make("energy_transformer")
    result = relax(energy, draw(1, L, D), draw(1, L, D), solver="fixed_point", tolerance=1e-13)
    assert result.converged
    with pytest.warns(UnsolvedGradient):
        (result.state * draw(2, L, D)).sum().backward()
    assert not result.gradient.solved


def test_too_few_conjugate_gradients_are_reported(monkeypatch):
    energy = make("lse", beta=0.6)
    xi, X, _ = leaves_of(energy)
    monkeypatch.setattr(fixed_point, "ITERATIONS", 1)
    result = relax(energy, xi, X, solver="fixed_point", steps=500, tolerance=1e-12)
    with pytest.warns(UnsolvedGradient):
        result.state.sum().backward()
    assert result.converged.all()
    assert not result.gradient.solved.all()
    assert (result.gradient.iterations == 1).all()


def test_states_that_go_back_and_forth_do_not_converge():
    """The steepest direction of a ring of four, at the largest step size: xi <- -xi."""
    energy = make("gaussian_spins", graph="ring", coupling=0.6)
    start, X = torch.ones(4, D).double(), torch.zeros(1, D).double()
    start[::2] = -1.0
    result = relax(energy, start, X, solver="fixed_point", step_size=2.0, steps=50)
    assert not result.converged
    assert result.steps_taken == 50
    assert relax(energy, start, X, solver="fixed_point", steps=500).converged


def test_no_steps():
    xi, X = draw(1, L, D), draw(2, S, D)
    result = relax(make("lse"), xi, X, solver="fixed_point", steps=0, trace=True)
    assert torch.equal(result.state, xi)
    assert not result.converged.any()
    assert result.residuals.shape == (0, L)


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_every_entry_comes_to_a_state_or_says_why_not(name):
    energy = build(REGISTRY.energies[name])
    case = random_case(energy)
    game = not (energy.reads_patterns or energy.states_interact)
    if energy.domain.discrete or game:
        for refused in (
            check_solver,
            lambda *_: relax(energy, case.xi, case.X, solver="fixed_point"),
        ):
            with pytest.raises(ValueError, match=r"have no derivatives|no Hessian"):
                refused("fixed_point", energy)
        return
    check_solver("fixed_point", energy)
    with torch.no_grad():
        result = relax(energy, case.xi, case.X, solver="fixed_point", steps=5, step_size=0.5)
    samples = case.value().shape
    assert result.state.shape == case.xi.shape
    assert result.converged.shape == result.steps_taken.shape == samples
    assert (result.steps_taken <= 5).all()


def test_states_whose_numbers_overflow_are_not_at_rest():
    energy = make_energy("linear_attention", dim=D, registry=REGISTRY, beta=4.0)
    xi = draw(0, L, D).float()
    with torch.no_grad():
        result = relax(energy, xi, xi, solver="fixed_point", steps=400)
    assert not result.state.isfinite().all()
    assert not result.converged.any()
