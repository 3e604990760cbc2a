"""What a layer tells of its steps."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import EnergyAttention
from attenergy.attention.layers.outputs import LayerTrace
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
B, L, E, H = 2, 4, 8, 2
D = E // H


def make(energy, **options):
    return EnergyAttention(E, H, energy, registry=REGISTRY, **options).double()


@pytest.mark.parametrize("name", ["lse", "rbm", "graph_hopfield", "polynomial", "elliptical"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_a_trace_comes_with_the_same_result(name, need_weights):
    layer, x = make(name, steps=3), draw(B, L, E)
    has = layer.energy.has_weights
    if need_weights and not has:
        with pytest.raises(ValueError, match="defines no weights"):
            layer(x, need_weights=True, trace=True)
        return
    mask = torch.rand(B, 1, L, L) < 0.8
    mask |= torch.eye(L).bool()
    traced = layer(x, mask=mask, need_weights=need_weights, trace=True)
    assert isinstance(traced, LayerTrace)
    torch.testing.assert_close(traced.out, layer(x, mask=mask))
    assert (traced.weights is None) == (not has)
    if has:
        _, weights = layer(x, mask=mask, need_weights=True)
        torch.testing.assert_close(traced.weights, weights)
    way, moves = traced.relaxation, layer.moves
    assert way.states.shape == (moves + 1, B, H, L, D)
    assert way.residuals.shape == (moves, B, H, L)
    assert way.energies.shape[:3] == (moves + 1, B, H)
    assert torch.equal(way.states[-1], way.state)
    X = layer.projections.keys(x)
    full = mask.expand(B, H, L, L)
    for state, energy in zip(way.states, way.energies, strict=True):
        torch.testing.assert_close(layer.energy(state, X, mask=full), energy)


def test_the_entropy_of_softmax_weights():
    layer, x = make("lse", steps=3), draw(B, L, E)
    out, weights, way = layer(x, trace=True)
    last = -(weights * weights.log()).sum(-1)
    torch.testing.assert_close(way.entropies[-1], last)
    assert way.entropies.shape == (3, B, H, L)
    assert out.shape == x.shape


def test_reading_at_once_has_no_moves():
    layer, x = make("lse", steps=1), draw(B, L, E)
    way = layer(x, trace=True).relaxation
    torch.testing.assert_close(way.state, layer.projections.queries(x))
    assert way.residuals.shape == (0, B, H, L)
    assert way.energies.shape == (1, B, H, L)


def test_gradients_flow_through_a_trace():
    layer, x = make("lse", steps=3), draw(B, L, E).requires_grad_()
    layer(x, trace=True).relaxation.energies[-1].sum().backward()
    assert x.grad.abs().amax() > 0


def test_heads_alone():
    layer, xi, X = make("lse"), draw(B, H, L, D), draw(B, H, 3, D)
    with pytest.raises(ValueError, match="reads by weights: give values"):
        layer.attend(xi, X, None)
    out = layer.attend(xi, X, X)
    want = torch.nn.functional.scaled_dot_product_attention(xi, X, X)
    torch.testing.assert_close(out.read, want)
    assert out.weights is None
