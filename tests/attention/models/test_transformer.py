"""The transformer around a layer: sizes, positions, masks, inputs."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.transformer import Transformer

softmax = partial(HypernetworkAttention, normalize="softmax", value_network="linear")
hyla = partial(HypernetworkAttention, normalize="rms_head", value_network="relu")


def make(layer=softmax, **options) -> Transformer:
    sizes = {"width": 8, "heads": 2, "layers": 2, "mlp": 12, "outputs": 3, "positions": "relative"}
    sizes |= {"kind": "vector", "size": 5, "length": 6} | options
    return Transformer(make_layer=lambda: layer(sizes["width"], sizes["heads"]), **sizes).double()


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("layer", [softmax, hyla])
@pytest.mark.parametrize(
    ("factor", "layers", "expected"),
    [
        (1, 4, 402_824), (1, 8, 803_208), (1, 16, 1_603_976),
        (2, 4, 1_592_072), (2, 8, 3_179_272), (2, 16, 6_353_672),
        (4, 4, 6_329_864), (4, 8, 12_649_992), (4, 16, 25_290_248),
    ],
)  # fmt: skip
def test_parameter_counts_of_the_raven_models(layer, factor, layers, expected):
    width, heads = 128 * factor, 16 * factor
    with torch.device("meta"):
        model = Transformer(
            kind="vector", size=8, length=36, outputs=8, layers=layers, width=width, heads=heads,
            mlp=2 * width, positions="relative",
            make_layer=lambda: layer(width, heads, head_dim=4),
        )  # fmt: skip
    assert parameters(model) == expected


@pytest.mark.parametrize(("examples", "expected"), [(16, 151_009), (32, 151_265)])
def test_parameter_counts_of_the_fuzzy_logic_models(examples, expected):
    model = Transformer(
        kind="vector", size=5, length=examples, outputs=1, layers=2, width=128, heads=8, mlp=256,
        positions="relative", make_layer=lambda: hyla(128, 8, head_dim=2),
    )  # fmt: skip
    assert parameters(model) == expected


def test_equals_its_equations():
    model, x = make(hyla), torch.randn(2, 6, 5).double()

    def norm(z, layer):
        centred = z - z.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return centred / scale * layer.weight + layer.bias

    def gelu(z):
        return 0.5 * z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3)))

    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    z = x @ model.embedding.dense.weight.T + model.embedding.dense.bias
    for block in model.blocks:
        z = z + block.mixer(norm(z, block.norm1), field=block.bias(6))
        norm2, up, _, down = block.feed_forward
        z = z + gelu(norm(z, norm2) @ up.weight.T + up.bias) @ down.weight.T + down.bias
    expected = norm(z, model.norm) @ model.out.weight.T + model.out.bias
    torch.testing.assert_close(model(x), expected)


def test_without_feed_forward_and_positions_order_means_nothing():
    model, x, order = (
        make(mlp=0, positions="none"),
        torch.randn(2, 6, 5).double(),
        torch.randperm(6),
    )
    assert model.positions_used == "none"
    assert all(block.feed_forward is None and block.bias is None for block in model.blocks)
    torch.testing.assert_close(model(x[:, order]), model(x)[:, order])


@pytest.mark.parametrize("positions", ["relative", "absolute"])
def test_positions_tell_the_order(positions):
    model, x = make(positions=positions), torch.randn(2, 6, 5).double()
    assert model.positions_used == positions
    assert (model(x.flip(1)) - model(x).flip(1)).abs().max() > 1e-3
    assert (model.positions is not None) == (positions == "absolute")


class Blind(nn.Module):
    """A layer that cannot use a field."""

    reads_field = False

    def __init__(self, width, heads):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x, *, mask=None, field=None, is_causal=False):
        assert field is None
        return self.linear(x.cumsum(1))


def test_layers_that_read_no_field_get_absolute_positions():
    model = make(Blind)
    assert model.positions_used == "absolute"
    assert model.positions.table.shape == (6, 8)
    assert all(block.bias is None for block in model.blocks)
    assert model(torch.randn(2, 6, 5).double()).shape == (2, 6, 3)
    assert make(Blind, positions="none").positions_used == "none"


def test_one_such_layer_decides_for_the_whole_model():
    layers = iter([softmax(8, 2), Blind(8, 2)])
    model = Transformer(
        kind="vector", size=5, length=6, outputs=3, layers=2, width=8, heads=2, mlp=0,
        positions="relative", make_layer=lambda: next(layers),
    )  # fmt: skip
    assert model.positions_used == "absolute"
    assert all(block.bias is None for block in model.blocks)


@pytest.mark.parametrize("layer", [softmax, hyla])
def test_causal_models_do_not_see_the_future(layer):
    model, x = make(layer), torch.randn(2, 6, 5).double().requires_grad_()
    for i in range(6):
        (grad,) = torch.autograd.grad(model(x, is_causal=True)[:, i].sum(), x)
        assert grad[:, i + 1 :].count_nonzero() == 0
        assert grad[:, : i + 1].count_nonzero() > 0


def test_padding_equals_a_shorter_sequence():
    """Positions are those of the sequence's beginning, so padding at its end changes nothing."""
    model, x = make(), torch.randn(2, 6, 5).double()
    padding = torch.tensor([True, True, True, True, False, False])
    torch.testing.assert_close(model(x, mask=padding)[:, :4], model(x[:, :4]))


def test_longer_sequences():
    assert make()(torch.randn(1, 9, 5).double()).shape == (1, 9, 3)
    with pytest.raises(ValueError, match="9 positions is too long for 6"):
        make(positions="absolute")(torch.randn(1, 9, 5).double())


def test_tokens_are_looked_up_per_channel():
    model = make(kind="token", size=7, channels=2)
    tokens = torch.randint(7, (3, 6, 2))
    embedded = model.embedding(tokens)
    first, second = model.embedding.tables
    torch.testing.assert_close(embedded[1, 4, :4], first.weight[tokens[1, 4, 0]])
    torch.testing.assert_close(embedded[1, 4, 4:], second.weight[tokens[1, 4, 1]])
    assert model(tokens).shape == (3, 6, 3)
    single = make(kind="token", size=7)
    torch.testing.assert_close(single(tokens[..., 0]), single(tokens[..., :1]))


def test_embedded_tokens_have_unit_length_on_average():
    model = make(kind="token", size=2000, channels=2, width=32)
    length = model.embedding(torch.arange(2000)[None, :, None].expand(1, 2000, 2)).square().sum(-1)
    assert abs(length.mean() - 1) < 4 * (2 / 32 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "vectors"}, "kind must be 'vector' or 'token', got 'vectors'"),
        ({"channels": 2}, "only tokens have channels, got 2"),
        ({"kind": "token", "channels": 3}, "channels must divide the width 8, got 3"),
        (
            {"positions": "rotatory"},
            "no positions 'rotatory'.*mean 'rotary'.*: relative, absolute, rotary, none",
        ),
        ({"layers": 0}, "layers must be at least 1, got 0"),
    ],
)
def test_errors_of_construction(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("options", "inputs", "message"),
    [
        ({}, torch.zeros(2, 6, 4), r"inputs must be \(B, L, 5\) vectors, got shape \(2, 6, 4\)"),
        ({"kind": "token"}, torch.zeros(2, 6), "whole numbers below 5, got torch.float32"),
        (
            {"kind": "token", "channels": 2},
            torch.zeros(2, 6, dtype=torch.int64),
            r"inputs must be \(B, L, 2\) tokens, got shape \(2, 6\)",
        ),
        (
            {"kind": "token"},
            torch.zeros(2, 6, 3, dtype=torch.int64),
            r"inputs must be \(B, L, 1\) tokens or \(B, L\), got shape \(2, 6, 3\)",
        ),
    ],
)
def test_errors_of_inputs(options, inputs, message):
    with pytest.raises(ValueError, match=message):
        make(**options)(inputs)


def test_missing_or_unknown_shape_is_an_error():
    for extra in ({}, {"length": 4, "width2": 3}):
        with pytest.raises(TypeError, match=r"length|width2"):
            Transformer(
                kind="vector", size=5, outputs=3, layers=1, width=8, heads=2, mlp=0,
                positions="none", make_layer=lambda: softmax(8, 2), **extra,
            )  # fmt: skip


def test_copies_and_state_dicts_compute_the_same():
    model, other, x = make(hyla), make(hyla), torch.randn(2, 6, 5).double()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))
    assert torch.equal(copy.deepcopy(model)(x), model(x))


def test_a_few_steps_of_training_halve_the_loss():
    model, x = make(hyla), torch.randn(16, 6, 5).double()
    target = x.sum(-1).gt(0).long()
    losses = []
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(x).transpose(1, 2), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
