"""Spins, random features, continuous time, two layers and learned energies beyond the laws."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from attenergy.attention import attention_weights, gradient, make_layer, relax
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
MEMORIES = [
    "classical_hopfield", "simplicial", "et_memory", "random_features", "continuous_time", "ham",
    "learned",
]  # fmt: skip


def make(name, dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def binary(*shape):
    return torch.where(torch.rand(*shape) < 0.5, -1.0, 1.0).double()


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("beta", [1e-3, 1e3])
def test_extremes_are_finite(name, dtype, beta):
    """One pattern or five, one of them visible or all, any temperature and type."""
    has_beta = "beta" in REGISTRY.energies[name].parameters
    energy = make(name, **({"beta": beta} if has_beta else {})).to(dtype)
    for patterns in (1, 5):
        xi = energy.from_real(draw(2, 3, 4)).to(dtype)
        X = draw(2, patterns, 4).to(dtype).requires_grad_()
        only = torch.arange(patterns) == 0
        for mask in (None, only):
            state = relax(energy, xi, X, mask=mask, steps=2).state
            total = state.square().sum() + energy(xi, X, mask=mask).sum()
            (slope,) = torch.autograd.grad(total, X)
            assert torch.isfinite(state).all()
            assert torch.isfinite(slope).all()


def test_a_pair_that_disagrees_cycles_all_at_once_and_rests_in_turn():
    energy, X = make("classical_hopfield", 2), torch.tensor([[1.0, -1.0]]).double()
    start = torch.ones(1, 2).double()
    states = [relax(energy, start, X, steps=n).state for n in (1, 2)]
    assert torch.equal(states[0], -start)
    assert torch.equal(states[1], start)
    rest = relax(energy, start, X, steps=1, solver="coordinate_descent").state
    assert torch.equal(rest.prod(-1), -torch.ones(1).double())
    assert energy(rest, X) < energy(start, X)


def test_few_patterns_are_stable_and_repaired():
    X = binary(8, 200)
    energy = make("classical_hopfield", 200)
    assert torch.equal(relax(energy, X, X, steps=1).state, X)
    noisy = torch.where(torch.rand(8, 200) < 0.1, -X, X)
    assert torch.equal(relax(energy, noisy, X, steps=3, solver="coordinate_descent").state, X)


def test_the_capacity_of_hebbian_weights():
    """Below 0.138 D patterns stay almost whole; well above they do not."""
    energy, overlaps = make("classical_hopfield", 200), []
    for count in (16, 60):
        X = binary(count, 200)
        state = relax(energy, X, X, steps=30).state
        overlaps.append(float((state * X).mean()))
    assert overlaps[0] > 0.99
    assert overlaps[1] < 0.7


def test_triangles_hold_more_patterns_than_pairs():
    X = binary(60, 50)
    stable = []
    for share in (1e-6, 1 - 1e-6):
        state = relax(make("simplicial", 50, triangles=share), X, X, steps=1).state
        stable.append(float((state == X).all(-1).double().mean()))
    assert stable[0] < 0.05
    assert stable[1] > 0.5


def test_sums_for_binary_patterns_depend_on_the_overlap_alone():
    X, s, dim = binary(5, 7), binary(3, 7), 7
    overlap = s @ X.mT
    pairs = (overlap**2 - dim) / 2
    triples = (overlap**3 - (3 * dim - 2) * overlap) / 6
    want = -(0.6 * pairs / dim + 0.4 * triples / dim**2).sum(-1)
    torch.testing.assert_close(make("simplicial", 7, triangles=0.4)(s, X), want)


def test_random_features_are_saved_and_follow_the_seed():
    first, second = make("random_features"), make("random_features", seed=1)
    assert {"directions", "phases"} <= set(first.state_dict())
    assert not torch.equal(first.directions, second.directions)
    second.load_state_dict(first.state_dict())
    xi, X = draw(3, 4), draw(5, 4)
    assert torch.equal(first(xi, X), second(xi, X))
    assert torch.equal(make("random_features")(xi, X), first(xi, X))


def test_random_features_keep_a_sum_and_not_the_patterns():
    energy, xi, X, h = (
        make("random_features", beta=0.3),
        0.5 * draw(3, 4),
        0.5 * draw(5, 4),
        draw(3, 5),
    )
    twice = energy(xi, torch.cat([X, X]))
    torch.testing.assert_close(twice, energy(xi, X) - torch.log(torch.tensor(2.0)).double() / 0.3)
    shifted = energy(xi, X, field=h + 500.0)
    torch.testing.assert_close(shifted, energy(xi, X, field=h) - 500.0 / 0.3)
    torch.testing.assert_close(energy(xi, X, field=torch.zeros(3, 5).double()), energy(xi, X))


def test_below_the_floor_the_energy_is_flat():
    energy = make("random_features", floor=1e6, beta=1.0)
    xi, X = draw(3, 4), draw(5, 4)
    torch.testing.assert_close(
        energy(xi, X), torch.full((3,), -torch.log(torch.tensor(1e6))).double()
    )
    assert not gradient(energy, xi, X).any()


def test_as_many_cosines_as_samples_interpolate():
    """Then the weights at a beta so large that one node wins are those of one point of x(t)."""
    energy = make("continuous_time", basis=6, nodes=200, ridge=1e-12, beta=1e-6)
    X = draw(6, 4)
    mean = relax(energy, draw(3, 4), X, step_size=1.0).state
    times = (torch.arange(6).double() + 0.5) / 6
    table = torch.cos(torch.pi * times[:, None] * torch.arange(6))
    constant = torch.linalg.solve(table, X)[0]  # the other cosines have mean 0
    torch.testing.assert_close(mean, constant.expand(3, 4), rtol=1e-4, atol=1e-4)


def test_the_order_of_samples_counts():
    energy, xi, X = make("continuous_time", basis=3), draw(3, 4), draw(6, 4)
    assert (energy(xi, X) - energy(xi, X[[1, 0, 2, 3, 4, 5]])).abs().max() > 1e-4
    torch.testing.assert_close(energy(xi, X), energy(xi, X.flip(0)))  # time reversed


def test_continuous_weights_are_zero_where_hidden():
    energy, xi, X = make("continuous_time"), draw(3, 4), draw(6, 4)
    mask = torch.rand(3, 6) < 0.6
    mask[:, 0] = True
    weights = attention_weights(energy, xi, X, mask=mask)
    assert not weights[~mask].any()
    torch.testing.assert_close(
        xi - weights @ X, gradient(energy, xi, X, mask=mask, backend="eager")
    )


def test_layers_of_lagrangians():
    energy = make("ham", visible="logcosh")
    assert energy.quadratic() is None
    assert energy.largest_step_size() is None
    assert make("ham").largest_step_size() == 2.0
    with pytest.raises(ValueError, match="did you mean 'logcosh'"):
        make("ham", visible="logcos")
    with pytest.raises(ValueError, match="'hidden' must be one of lse"):
        make("ham", hidden="spherical")


@pytest.mark.parametrize("convex", [0, 1])
def test_a_learned_energy_learns_through_its_gradient(convex):
    """One head learns to send states to the mean of the patterns."""
    energy = make("learned", input_convex=convex, hidden=16)
    xi, X = draw(64, 3, 4), draw(64, 5, 4)
    target = X.mean(-2, keepdim=True).expand_as(xi)
    optimizer = torch.optim.Adam(energy.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = functional.mse_loss(relax(energy, xi, X, steps=2).state, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_learned_heads_and_seeds_differ():
    energy, xi, X = make("learned", num_heads=3), draw(1, 4, 4), draw(1, 6, 4)
    out = energy(xi, X)
    assert out.shape == (3, 4)
    assert (out[0] - out[1]).abs().min() > 1e-6
    assert torch.equal(make("learned", num_heads=3)(xi, X), out)
    assert not torch.equal(make("learned", num_heads=3, seed=1)(xi, X), out)
    with pytest.raises(ValueError, match="'hidden' must be a whole number from 1"):
        make("learned", hidden=0)


@pytest.mark.parametrize("name", MEMORIES)
def test_layers_run_causally_and_pass_gradients(name):
    layer = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY)
    x = torch.randn(2, 5, 8, requires_grad=True)
    out = layer(x, is_causal=True)
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    changed = x.detach().clone()
    changed[:, 4] += 1.0
    torch.testing.assert_close(layer(changed, is_causal=True)[:, :4], out[:, :4])
