"""The spherical model where laws and known answers do not look."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import EnergyAttention, gradient, relax
from attenergy.energies import make_energy
from attenergy.energies.spins.spherical_spins import _Modes
from attenergy.registry import load_registry
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)


def make(dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(
            "spherical_spins", dim=dim, num_heads=num_heads, registry=REGISTRY, **settings
        )


def means(energy, xi, X, **given):
    """The mean spins in the fields xi + b."""
    return (xi - gradient(energy, xi, X, **given)).detach()


@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0])
def test_extreme_numbers_are_finite(beta, dtype, size):
    energy = make(beta=beta).to(dtype)
    xi, X = (size * draw(1, 2, 3, 4)).to(dtype), (size * draw(2, 2, 5, 4)).to(dtype)
    X.requires_grad_()
    state = relax(energy, xi, X, steps=3).state
    assert state.isfinite().all()
    assert energy(state, X).isfinite().all()
    assert energy(state, X).dtype == dtype
    assert torch.autograd.grad(state.float().square().sum(), X)[0].isfinite().all()


@pytest.mark.parametrize("beta", [1e-3, 1e-1, 10.0, 1e3])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 1e4])
def test_the_root_is_found_from_below_whatever_the_scales(beta, scale):
    """Gaps and forces over many orders of magnitude."""
    for seed in range(20):
        gaps = torch.exp(6 * draw(seed, 12, 1)).sort(dim=-2, descending=True).values
        gaps[-1] = 0.0
        forces = beta * scale * torch.exp(4 * draw(seed + 50, 12, 1))
        one = torch.ones(1, 1, dtype=torch.float64)
        modes = _Modes(gaps, one, forces, 0 * one, 12 * beta * one)
        climbed, root = modes._climb(), modes.root()
        assert float(climbed) <= float(root) * (1 + 1e-12)
        assert float(modes.slopes(climbed)[0] / modes.target) == pytest.approx(1.0, abs=1e-9)
        assert float(modes.slopes(root)[0] / modes.target) == pytest.approx(1.0, abs=1e-12)


def test_spins_are_no_longer_than_their_length_and_reach_it_in_the_cold():
    xi, X = draw(3, 6, 4), draw(4, 5, 4)
    lengths = [float(means(make(beta=beta), xi, X).square().sum()) for beta in (0.1, 1.0, 1e2, 1e4)]
    assert lengths == sorted(lengths)
    assert lengths[-1] < 6 * 4
    assert lengths[-1] == pytest.approx(6 * 4, rel=1e-3)


def test_ferromagnets_answer_more_and_antiferromagnets_less():
    """A common field on a ring is the softest mode of the one and the stiffest of the other."""
    field, zero = 0.1 * torch.ones(6, 4, dtype=torch.float64), torch.zeros(1, 4).double()
    plus, free, minus = (
        float(means(make(graph="ring", coupling=c, couplings=kind), field, zero)[0, 0])
        for c, kind in ((0.9, "ferromagnetic"), (1e-9, "ferromagnetic"), (0.9, "antiferromagnetic"))
    )
    assert plus > free > minus > 0


def test_states_that_see_nothing_are_as_if_they_were_not_there():
    energy, pair = make(), torch.zeros(4, 4, dtype=torch.float64)
    xi, X = draw(5, 4, 4), draw(6, 5, 4)
    pair[0, 1] = pair[1, 0] = 1.0
    energy.use_graph(pair)
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[2:] = False
    value, slope = energy(xi, X, mask=mask), gradient(energy, xi, X, mask=mask)
    energy.use_graph(pair[:2, :2])
    torch.testing.assert_close(value, energy(xi[:2], X))
    torch.testing.assert_close(slope[:2], gradient(energy, xi[:2], X))
    assert not slope[2:].any()
    energy.use_graph(pair)
    assert float(energy(xi, X, mask=torch.zeros(4, 5).bool()).detach()) == pytest.approx(
        0.0, abs=1e-14
    )


def test_one_row_of_a_mask_stands_for_all():
    energy, xi, X = make(num_heads=2), draw(7, 3, 2, 4, 4), draw(8, 3, 2, 5, 4)
    row = torch.tensor([[True, False, True, True, False]])
    every = energy(xi, X, mask=row.expand(4, 5))
    torch.testing.assert_close(energy(xi, X, mask=row), every)
    torch.testing.assert_close(every, energy(xi, X[..., row[0], :]))


def test_large_sparse_graphs_are_the_same_as_dense_ones():
    with float64():
        energy = make(graph="ring", dim=2)
    xi, X = draw(9, 600, 2), draw(10, 3, 2)
    value = energy(xi, X)
    ring = torch.zeros(600, 600, dtype=torch.float64)
    nodes = torch.arange(600)
    ring[nodes, (nodes + 1) % 600] = ring[(nodes + 1) % 600, nodes] = 1.0
    torch.testing.assert_close(energy.use_graph(ring)(xi, X), value)


def test_third_derivatives():
    """What training through a step with a penalty on its Jacobian needs."""
    energy, X = make(dim=2), draw(11, 2, 2)
    xi = draw(12, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda s: gradient(energy, s, X), (xi,), atol=1e-6)


def test_graphs_of_a_batch_and_layers():
    energy = make(num_heads=2)
    graphs = torch.zeros(3, 4, 4, dtype=torch.float64)
    graphs[0, 0, 1] = graphs[0, 1, 0] = graphs[1, 2, 3] = graphs[1, 3, 2] = 1.0
    xi, X = draw(13, 3, 2, 4, 4), draw(14, 3, 2, 5, 4)
    value = energy.use_graph(graphs)(xi, X)
    each = [energy.use_graph(graphs[b])(xi[b], X[b]) for b in range(3)]
    torch.testing.assert_close(value, torch.stack(each))
    layer = EnergyAttention(8, 2, "spherical_spins", registry=REGISTRY)
    out = layer(torch.randn(2, 6, 8), torch.randn(2, 7, 8))
    assert out.shape == (2, 6, 8)
    assert out.isfinite().all()
