"""Rotary positions and normalised states and patterns."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from attenergy.attention import EnergyAttention, relax
from attenergy.attention.modules.head_norm import HeadNorm
from attenergy.attention.modules.preparation import Preparation
from attenergy.attention.modules.projections import Projections
from attenergy.attention.modules.rotary import rotate
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
B, L, S, E, H = 2, 6, 4, 16, 2
#: Energies that read states and patterns through inner products, in a domain that rotations keep.
ROUND = ["lse", "rbm", "polynomial", "entmax", "l2_lse"]


def make(energy="lse", **options):
    return EnergyAttention(E, H, energy, registry=REGISTRY, **options).double()


def test_a_rotation_is_a_product_with_complex_numbers_of_modulus_one():
    x, d, base = draw(3, 5, 8), 8, 100.0
    speed = torch.tensor([base ** (-2 * m / d) for m in range(4)], dtype=torch.float64)
    angle = torch.arange(5)[:, None] * speed
    turned = torch.complex(x[..., :4], x[..., 4:]) * torch.exp(1j * angle)
    got = rotate(x, base=base)
    torch.testing.assert_close(got, torch.cat([turned.real, turned.imag], -1))
    torch.testing.assert_close(rotate(got, base=base, back=True), x)
    later = rotate(torch.cat([draw(3, 7, 8), x], 1))[:, 7:]
    torch.testing.assert_close(rotate(x, offset=7), later)
    torch.testing.assert_close(got[:, 0], x[:, 0])


def test_scores_depend_on_distances_alone():
    q, k = draw(1, 1, 8).expand(1, L, 8), draw(1, 1, 8).expand(1, L, 8)
    scores = rotate(q) @ rotate(k).mT
    for distance in range(-L + 1, L):
        line = scores.diagonal(distance, -2, -1)
        torch.testing.assert_close(line, line[..., :1].expand_as(line))
    assert (scores - scores[..., :1, :1]).abs().amax() > 0.1
    torch.testing.assert_close(rotate(q, offset=90) @ rotate(k, offset=90).mT, scores)


def test_each_sample_may_start_elsewhere():
    x, offset = draw(B, H, L, 8), torch.tensor([0, 5])
    want = torch.stack([rotate(x[0]), rotate(x[1], offset=5)])
    torch.testing.assert_close(rotate(x, offset=offset[:, None, None]), want)


@pytest.mark.parametrize("name", ROUND)
@pytest.mark.parametrize("read", ["weights", "state"])
def test_moving_all_positions_changes_nothing(name, read):
    layer, x = make(name, rotary=True, steps=2, read=read), draw(B, L, E)
    want = layer(x, is_causal=True)
    torch.testing.assert_close(layer(x, is_causal=True, offset=11), want)
    start = torch.tensor([3, 8])[:, None, None]
    torch.testing.assert_close(layer(x, is_causal=True, offset=start), want)


@pytest.mark.parametrize("read", ["weights", "state"])
def test_order_counts_with_rotary_positions_only(read):
    x, order = draw(1, L, E), torch.randperm(L)
    while (order == torch.arange(L)).all():
        order = torch.randperm(L)
    plain, turned = make(read=read, beta=2.0), make(read=read, beta=2.0, rotary=True)
    torch.testing.assert_close(plain(x[:, order]), plain(x)[:, order])
    assert (turned(x[:, order]) - turned(x)[:, order]).abs().amax() > 1e-3


def test_a_rotary_layer_written_out():
    layer, x, context = make(rotary=True, steps=2, step_size=0.7), draw(B, L, E), draw(B, S, E)
    p = layer.projections
    q, k, v = (m(y).unflatten(-1, (H, -1)).transpose(1, 2) for m, y in
               ((p.query, x), (p.key, context), (p.value, context)))  # fmt: skip
    X = rotate(k)
    xi = relax(layer.energy, rotate(q, offset=2), X, steps=1, step_size=0.7).state
    weights = (xi @ X.mT / (E / H) ** 0.5).softmax(-1)
    torch.testing.assert_close(layer(x, context, offset=2), p.merge(weights @ v))


def test_new_states_on_kept_keys_equal_the_whole_sequence():
    layer, x = make(rotary=True, num_kv_heads=1), draw(B, L, E)
    p, whole = layer.projections, layer(x, is_causal=True)
    keys = torch.cat([p.keys(x[:, :4]), p.keys(x[:, 4:], offset=4)], 2)
    values = torch.cat([p.values(x[:, :4]), p.values(x[:, 4:])], 2)
    assert keys.shape == values.shape == (B, 1, L, E // H)
    mask = torch.ones(L, L).tril().bool()[4:]
    out = layer.attend(
        p.queries(x[:, 4:], offset=4), p.expanded(keys), p.expanded(values), mask=mask
    )
    torch.testing.assert_close(p.merge(out.read), whole[:, 4:])


def test_norms_are_those_of_torch():
    x = 3 * draw(B, H, L, 8) + 1
    layer, rms, l2 = (HeadNorm(kind, H, 8).double() for kind in ("layer_norm", "rms_norm", "l2"))
    torch.testing.assert_close(layer(x), functional.layer_norm(x, (8,), eps=1e-6))
    torch.testing.assert_close(rms(x), functional.rms_norm(x, (8,), eps=1e-6))
    torch.testing.assert_close(l2(x), functional.normalize(x, dim=-1), rtol=1e-6, atol=1e-6)
    assert l2.gain is None
    with torch.no_grad():
        rms.gain.copy_(draw(H, 1, 8))
    torch.testing.assert_close(rms(x), functional.rms_norm(x, (8,), eps=1e-6) * rms.gain)


@pytest.mark.parametrize("kind", ["l2", "rms_norm", "layer_norm"])
def test_norms_have_derivatives_of_first_and_second_order_also_at_zero(kind):
    norm = HeadNorm(kind, H, 4).double()
    for x in (draw(H, 2, 4).requires_grad_(), torch.zeros(H, 2, 4).double().requires_grad_()):
        (slope,) = torch.autograd.grad(norm(x).sin().sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.square().sum(), x)
        assert slope.isfinite().all()
        assert bend.isfinite().all()
    assert torch.autograd.gradcheck(norm, (draw(H, 2, 4).requires_grad_(),))
    low = torch.full((H, 2, 4), 300.0, dtype=torch.float16)  # its square overflows in float16
    assert norm.half()(low).dtype == torch.float16
    assert norm(low).isfinite().all()


def test_normalised_layers_written_out():
    layer = make(normalize_states="rms_norm", normalize_patterns="layer_norm", rotary=True)
    with torch.no_grad():
        for norm in (layer.projections.preparation.state_norm,
                     layer.projections.preparation.pattern_norm):  # fmt: skip
            norm.gain.copy_(draw(H, 1, E // H))
    x, p = draw(B, L, E), layer.projections
    q, k, v = (m(x).unflatten(-1, (H, -1)).transpose(1, 2) for m in (p.query, p.key, p.value))
    q = functional.rms_norm(q, (8,), eps=1e-6) * p.preparation.state_norm.gain
    k = functional.layer_norm(k, (8,), eps=1e-6) * p.preparation.pattern_norm.gain
    want = functional.scaled_dot_product_attention(rotate(q), rotate(k), v)
    torch.testing.assert_close(layer(x), p.merge(want))


def test_cosines_bound_the_scores():
    layer = make(normalize_states="l2", normalize_patterns="l2", beta=3.0)
    _, weights = layer(1e3 * draw(B, L, E), need_weights=True)
    assert weights.amax() / weights.amin() <= torch.e**6 + 1e-9
    assert all("preparation" not in name for name, _ in layer.named_parameters())


def test_energies_of_the_states_alone_turn_and_normalise_their_states():
    layer = make("energy_transformer", rotary=True, normalize_states="rms_norm")
    x = draw(B, L, E)
    flipped = layer(x.flip(1)).flip(1)
    assert not torch.allclose(layer(x), flipped)
    torch.testing.assert_close(layer(5 * x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["state", "pattern"])
def test_what_does_nothing_is_not_there(kind):
    p = Projections(E, H)
    assert p.preparation is None
    assert [name for name, _ in p.named_children()] == ["query", "key", "value", "out"]
    p = Projections(E, H, **{f"normalize_{kind}s": "layer_norm"}, num_kv_heads=1)
    (gain,) = p.preparation.parameters()
    assert gain.shape == (H if kind == "state" else 1, 1, E // H)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotary": True, "head_dim": 3}, "rotary positions need an even head_dim, got 3"),
        ({"rotary_base": 1.0}, "rotary_base must be a number above 1, got 1.0"),
        (
            {"normalize_states": "rmsnorm"},
            r"no normalize_states 'rmsnorm' \(did you mean 'rms_norm'\?\)",
        ),
        ({"normalize_patterns": "L2"}, r"no normalize_patterns 'L2' \(did you mean 'l2'\?\)"),
        ({"rotry": True}, r"takes no argument 'rotry' \(did you mean 'rotary'\?\)"),
        (
            {"energy": "energy_transformer", "normalize_patterns": "l2"},
            "normalize_patterns has no use in a layer of",
        ),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_options_are_shown():
    assert "rotary=True" in repr(Preparation(4, 1, 1, rotary=True))
    assert "rms_norm" in repr(HeadNorm("rms_norm", 1, 4))
