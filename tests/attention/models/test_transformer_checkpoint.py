"""Blocks that are computed again on the way back: the same numbers for less memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from attenergy.attention import make_layer
from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.transformer import Transformer
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
softmax = partial(HypernetworkAttention, 8, 2, normalize="softmax", value_network="linear")
sizes = {"embed_dim": 8, "num_heads": 2, "registry": REGISTRY}
lse = partial(make_layer, "lse", **sizes)
two_steps = partial(make_layer, "et_memory", steps=2, **sizes)
opaque = partial(make_layer, "uhop", backend="traced", **sizes)


def make(layer=lse, **options) -> Transformer:
    with float64():
        return Transformer(
            make_layer=layer, width=8, heads=2, mlp=12, outputs=3, positions="relative",
            kind="vector", size=5, length=6, **({"layers": 2} | options),
        )  # fmt: skip


@pytest.mark.parametrize(
    "layer", [lse, softmax, two_steps, pytest.param(opaque, marks=pytest.mark.slow)]
)
def test_checkpoints_change_neither_values_nor_gradients(layer):
    x, padding = draw(2, 6, 5), torch.tensor([[1] * 6, [1] * 4 + [0] * 2]).bool()
    plain, saving = make(layer, conv=2), make(layer, conv=2, checkpoint=True)
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        model(x, mask=padding, is_causal=True).square().sum().backward()
    with torch.no_grad():
        assert torch.equal(saving(x), plain(x))
    for name, parameter in plain.named_parameters():
        assert torch.equal(saving.get_parameter(name).grad, parameter.grad), name


def test_checkpoints_draw_the_same_dropout_twice():
    layer = partial(softmax, dropout=0.5)
    x, plain, saving = draw(2, 6, 5), make(layer), make(layer, checkpoint=True)
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        torch.manual_seed(5)
        model(x).square().sum().backward()
    assert torch.equal(saving.blocks[0].norm1.weight.grad, plain.blocks[0].norm1.weight.grad)


def test_checkpoints_keep_less_for_the_way_back():
    counts = {}
    for checkpoint in (False, True):
        model, count = make(layers=4, checkpoint=checkpoint), 0

        def pack(value):
            nonlocal count
            count += value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            model(draw(4, 6, 5))
        counts[checkpoint] = count
    assert counts[True] < counts[False] / 3
