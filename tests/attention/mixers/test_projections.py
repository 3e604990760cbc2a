"""Projections, masks, checks of shapes and initial weights."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.modules.initialisation import dense, lecun_normal_
from attenergy.attention.modules.projections import Projections, visible


def test_initial_weights_are_cut_normals_of_variance_one_over_fan_in():
    weight = lecun_normal_(torch.empty(4000, 64).double())
    count = weight.numel()
    sigma = 1 / 8 / 0.87962566103423978
    assert weight.abs().max() <= 2 * sigma
    assert weight.abs().max() > 1.999 * sigma
    assert abs(weight.mean()) < 4 / 8 / math.sqrt(count)
    assert abs(weight.var() * 64 - 1) < 4 * math.sqrt(2 / count)
    # P(|w| < sigma) of a normal cut off at two sigma
    inner = math.erf(1 / math.sqrt(2)) / math.erf(math.sqrt(2))
    share = (weight.abs() < sigma).double().mean()
    assert abs(share - inner) < 4 * math.sqrt(inner * (1 - inner) / count)


def test_dense_has_zero_bias_and_the_default_type():
    linear = dense(3, 5)
    assert linear.weight.shape == (5, 3)
    assert linear.bias.count_nonzero() == 0
    assert linear.weight.dtype == torch.float32
    assert dense(3, 5, bias=False).bias is None


def test_heads_are_consecutive_slices_and_merge_undoes_the_split():
    p = Projections(6, 2, head_dim=2, value_dim=4, context_dim=5).double()
    x, context = torch.randn(3, 4, 6).double(), torch.randn(3, 7, 5).double()
    q, k, v = p.heads(x, context)
    assert (q.shape, k.shape, v.shape) == ((3, 2, 4, 2), (3, 2, 7, 2), (3, 2, 7, 4))
    torch.testing.assert_close(q[:, 1], x @ p.query.weight[2:].T)
    torch.testing.assert_close(v[:, 0], context @ p.value.weight[:4].T)
    torch.testing.assert_close(p.values(context), v)
    z = torch.randn(3, 2, 4, 4).double()
    expected = z[:, 0] @ p.out.weight[:, :4].T + z[:, 1] @ p.out.weight[:, 4:].T
    torch.testing.assert_close(p.merge(z), expected)


def test_visible_joins_mask_and_causality():
    assert visible(None, False, 3, 4) is None
    causal = visible(None, True, 2, 4)
    assert causal.tolist() == [[True, False, False, False], [True, True, False, False]]
    mask = torch.tensor([False, True, True, True])
    assert visible(mask, False, 2, 4) is mask
    assert visible(mask, True, 2, 4).tolist() == [[False] * 4, [False, True, False, False]]


def test_causal_agrees_with_scaled_dot_product_attention_when_lengths_differ():
    q, k, v = torch.randn(1, 1, 2, 3), torch.randn(1, 1, 5, 3), torch.randn(1, 1, 5, 3)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(
        sdpa(q, k, v, is_causal=True), sdpa(q, k, v, attn_mask=visible(None, True, 2, 5))
    )


X = torch.zeros(2, 3, 6)
TRUE = torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((torch.zeros(3, 6),), {}, r"x must be \(B, L, E\) with last axis 6, got shape \(3, 6\)"),
        ((torch.zeros(2, 3, 5),), {}, r"last axis 6, got shape \(2, 3, 5\)"),
        ((X, torch.zeros(2, 4, 5)), {}, r"context must be \(B, S, C\) with last axis 6"),
        ((X, torch.zeros(1, 4, 6)), {}, r"same batch size, got 2 and 1"),
        ((X,), {"mask": torch.zeros(3, 3)}, r"mask must be boolean.*got torch.float32.*`field`"),
        (
            (X,),
            {"mask": TRUE},
            r"mask of shape \(2, 3\) .*\(2, 2, 3, 3\).*mask\[:, None, None, :\]",
        ),
        ((X,), {"field": torch.zeros(1, 2, 3, 4)}, r"field of shape \(1, 2, 3, 4\) cannot be"),
        ((X,), {"field": torch.zeros(1, 1, 1, 1, 1)}, r"field of shape \(1, 1, 1, 1, 1\)"),
        ((X,), {"field": TRUE[:1]}, r"field must be floating point, got torch.bool"),
    ],
)
def test_calls_with_wrong_shapes_say_so(args, options, message):
    layer = HypernetworkAttention(6, 2, normalize="softmax", value_network="linear")
    with pytest.raises(ValueError, match=message):
        layer(*args, **options)


def test_a_layer_for_other_patterns_needs_them():
    layer = HypernetworkAttention(6, 2, normalize="softmax", value_network="linear", context_dim=5)
    assert layer(X, torch.zeros(2, 4, 5)).shape == X.shape
    with pytest.raises(ValueError, match=r"width 5 and states of width 6: give `context`"):
        layer(X)
    with pytest.raises(ValueError, match=r"context_dim must be at least 1, got 0"):
        Projections(6, 2, context_dim=0)


@pytest.mark.parametrize("shape", [(), (3,), (3, 1), (1, 3, 3), (2, 1, 1, 3), (2, 2, 3, 1)])
@pytest.mark.parametrize("normalize", ["softmax", "rms_head"])
@pytest.mark.parametrize("need_weights", [True, False])
def test_masks_and_fields_are_broadcast(shape, normalize, need_weights):
    layer = HypernetworkAttention(6, 2, normalize=normalize, value_network="linear").double()
    x = torch.randn(2, 3, 6).double()
    mask, field = torch.rand(shape) < 0.6, torch.randn(shape).double()
    full = {"mask": mask.expand(2, 2, 3, 3), "field": field.expand(2, 2, 3, 3)}
    for names in (["mask"], ["field"], ["mask", "field"]):
        small = {name: {"mask": mask, "field": field}[name] for name in names}
        got = layer(x, need_weights=need_weights, **small)
        want = layer(x, need_weights=True, **{name: full[name] for name in names})[0]
        torch.testing.assert_close(got[0] if need_weights else got, want)
