"""Options of the transformer: causality, convolution, positions, readout, padding."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d

from attenergy.attention import make_layer
from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.bottleneck import Bottleneck
from attenergy.attention.models.transformer import Transformer
from attenergy.attention.modules.positions import (
    AbsolutePositions,
    RelativePositionBias,
    rotates,
    sinusoids,
)
from attenergy.attention.modules.short_convolution import ShortConvolution
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
softmax = partial(HypernetworkAttention, 8, 2, normalize="softmax", value_network="linear")
lse = partial(make_layer, "lse", embed_dim=8, num_heads=2, registry=REGISTRY)
two_steps = partial(make_layer, "et_memory", embed_dim=8, num_heads=2, registry=REGISTRY, steps=2)


def make(make_layer=lse, **options) -> Transformer:
    sizes = {"width": 8, "heads": 2, "layers": 2, "mlp": 12, "outputs": 3, "positions": "relative"}
    sizes |= {"kind": "vector", "size": 5, "length": 6} | options
    with float64():
        model = Transformer(make_layer=make_layer, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


# Causality.


def test_a_causal_model_is_causal_unless_told_otherwise():
    model, x = make(causal=True), draw(2, 6, 5)
    torch.testing.assert_close(model(x)[:, :4], model(x[:, :4]))
    assert torch.equal(model(x), model(x, is_causal=True))
    assert not torch.allclose(model(x, is_causal=False), model(x))
    other = make()
    assert torch.equal(other(x), other(x, is_causal=False))


# Short convolution.


def test_the_convolution_by_loops():
    layer, x = ShortConvolution(3, 2).double(), draw(2, 5, 3)
    nn.init.normal_(layer.bias)
    want = torch.zeros_like(x)
    for b in range(2):
        for t in range(5):
            for c in range(3):
                before = x[b, t - 1, c] if t else 0.0
                now = layer.weight[c, 0] * x[b, t, c] + layer.weight[c, 1] * before
                want[b, t, c] = x[b, t, c] + now + layer.bias[c]
    torch.testing.assert_close(layer(x), want)


def test_the_convolution_goes_on_where_it_stopped():
    layer, x = ShortConvolution(3, 4).double(), draw(2, 9, 3)
    torch.testing.assert_close(layer(x[:, 5:], before=x[:, 2:5]), layer(x)[:, 5:])
    torch.testing.assert_close(layer(x[:, :5]), layer(x)[:, :5])


def test_filters_start_with_variance_one_over_their_length():
    weight = ShortConvolution(4000, 5).weight
    assert weight.var().item() == pytest.approx(1 / 5, rel=0.05)
    with pytest.raises(ValueError, match="kernel must be at least 1, got 0"):
        ShortConvolution(3, 0)


def test_blocks_convolve_before_the_layer():
    model, x = make(conv=3, mlp=0, layers=1, positions="none"), draw(2, 6, 5)
    block = model.blocks[0]
    h = model.embedding(x)
    z = block.norm1(h)
    filters = block.conv.weight.flip(-1).unsqueeze(1)
    z = z + conv1d(z.mT, filters, block.conv.bias, padding=2, groups=8).mT[:, :6]
    torch.testing.assert_close(model(x), model.out(model.norm(h + block.mixer(z))))
    assert make().blocks[0].conv is None


def test_a_convolution_tells_the_order():
    x = draw(2, 6, 5)
    for conv, same in ((0, True), (2, False)):
        model = make(conv=conv, positions="none")
        assert torch.allclose(model(x.flip(1)), model(x).flip(1)) is same


# Padding and masks.


@pytest.mark.parametrize("layer", [lse, softmax, two_steps])
@pytest.mark.parametrize("conv", [0, 3])
@pytest.mark.parametrize("readout", ["position", "bottleneck"])
def test_padding_at_the_end_equals_a_shorter_sequence(layer, conv, readout):
    model, x = make(layer, conv=conv, readout=readout), draw(3, 6, 5)
    padding = torch.arange(6) < torch.tensor([[6], [4], [1]])
    out = model(x, mask=padding)
    for sample, length in ((0, 6), (1, 4), (2, 1)):
        want = model(x[sample : sample + 1, :length])
        torch.testing.assert_close(out[sample : sample + 1, :length], want)


def test_padding_at_the_beginning_does_not_count():
    """Without absolute positions: only distances and what is there matter."""
    model, x = make(conv=3), draw(2, 6, 5)
    padding = torch.arange(6).expand(2, 6) >= 2
    torch.testing.assert_close(model(x, mask=padding)[:, 2:], model(x[:, 2:]))
    changed = torch.where(padding.unsqueeze(-1), x, 100.0)
    out, want = model(changed, mask=padding), model(x, mask=padding)
    torch.testing.assert_close(out[:, 2:], want[:, 2:])


def test_masks_of_all_ranks_say_the_same():
    model, x = make(), draw(2, 6, 5)
    padding = torch.tensor([[1, 1, 1, 1, 0, 0]] * 2).bool()
    want = model(x, mask=padding)
    for same in (
        padding[0], padding[:1], padding[:, None].expand(2, 6, 6),
        padding[:1, None].expand(1, 6, 6), padding[:, None, None],
        padding[:, None, None].expand(2, 2, 6, 6),
    ):  # fmt: skip
        torch.testing.assert_close(model(x, mask=same), want)


def test_masks_of_pairs_cut_what_they_cut():
    """Two groups that do not see each other are two samples."""
    model, x = make(positions="none"), draw(1, 6, 5)
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    pairs = (group[:, None] == group)[None]
    want = model(x.view(2, 3, 5)).view(1, 6, 3)
    torch.testing.assert_close(model(x, mask=pairs), want)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 6), "mask must be boolean, .* got torch.float32"),
        (torch.ones(6, 6).bool(), r"\(B, L\) = \(2, 6\), got shape \(6, 6\); a \(L, L\) mask"),
        (torch.ones(2, 5).bool(), r"what is padding.*got shape \(2, 5\)"),
        (torch.ones(5).bool(), r"what is padding.*got shape \(5,\)"),
        (torch.ones(3, 6, 6).bool(), r"\(B, L, L\) = \(2, 6, 6\), got shape \(3, 6, 6\)"),
    ],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(ValueError, match=message):
        make()(draw(2, 6, 5), mask=mask)


# Positions.


def test_rotary_positions_are_asked_of_the_layer():
    calls = []

    def layer(**extra):
        calls.append(extra)
        return lse(**extra)

    x = draw(2, 6, 5)
    model = make(layer, positions="rotary")
    assert calls == [{"rotary": True}] * 2
    assert model.positions_used == "rotary"
    assert model.positions is None
    assert all(block.bias is None for block in model.blocks)
    assert not torch.allclose(model(x.flip(1)), model(x).flip(1))
    make(layer)
    assert calls[2:] == [{}] * 2


def test_layers_that_do_not_turn_get_absolute_positions():
    calls = []

    def layer(**extra):
        calls.append(extra)
        return softmax() if len(calls) == 2 else lse(**extra)  # one of them takes no heed

    model = make(layer, positions="rotary")
    assert model.positions_used == "absolute"
    assert calls == [{"rotary": True}] * 2 + [{}] * 2
    assert not any(rotates(block.mixer) for block in model.blocks)


def test_rows_of_the_bias_and_vectors_from_a_start():
    for length in (5, 9):  # within the table and beyond it
        bias = RelativePositionBias(2, 6)
        assert torch.equal(bias(length, start=3), bias(length)[..., 3:, :])
    positions, x = AbsolutePositions(6, 4), torch.randn(2, 6, 4)
    assert torch.equal(positions(x[:, 2:], start=2), positions(x)[:, 2:])
    with pytest.raises(ValueError, match="7 positions is too long for 6"):
        positions(x, start=1)


def test_sinusoids_one_by_one():
    waves = sinusoids(7, 5)
    assert waves.shape == (7, 5)
    for t in range(7):
        for k in range(5):
            angle = t / 10000 ** ((k - k % 2) / 5)
            want = math.cos(angle) if k % 2 else math.sin(angle)
            assert waves[t, k].item() == pytest.approx(want, abs=1e-12)


# Readout.


def test_the_bottleneck_passes_one_vector():
    model, x = make(readout="bottleneck"), draw(2, 6, 5)
    h = model.embedding(x)
    for block in model.blocks:
        h = block(h)
    norm1, first, act, norm2, second, _, norm3, last = model.out.decode
    for t in range(6):
        z = h[:, -1] + sinusoids(6, 8)[t]
        want = last(norm3(act(second(norm2(act(first(norm1(z))))))))
        torch.testing.assert_close(model(x)[:, t], want)
    changed = h.clone()
    changed[:, :5] = 0
    assert torch.equal(model.read(changed), model.read(h))


def test_the_bottleneck_learns_to_give_back_what_went_in():
    torch.manual_seed(3)
    model = Transformer(
        make_layer=partial(softmax), kind="token", size=3, length=4, outputs=3, width=8, heads=2,
        layers=1, mlp=16, positions="relative", readout="bottleneck",
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(200):
        x = torch.randint(3, (64, 4))
        loss = nn.functional.cross_entropy(model(x).mT, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5 * math.log(3)


def test_a_tied_readout_needs_tokens():
    model = make(kind="token", size=5, outputs=5, readout="tied")
    assert model.out is None
    assert model(torch.randint(5, (2, 6))).shape == (2, 6, 5)
    for wrong in ({}, {"kind": "token"}, {"kind": "token", "channels": 2, "outputs": 5}):
        with pytest.raises(ValueError, match="a tied readout needs tokens of one channel"):
            make(readout="tied", **wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": "botleneck"}, "no readout 'botleneck'.*mean 'bottleneck'"),
        ({"conv": -1}, "conv must be a kernel from 1, or 0 for none, got -1"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_bottlenecks_and_convolutions_have_second_derivatives():
    for module in (Bottleneck(4, 2).double(), ShortConvolution(4, 2).double()):
        x = draw(1, 3, 4).requires_grad_()
        assert torch.autograd.gradgradcheck(module, (x,))
