"""Layers, models and exchanged models: a sample gives the same however its batch is padded."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import attenergy
from attenergy.attention import EnergyAttention, Transformer, make_layer
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
BY_POSITION = (
    "vector_spins", "gaussian_spins", "potts", "spherical_spins", "n_vector", "graph_hopfield",
    "graph_memory", "boltzmann", "unrestricted_boltzmann", "continuous_time",
)  # fmt: skip
LENGTHS = (3, 7, 5, 1)


def padded(side):
    """Where the tokens of each sample are, (B, L)."""
    there = torch.arange(7) < torch.tensor(LENGTHS).unsqueeze(-1)
    if side == "left":
        return there.flip(-1)
    return there[:, torch.tensor([0, 6, 1, 5, 2, 4, 3])] if side == "middle" else there


def compare(out, there, alone, *leaves):
    """Values and the derivatives of the whole, sample by sample."""
    torch.testing.assert_close(out[there], torch.cat(alone, 0), rtol=1e-11, atol=1e-12)
    together = torch.autograd.grad(out[there].square().sum(), leaves, allow_unused=True)
    apart = torch.autograd.grad(sum(a.square().sum() for a in alone), leaves, allow_unused=True)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("side", ["right", "left", "middle"])
@pytest.mark.parametrize("name", BY_POSITION)
def test_layers(name, side):
    with float64():
        layer = EnergyAttention(8, 2, name, steps=2, registry=REGISTRY)
    torch.manual_seed(0)
    x, there = torch.randn(4, 7, 8, dtype=torch.float64, requires_grad=True), padded(side)
    out = layer(x, mask=there[:, None, None])
    alone = [layer(x[i : i + 1, there[i]])[0] for i in range(4)]
    compare(out, there, alone, x, *layer.parameters())


@pytest.mark.parametrize("name", BY_POSITION)
def test_models(name):
    make = partial(make_layer, name, embed_dim=8, num_heads=2, steps=2, registry=REGISTRY)
    with float64():
        model = Transformer(
            kind="vector", size=8, outputs=3, width=8, heads=2, layers=2, mlp=8, length=7,
            positions="none", make_layer=make,
        )  # fmt: skip
    torch.manual_seed(0)
    x, there = torch.randn(4, 7, 8, dtype=torch.float64, requires_grad=True), padded("left")
    out = model(x, mask=there)
    alone = [model(x[i : i + 1, there[i]])[0] for i in range(4)]
    compare(out, there, alone, x, *model.parameters())


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", BY_POSITION)
def test_exchanged_models(name, implementation):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, vocab_size=32,
        num_attention_heads=2, attn_implementation=implementation,
    )  # fmt: skip
    torch.manual_seed(0)
    with float64():
        bert = transformers.BertModel(config, add_pooling_layer=False).eval()
        model = attenergy.energize(bert, name, steps=2)
    ids, there = torch.randint(3, 32, (4, 7)), padded("right")
    out = model(ids, attention_mask=there.long())[0]
    alone = [model(ids[i : i + 1, there[i]])[0][0] for i in range(4)]
    leaves = [p for p in model.parameters() if p.requires_grad]
    compare(out, there, alone, *leaves)
