"""Widths of keys, values and contexts, and heads that share keys and values."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import EnergyAttention, HypernetworkAttention
from attenergy.attention.modules.projections import Projections
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
B, L, S, E, H, G = 2, 5, 7, 12, 6, 2
D = E // H


def make(energy="lse", **options):
    return EnergyAttention(E, H, energy, registry=REGISTRY, **options).double()


def ungrouped(layer):
    """The same layer with keys and values for every head, equal within a group."""
    options = {"steps": layer.steps, "read": layer.read}
    if layer.projections.preparation is not None:
        options |= {"rotary": True, "normalize_patterns": "rms_norm"}
    full = make(layer.energy.spec, **options)
    state = layer.state_dict()
    for name, value in state.items():
        if name.split(".")[1] in ("key", "value"):
            state[name] = value.unflatten(0, (G, -1)).repeat_interleave(H // G, 0).flatten(0, 1)
        if name.endswith("pattern_norm.gain"):
            state[name] = value.repeat_interleave(H // G, 0)
    full.load_state_dict(state)
    return full


@pytest.mark.parametrize("name", ["lse", "graph_memory", "polynomial", "elliptical"])
@pytest.mark.parametrize("prepared", [False, True])
def test_grouped_heads_equal_heads_with_tied_weights(name, prepared):
    """Values, and gradients as sums over the heads of a group."""
    options = {"rotary": True, "normalize_patterns": "rms_norm"} if prepared else {}
    layer = make(name, num_kv_heads=G, steps=2, **options)
    with torch.no_grad():
        for parameter in layer.energy.parameters():  # each head its own
            parameter.add_(0.1 * torch.randn_like(parameter))
    full, x, context = ungrouped(layer), draw(B, L, E), draw(B, S, E)
    mask = torch.rand(B, 1, L, S) < 0.7
    torch.testing.assert_close(layer(x, context, mask=mask), full(x, context, mask=mask))
    layer(x, context, mask=mask).square().sum().backward()
    full(x, context, mask=mask).square().sum().backward()
    mine, theirs = layer.projections.key.weight.grad, full.projections.key.weight.grad
    summed = theirs.unflatten(0, (G, H // G, D)).sum(1).flatten(0, 1)
    torch.testing.assert_close(mine, summed)
    for a, b in zip(layer.energy.parameters(), full.energy.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_grouped_softmax_attention_is_that_of_torch(groups):
    layer, x = make(num_kv_heads=groups), draw(B, L, E)
    p = layer.projections
    q, k, v = p.queries(x), p.keys(x), p.values(x)
    assert k.shape == v.shape == (B, groups, L, D)
    want = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(layer(x, is_causal=True), p.merge(want))
    assert layer.energy.values()["beta"].shape == (H, 1, 1)
    assert p.key.weight.shape == p.value.weight.shape == (groups * D, E)


def test_mixers_may_share_keys_and_values():
    x = draw(B, L, E)
    mixer = HypernetworkAttention(E, H, normalize="softmax", value_network="linear").double()
    mixer.projections = Projections(E, H, num_kv_heads=G, rotary=True).double()
    q, k, v = mixer.projections.heads(x)
    assert k.shape == v.shape == q.shape == (B, H, L, D)
    assert torch.equal(k[:, 0], k[:, 2])
    assert not torch.equal(k[:, 2], k[:, 3])
    torch.testing.assert_close(
        mixer(x), mixer.projections.merge(scaled_dot_product_attention(q, k, v))
    )


def test_keys_and_values_from_sources_of_their_own_widths():
    """`nn.MultiheadAttention` with kdim and vdim."""
    layer, mha = make(context_dim=5, value_context_dim=3), nn.MultiheadAttention(
        E, H, kdim=5, vdim=3, batch_first=True
    ).double()  # fmt: skip
    p = layer.projections
    with torch.no_grad():
        for mine, theirs in ((p.query, mha.q_proj_weight), (p.key, mha.k_proj_weight),
                             (p.value, mha.v_proj_weight)):  # fmt: skip
            mine.weight.copy_(theirs)
        mha.in_proj_bias.copy_(draw(3 * E))
        for mine, bias in zip((p.query, p.key, p.value), mha.in_proj_bias.chunk(3), strict=True):
            mine.bias.copy_(bias)
    p.out.load_state_dict(mha.out_proj.state_dict())
    x, context, source = draw(B, L, E), draw(B, S, 5), draw(B, S, 3)
    got = layer(x, context, value_context=source, need_weights=True)
    want = mha(x, context, source, average_attn_weights=False)
    torch.testing.assert_close(got, want)


def test_values_of_the_same_width_may_come_from_elsewhere():
    layer, x, source = make(steps=2), draw(B, L, E), draw(B, L, E)
    out, weights = layer(x, value_context=source, need_weights=True)
    p = layer.projections
    torch.testing.assert_close(out, p.merge(weights @ p.values(source)))
    torch.testing.assert_close(layer(x, value_context=x), layer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_kv_heads": 4}, r"num_kv_heads \(4\) must divide num_heads \(6\)"),
        ({"num_kv_heads": 0}, "num_kv_heads must be at least 1, got 0"),
        ({"num_kv_heads": 12}, r"num_kv_heads \(12\) must divide num_heads \(6\)"),
        ({"value_context_dim": 0}, "value_context_dim must be at least 1, got 0"),
        ({"energy": "polynomial", "value_context_dim": 3}, "value_context_dim has no use in"),
        ({"energy": "energy_transformer", "num_kv_heads": 2}, "num_kv_heads has no use in"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("options", "sizes", "message"),
    [
        ({}, (B, S, E), r"one row for each pattern, \(B, S\) = \(2, 5\), got \(2, 7\)"),
        ({"value_context_dim": 3}, (B, L, E), r"value_context must be \(B, S, C\).* axis 3"),
        ({"value_context_dim": 3}, None, r"x or context, from which values are made.* axis 3"),
        ({"read": "state"}, (B, L, E), "value_context is for reading by weights"),
    ],
)
def test_sources_of_values_that_do_not_fit(options, sizes, message):
    layer = make(**options)
    with pytest.raises(ValueError, match=message):
        layer(draw(B, L, E), value_context=None if sizes is None else draw(*sizes))


def test_a_copy_of_a_grouped_layer_is_independent():
    layer, x = make(num_kv_heads=G), draw(B, L, E)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), layer(x))
    with torch.no_grad():
        twin.projections.key.weight.mul_(2)
    assert not torch.equal(twin(x), layer(x))
