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


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "name", ["lse", "sparsemax", "rbm", "graph_hopfield", "energy_transformer", *REGISTRY.mixers]
)
def test_padding_of_self_attention_in_derivatives(name, value):
    """Padding is a state, too: a loss that leaves its output out has finite derivatives."""
    sizes = {"embed_dim": 8, "num_heads": 2, "registry": REGISTRY}
    with float64():
        if name in REGISTRY.energies:
            layer = make_layer(name, steps=2, **sizes)
        else:
            layer = make_mixer(name, length=6, **sizes)
    x, padding = draw(2, 5, 8), KEEP.expand(2, 1, 1, 5)
    for mask in (padding, KEEP, padding.expand(2, 2, 5, 5)):
        both(layer, lambda z, m=mask: layer(z, mask=m)[:, KEEP], x, spoiled(x, value))


def test_a_state_that_no_pattern_hides_keeps_its_numbers():
    with float64():
        layer = EnergyAttention(8, 2, registry=REGISTRY)
    x, context = draw(2, 5, 8), draw(2, 3, 8)
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[:, 2] = False  # seen by none, but reads
    moved = x.clone()
    moved[:, 2] += 1.0
    own, other = (layer(z, mask=mask[None, None])[:, 2] for z in (x, moved))
    assert not torch.allclose(own, other)
    x[:, 2] = math.nan
    assert layer(x, context, mask=torch.ones(3).bool())[:, 2].isnan().all()
    assert layer(x, mask=torch.ones(5).bool()).isnan().all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_padding_of_the_block_in_derivatives(value):
    with float64():
        block = EnergyTransformerBlock(8, 2, memories=3, steps=2, registry=REGISTRY)
    x, rows = draw(2, 5, 8), KEEP.expand(2, 1, 1, 5)
    for mask in (KEEP, KEEP.expand(2, 5), rows, rows.expand(2, 1, 5, 5)):
        both(block, lambda z, m=mask: block(z, mask=m)[:, KEEP], x, spoiled(x, value))
        kept = block(spoiled(x, value), mask=mask)[:, ~KEEP]
        torch.testing.assert_close(kept, torch.full_like(kept, value), equal_nan=True)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300])
@pytest.mark.parametrize("name", [n for n in PATTERNS if ENERGIES[n].reads_field])
def test_a_field_acts_nowhere_under_the_mask(name, value):
    with float64():
        layer = EnergyAttention(8, 2, name, steps=2, registry=REGISTRY)
    x, context, field = draw(2, 3, 8), draw(2, 5, 8), draw(2, 1, 3, 5)
    both(
        layer,
        lambda field: layer(x, context, mask=KEEP, field=field),
        field.masked_fill(~KEEP, 0.0),
        field.masked_fill(~KEEP, value),
    )
