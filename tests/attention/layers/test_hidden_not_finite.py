"""A hidden pattern acts nowhere, whatever numbers stand there: forward and in derivatives."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from attenergy.attention import (
    EnergyAttention,
    EnergyPooling,
    EnergyTransformerBlock,
    Transformer,
    backends,
    make_layer,
    make_mixer,
)
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in REGISTRY.energies}
PATTERNS = [n for n, e in ENERGIES.items() if e.reads_patterns]
VALUES = [math.nan, *(pytest.param(v, marks=pytest.mark.slow) for v in (math.inf, -1e300))]
KEEP = torch.tensor([True, True, False, True, False])  # 5 patterns, two of them hidden


def spoiled(context, value):
    return torch.where(KEEP[:, None], context, value)


def both(layer, call, good, bad):
    """Results and derivatives of the trained parameters for both inputs are equal."""
    result = []
    for inputs in (good, bad):
        layer.zero_grad()
        out = call(inputs)
        out.square().sum().backward()
        result.append([out.detach(), *(p.grad for p in layer.parameters() if p.requires_grad)])
    for a, b in zip(*result, strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(b, a)


@pytest.mark.long
@pytest.mark.by_kind("lse", "elliptical", "sparsemax", "graph_memory", "exponential")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", PATTERNS)
def test_hidden_patterns_of_layers(name, value):
    context, x = draw(2, 5, 8), draw(2, 3, 8)
    for backend in ("auto", *backends(ENERGIES[name])):
        with float64():
            layer = EnergyAttention(8, 2, name, steps=2, backend=backend, registry=REGISTRY)
        both(layer, partial(layer, x, mask=KEEP), context, spoiled(context, value))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", list(REGISTRY.mixers))
def test_hidden_patterns_of_mixers(name, value):
    with float64():
        mixer = make_mixer(name, embed_dim=8, num_heads=2, length=6, registry=REGISTRY)
    context, x = draw(2, 5, 8), draw(2, 3, 8)
    pairs = KEEP & (torch.rand(2, 2, 3, 5) < 0.7)  # not the same for all states
    masks = [KEEP, KEEP.expand(2, 1, 1, 5), pairs]
    options = [{}, {"need_weights": True}] if mixer.has_weights else [{}]
    for more in options:

        def call(inputs, mask, more=more):
            out = mixer(x, inputs, mask=mask, **more)
            return out[0] if more else out

        if mixer.takes_context:
            for mask in masks:
                both(mixer, partial(call, mask=mask), context, spoiled(context, value))
            continue
        bad, own = spoiled(context, value), KEEP.expand(2, 1, 1, 5)
        got, want = (mixer(s, mask=own, **more) for s in (bad, context))
        got, want = (got[0], want[0]) if more else (got, want)
        torch.testing.assert_close(got[:, KEEP], want[:, KEEP])


@pytest.mark.parametrize("kind", ["transformer", "block"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_padding_of_models(kind, value):
    make = partial(make_layer, "lse", embed_dim=8, num_heads=2, registry=REGISTRY)
    with float64():
        model = {
            "transformer": partial(
                Transformer, kind="vector", size=8, outputs=3, positions="relative", layers=2,
                width=8, heads=2, mlp=4, length=5, conv=2, make_layer=make,
            ),
            "block": partial(EnergyTransformerBlock, 8, 2, memories=3, steps=2, registry=REGISTRY),
        }[kind]()  # fmt: skip
    x = draw(2, 5, 8)
    want, got = model(x, mask=KEEP), model(spoiled(x, value), mask=KEEP)
    torch.testing.assert_close(got[:, KEEP], want[:, KEEP])


def test_hidden_patterns_of_pooling():
    with float64():
        pooling = EnergyPooling(8, 2, num_queries=3, registry=REGISTRY)
    context = draw(2, 5, 8)
    both(pooling, partial(pooling, mask=KEEP), context, spoiled(context, math.nan))
