"""Each mixer against its formula, written out one pair at a time, and against known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention.mixers import WindowAttention, kernel, make_mixer
from attenergy.attention.mixers.performer import orthogonal_directions
from attenergy.registry import load_registry

B, H, L, E, D, V = 2, 2, 6, 4, 2, 3
REGISTRY = load_registry(plugins=False)
SMALL = {
    "window": {"window": 2},
    "low_rank": {"rank": 3},
    "token_mixing": {"hidden": 3},
    "top_k": {"kept": 2},
    "performer": {"num_features": 5},
    "attention_sh": {"scales": "1,3"},
    "attention_bn_weighted": {"mean_weight": 0.7},
    "attention_bn_sh": {"scales": "1,3", "mean_weight": 0.7},
}


def make(name: str, **options) -> nn.Module:
    options = SMALL.get(name, {}) | {"head_dim": D, "value_dim": V} | options
    layer = make_mixer(name, embed_dim=E, num_heads=H, registry=REGISTRY, length=8, **options)
    for p in layer.parameters():
        nn.init.normal_(p)
    return layer.double()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def head(linear: nn.Linear, x: Tensor, h: int) -> Tensor:
    """One head's vectors, (N, width)."""
    width = linear.out_features // H
    rows = slice(h * width, (h + 1) * width)
    return x @ linear.weight[rows].T + linear.bias[rows]


def softmax(numbers: list[Tensor]) -> list[Tensor]:
    top = max(numbers)
    total = sum((n - top).exp() for n in numbers)
    return [(n - top).exp() / total for n in numbers]


# What state i of head h gives to the patterns in `seen`, in their order.


def aaren(layer, h, q, k, i, seen):
    return softmax([layer.query[h, 0] @ k[j] / math.sqrt(D) for j in seen])


def attention_bn(layer, h, q, k, i, seen):
    keys = torch.stack([k[j] for j in seen])
    mean = sum(keys) / len(seen)
    scale = (sum((row - mean) ** 2 for row in keys) / len(seen) + 1e-5).sqrt()
    state = (q[i] - mean) / scale
    return softmax([state @ ((row - mean) / scale) / math.sqrt(D) for row in keys])


def attention_bn_weighted(layer, h, q, k, i, seen):
    return normalised(layer, h, q[i], [k[j] for j in seen])


def normalised(layer, h, state, keys):
    """Weights from queries and keys that are shifted and divided one by one."""
    weight = layer.mean_weight.weight[h, 0, 0]
    mean = sum(keys) / len(keys)
    scale = (sum((key - mean) ** 2 for key in keys) / len(keys) + 1e-5).sqrt()
    moved = (state - weight * mean) / scale
    return softmax([moved @ ((key - weight * mean) / scale) / math.sqrt(D) for key in keys])


def attention_bn_sh(layer, h, q, k, i, seen):
    return in_blocks(h, k, seen, lambda means: normalised(layer, h, q[i], means))


def attention_sh(layer, h, q, k, i, seen):
    return in_blocks(
        h, k, seen, lambda means: softmax([q[i] @ mean / math.sqrt(D) for mean in means])
    )


def in_blocks(h, k, seen, weights):
    """What patterns get if blocks of 1 and of 3, by the head, share their block's weight."""
    scale = (1, 3)[h]
    blocks: dict[int, list[int]] = {}
    for j in seen:
        blocks.setdefault(j // scale, []).append(j)
    shares = weights([sum(k[j] for j in block) / len(block) for block in blocks.values()])
    return [
        share / len(block)
        for share, block in zip(shares, blocks.values(), strict=True)
        for _ in block
    ]


def window(layer, h, q, k, i, seen):
    near = [j for j in seen if abs(i - j) < 2]
    result = dict(
        zip(near, softmax([q[i] @ k[j] / math.sqrt(D) for j in near]), strict=True)
    ) if near else {}  # fmt: skip
    return [result.get(j, torch.tensor(0.0).double()) for j in seen]


def top_k(layer, h, q, k, i, seen):
    best = sorted(seen, key=lambda j: -float(q[i] @ k[j]))[:2]
    result = dict(zip(best, softmax([q[i] @ k[j] / math.sqrt(D) for j in best]), strict=True))
    return [result.get(j, torch.tensor(0.0).double()) for j in seen]


def low_rank(layer, h, q, k, i, seen):
    rank = range(layer.rank)
    keys = [sum(layer.mix_keys[c, j] * k[j] for j in seen) for c in rank]
    shares = softmax([q[i] @ key / math.sqrt(D) for key in keys])
    return [sum(shares[c] * layer.mix_values[c, j] for c in rank) for j in seen]


def by_kernel(function):
    def weights(layer, h, q, k, i, seen):
        values = [function(layer, q[i], k[j]) for j in seen]
        return [value / sum(values) for value in values]

    return weights


def elu_kernel(layer, q, k):
    return sum((nn.functional.elu(a) + 1) * (nn.functional.elu(b) + 1) for a, b in zip(q, k))  # noqa: B905


def random_kernel(layer, q, k):
    y, z = q / D**0.25, k / D**0.25
    return sum((w @ y - y @ y / 2).exp() * (w @ z - z @ z / 2).exp() for w in layer.directions)


REFERENCES = {
    "aaren": aaren,
    "attention_bn": attention_bn,
    "attention_bn_weighted": attention_bn_weighted,
    "attention_bn_sh": attention_bn_sh,
    "attention_sh": attention_sh,
    "window": window,
    "top_k": top_k,
    "low_rank": low_rank,
    "linear_elu": by_kernel(elu_kernel),
    "squared_kernel": by_kernel(lambda layer, q, k: (q @ k) ** 2),
    "performer": by_kernel(random_kernel),
    "mean": lambda layer, h, q, k, i, seen: [torch.tensor(1 / len(seen)).double() for _ in seen],
    "identity": lambda layer, h, q, k, i, seen: [
        torch.tensor(float(i == j)).double() for j in seen
    ],
}


@pytest.mark.parametrize("kind", ["full", "padding", "pairs"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("name", REFERENCES)
def test_equals_the_formula_pair_by_pair(name, is_causal, kind):
    layer, x = make(name), draw(B, L, E)
    mask = {
        "full": torch.ones(L),
        "padding": torch.tensor([1, 1, 0, 1, 1, 0]),
        "pairs": torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]] * 2),
    }[kind].bool()
    causal = is_causal or name == "aaren"
    p = layer.projections
    with torch.no_grad():
        expected = p.out.bias.expand(B, L, E).clone()
        for b in range(B):
            for h in range(H):
                q = head(p.query, x[b], h) if hasattr(p, "query") else None
                k = head(p.key, x[b], h) if hasattr(p, "key") else None
                v = head(p.value, x[b], h)
                out = p.out.weight[:, h * V : (h + 1) * V]
                for i in range(L):
                    row = mask.expand(L, L)[i].tolist()
                    seen = [j for j in range(L) if row[j] and (j <= i or not causal)]
                    if seen:
                        given = REFERENCES[name](layer, h, q, k, i, seen)
                        for j, weight in zip(seen, given, strict=True):
                            expected[b, i] += weight * (out @ v[j])
        torch.testing.assert_close(layer(x, mask=mask, is_causal=is_causal), expected)
        explicit, _ = layer(x, mask=mask, is_causal=is_causal, need_weights=True)
        torch.testing.assert_close(explicit, expected)


@pytest.mark.parametrize("is_causal", [False, True])
def test_token_mixing_equals_its_formula(is_causal):
    layer, x = make("token_mixing"), draw(B, L, E)
    mask = torch.tensor([True, True, False, True, True, True])
    p = layer.projections
    with torch.no_grad():
        expected = p.out.bias.expand(B, L, E).clone()
        for b, h, i in torch.cartesian_prod(*map(torch.arange, (B, H, L))).tolist():
            v = head(p.value, x[b], h)
            seen = [j for j in range(L) if mask[j] and (j <= i or not is_causal)]
            read = torch.zeros(V).double()
            for c in range(3):
                unit = sum(layer.inward[c, j] * v[j] for j in seen)
                read += layer.outward[i, c] * unit * (1 + torch.erf(unit / math.sqrt(2))) / 2
            expected[b, i] += p.out.weight[:, h * V : (h + 1) * V] @ read
        torch.testing.assert_close(layer(x, mask=mask, is_causal=is_causal), expected)
        pairs = mask.expand(L, L)
        torch.testing.assert_close(layer(x, mask=pairs, is_causal=is_causal), expected)


def test_fields_shift_the_scores():
    """The entries that read a field weigh like the formula with it; here a window and blocks."""
    x, field = draw(B, L, E), draw(1, H, L, L)
    band = WindowAttention(E, H, window=L).double()
    full = make("softmax", head_dim=None, value_dim=None)
    band.load_state_dict(full.state_dict())
    torch.testing.assert_close(band(x, field=field), full(x, field=field))
    single = make("attention_sh", scales=1, head_dim=None, value_dim=None)
    single.load_state_dict(full.state_dict())
    torch.testing.assert_close(single(x, field=field), full(x, field=field))
    best = make("top_k", kept=99, head_dim=None, value_dim=None)
    best.load_state_dict(full.state_dict())
    torch.testing.assert_close(best(x, field=field), full(x, field=field))


def test_batch_norm_ignores_a_shift_and_a_scale_of_queries_and_keys():
    """As batch normalisation does; plain softmax attention would follow the scale."""
    layer, q, k = make("attention_bn"), draw(B, H, L, D), 3 * draw(B, H, L, D)
    shift, scale = draw(B, H, 1, D), torch.tensor([3.0, 5.0]).double()
    a = layer.weights(q, k, None, None)
    moved = layer.weights(scale * q + shift, scale * k + shift, None, None)
    torch.testing.assert_close(moved, a, rtol=1e-4, atol=1e-5)


def test_the_weight_of_the_mean_between_its_limits():
    """1 is the published layer, 0 a softmax of scaled keys; every head learns its own."""
    q, k = draw(B, H, L, D), draw(B, H, L, D) + 2
    weights = [
        make("attention_bn", mean_weight=w).weights(q, k, None, None) for w in (0.0, 0.5, 1.0)
    ]
    torch.testing.assert_close(weights[2], make("attention_bn").weights(q, k, None, None))
    plain = (q / (k.var(2, correction=0, keepdim=True) + 1e-5)) @ k.mT / math.sqrt(D)
    torch.testing.assert_close(weights[0], plain.softmax(-1))
    assert (weights[1] - weights[0]).abs().max() > 0.01
    layer = make_mixer("attention_bn_sh", embed_dim=E, num_heads=H, registry=REGISTRY).double()
    layer(draw(B, L, E)).square().sum().backward()
    assert (layer.mean_weight.weight.grad.flatten() != 0).all()
    with pytest.raises(ValueError, match="mean_weight must be a finite number, got nan"):
        make("attention_bn", mean_weight=math.nan)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [11, 12])
def test_windows_in_blocks_equal_the_band(length, size, is_causal):
    layer, x = WindowAttention(E, H, window=size).double(), draw(B, length, E)
    for mask in (None, torch.rand(B, 1, 1, length) < 0.6):
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        out = layer(leaves[0], mask=mask, is_causal=is_causal)
        expected, weights = layer(leaves[1], mask=mask, is_causal=is_causal, need_weights=True)
        torch.testing.assert_close(out, expected)
        assert weights.count_nonzero(-1).max() <= (size if is_causal else 2 * size - 1)
        cotangent = torch.randn_like(out)
        grads = [
            torch.autograd.grad(o, leaf, cotangent)[0]
            for o, leaf in zip((out, expected), leaves, strict=True)
        ]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("name", ["linear_elu", "squared_kernel", "performer"])
@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_causal_sums_do_not_depend_on_the_chunk(name, chunk, monkeypatch):
    layer, x = make(name), draw(B, 9, E)
    mask = torch.arange(9) != 3
    expected, _ = layer(x, mask=mask, is_causal=True, need_weights=True)
    monkeypatch.setattr(kernel, "_CHUNK", chunk)
    torch.testing.assert_close(layer(x, mask=mask, is_causal=True), expected)


def test_performer_tends_to_softmax_attention():
    layer, exact = make("performer", num_features=40_000), make("softmax")
    q, k = (1.2 * nn.functional.normalize(draw(B, H, L, D), dim=-1) for _ in range(2))
    expected = exact.weights(q, k, None, None)
    assert (expected - 1 / L).abs().max() > 0.1
    # Of a kernel's estimate over 40000 draws the standard error is below 4 % at these lengths.
    assert (layer.weights(q, k, None, None) - expected).abs().max() < 0.05


def test_directions_are_orthogonal_in_blocks_and_normal():
    drawn = orthogonal_directions(4000, 4).double()
    blocks = drawn.unflatten(0, (-1, 4))
    gram = blocks @ blocks.mT
    off = gram - torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-4
    # 16000 entries: four standard errors of mean and mean square are 0.032 and 0.045
    assert drawn.mean().abs() < 0.032
    assert (drawn.square().mean() - 1).abs() < 0.045
    assert orthogonal_directions(7, 3).shape == (7, 3)


def test_aaren_is_stable_for_extreme_scores():
    """Scores of thousands, in single precision: the greatest so far takes all."""
    layer = make("aaren").float()
    with torch.no_grad():
        layer.query.mul_(1e4)
    x = torch.randn(1, 33, E)
    out, weights = layer(x, need_weights=True)
    got = layer(x)
    assert got.isfinite().all()
    torch.testing.assert_close(got, out)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, H, 33))
    got.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_linear_features_keep_small_numbers():
    """elu(x) + 1 is exp(x) below 0, also where adding 1 and taking it away would leave nothing."""
    layer = make("linear_elu")
    x = torch.tensor([-40, -1, 0, 2], dtype=torch.float64)
    expected = torch.tensor([math.exp(-40), math.exp(-1), 1, 3], dtype=torch.float64)
    torch.testing.assert_close(layer.features(x, of_states=True), expected, rtol=1e-12, atol=0)
