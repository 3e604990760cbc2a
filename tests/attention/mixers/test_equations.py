"""HypernetworkAttention against its equations, written out as loops, and against PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention.mixers import HypernetworkAttention, hypernetwork

B, H, L, S, E, D, V = 2, 3, 4, 5, 6, 2, 3
NORMALIZE = ["softmax", "none", "rms_head"]
VALUE = ["linear", "relu_values", "relu", "hyper_linear", "deep"]


def make(normalize: str, value_network: str, **options) -> HypernetworkAttention:
    sizes = {"head_dim": D, "value_dim": V} | options
    layer = HypernetworkAttention(E, H, normalize=normalize, value_network=value_network, **sizes)
    for p in layer.parameters():  # biases too, so that none is left out unseen
        nn.init.normal_(p)
    return layer.double()


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, context = torch.randn(B, L, E).double(), torch.randn(B, S, E).double()
    mask = torch.rand(B, H, L, S) < 0.7
    mask[..., 0] = True
    return x, context, mask, torch.randn(1, H, L, S).double()


def per_head(linear: nn.Linear, x: Tensor, h: int, width: int) -> Tensor:
    rows = slice(h * width, (h + 1) * width)
    return linear.weight[rows] @ x + linear.bias[rows]


def code(layer, x, context, mask, field, normalize) -> Tensor:
    """Weights (B, H, L, S), one number at a time."""
    p = layer.projections
    s = torch.zeros(B, H, L, S).double()
    for b, h, i, j in torch.cartesian_prod(*map(torch.arange, (B, H, L, S))).tolist():
        q, k = per_head(p.query, x[b, i], h, D), per_head(p.key, context[b, j], h, D)
        s[b, h, i, j] = q @ k / math.sqrt(D) + field[0, h, i, j]
    a = torch.zeros_like(s)
    for b, h, i, j in torch.cartesian_prod(*map(torch.arange, (B, H, L, S))).tolist():
        if not mask[b, h, i, j]:
            continue
        if normalize == "softmax":
            seen = s[b, h, i][mask[b, h, i]]
            a[b, h, i, j] = s[b, h, i, j].exp() / seen.exp().sum()
        elif normalize == "none":
            a[b, h, i, j] = s[b, h, i, j]
        else:
            heads = [s[b, g, i, j] ** 2 if mask[b, g, i, j] else 0.0 for g in range(H)]
            a[b, h, i, j] = s[b, h, i, j] / math.sqrt(sum(heads) / H + 1e-6)
    return a


@pytest.mark.parametrize("value_network", VALUE)
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_equals_the_equations_as_loops(normalize, value_network):
    layer, (x, context, mask, field) = make(normalize, value_network), inputs()
    p = layer.projections
    with torch.no_grad():
        a = code(layer, x, context, mask, field, normalize)
        expected = p.out.bias.expand(B, L, E).clone()
        for b, i, j in torch.cartesian_prod(*map(torch.arange, (B, L, S))).tolist():
            v = [per_head(p.value, context[b, j], h, V) for h in range(H)]
            hidden = sum(a[b, h, i, j] * v[h] for h in range(H))
            g = {"relu": hidden.clamp(min=0), "hyper_linear": hidden}
            if value_network == "deep":
                maps = sum(a[b, h, i, j] * layer.middle[h] for h in range(H))
                g["deep"] = (maps @ g["relu"]).clamp(min=0)
            for h in range(H):
                g |= {"linear": v[h], "relu_values": v[h].clamp(min=0)}
                out_h = p.out.weight[:, h * V : (h + 1) * V]
                expected[b, i] += a[b, h, i, j] * out_h @ g[value_network]
        out, weights = layer(x, context, mask=mask, field=field, need_weights=True)
        torch.testing.assert_close(weights, a)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(layer(x, context, mask=mask, field=field), expected)


def test_linear_value_network_is_one_matrix_per_pair_applied_to_the_input():
    """out_i = sum_j W_ij x_j with W_ij = sum_h a_hij Wout_h Wv_h: multi-head attention's view."""
    layer, x = make("rms_head", "linear", bias=False), torch.randn(B, L, E).double()
    out, a = layer(x, need_weights=True)
    p = layer.projections
    basis = torch.stack(
        [p.out.weight[:, h * V : (h + 1) * V] @ p.value.weight[h * V : (h + 1) * V]
         for h in range(H)]
    )  # fmt: skip
    generated = torch.tensordot(a.movedim(1, -1), basis, dims=1)  # (B, L, L, E, E)
    expected = torch.einsum("bijef,bjf->bie", generated, x)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("normalize", ["none", "softmax"])
def test_two_step_value_network_without_relu_is_a_product_of_two_generated_matrices(normalize):
    """out_i = sum_j (sum_h a_hij Wout_h) (sum_h a_hij Wv_h) x_j."""
    layer = make(normalize, "hyper_linear", bias=False)
    x = torch.randn(B, L, E).double()
    out, a = layer(x, need_weights=True)
    p = layer.projections
    first = p.value.weight.unflatten(0, (H, V))  # (H, V, E)
    second = p.out.weight.unflatten(1, (H, V)).movedim(1, 0)  # (H, E, V)
    pair = a.movedim(1, -1)
    matrix = torch.tensordot(pair, second, dims=1) @ torch.tensordot(pair, first, dims=1)
    torch.testing.assert_close(out, (matrix @ x[:, None, :, :, None]).squeeze(-1).sum(2))


def test_codes_of_rms_head_have_unit_mean_square():
    layer, (x, context, _, field) = make("rms_head", "relu"), inputs()
    _, a = layer(x, context, field=field, need_weights=True)
    torch.testing.assert_close(a.square().mean(1), torch.ones_like(a[:, 0]), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("with_field", [True, False])
@pytest.mark.parametrize("masking", ["none", "mask", "causal", "both"])
def test_fused_softmax_equals_the_explicit_path(masking, with_field, monkeypatch):
    """Values and every first derivative."""
    monkeypatch.setattr(hypernetwork, "fused_pays", lambda *_: True)
    layer, (x, context, mask, field) = make("softmax", "linear"), inputs()
    mask = mask.clone()
    mask[0, 1, 2] = False  # one state that sees nothing
    options = {
        "mask": mask if masking in ("mask", "both") else None,
        "is_causal": masking in ("causal", "both"),
    }
    cotangent = torch.randn(B, L, E).double()
    results = []
    for explicit in (False, True):
        leaves = [t.clone().requires_grad_() for t in (x, context, field)]
        out = layer(
            *leaves[:2], field=leaves[2] if with_field else None, need_weights=explicit, **options
        )
        out = out[0] if explicit else out
        wrt = [*leaves[: 3 if with_field else 2], *layer.parameters()]
        results.append([out, *torch.autograd.grad(out, wrt, cotangent)])
    for fused, explicit in zip(*results, strict=True):
        torch.testing.assert_close(fused, explicit, rtol=1e-9, atol=1e-11)


def torch_attention(layer: HypernetworkAttention) -> nn.MultiheadAttention:
    """PyTorch's layer with the same weights."""
    p = layer.projections
    other = nn.MultiheadAttention(E, H, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([p.query.weight, p.key.weight, p.value.weight]))
        other.in_proj_bias.copy_(torch.cat([p.query.bias, p.key.bias, p.value.bias]))
        other.out_proj.load_state_dict(p.out.state_dict())
    return other


@pytest.mark.parametrize("need_weights", [True, False])
def test_softmax_equals_multihead_attention(need_weights):
    """PyTorch's masks are True where a key is hidden, ours where it is seen."""
    layer = make("softmax", "linear", head_dim=2, value_dim=2)
    other, x = torch_attention(layer), torch.randn(B, L, E).double()
    padding = torch.tensor([[True, True, True, True], [True, True, False, False]])
    hidden = nn.Transformer.generate_square_subsequent_mask(L).bool()
    expected, weights = other(
        x, x, x, key_padding_mask=~padding, attn_mask=hidden, average_attn_weights=False
    )
    out = layer(x, mask=padding[:, None, None], is_causal=True, need_weights=need_weights)
    if need_weights:
        out, got = out
        torch.testing.assert_close(got, weights)
    torch.testing.assert_close(out, expected)


def test_dropout_removes_whole_pairs_and_rescales_the_rest():
    layer, (x, context, _, _) = make("none", "linear", dropout=0.25), inputs()
    _, plain = layer.eval()(x, context, need_weights=True)
    _, dropped = layer.train()(x, context, need_weights=True)
    keep = (dropped != 0).all(0).all(0)
    assert 0 < keep.sum() < L * S
    torch.testing.assert_close(dropped, plain * keep / 0.75)


def test_dropout_keeps_the_stated_share():
    layer = make("softmax", "linear", dropout=0.3)
    keep = layer.keep_mask(200, 100, torch.device("cpu"))
    assert keep.shape == (1, 1, 200, 100)
    # 20000 draws: four standard errors are 0.013
    assert abs(keep.double().mean() - 0.7) < 0.013


def test_softmax_drops_out_in_training_only():
    layer, x = make("softmax", "linear", dropout=0.5), torch.randn(B, L, E).double()
    assert not torch.equal(layer.train()(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))
