"""What the tests of layers share; `from tests.attention.conftest import ...`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from attenergy.attention import (
    EnergyAttention,
    EnergyLookup,
    EnergyPooling,
    EnergyTransformerBlock,
    make_layer,
)
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
#: Width 8 and two heads, of each public class with an energy.
LAYERS = {
    "attention": partial(EnergyAttention, 8, 2, registry=REGISTRY),
    "lookup": partial(EnergyLookup, 8, 2, num_patterns=5, registry=REGISTRY),
    "pooling": partial(EnergyPooling, 8, 2, num_queries=3, registry=REGISTRY),
    "block": partial(EnergyTransformerBlock, 8, 2, memories=3, steps=2, registry=REGISTRY),
}


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def moved(module):
    """Every parameter leaves where it began."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def model_sizes(name="lse", **changes):
    """What a small model is made of whose layers are those of an entry."""
    make = partial(make_layer, name, embed_dim=8, num_heads=2, registry=REGISTRY)
    return {
        "width": 8,
        "heads": 2,
        "layers": 1,
        "mlp": 4,
        "length": 6,
        "make_layer": make,
    } | changes


@pytest.fixture(scope="session")
def stored():
    """The patterns that suit an energy: those given, or the states if it reads the states alone."""
    return lambda energy, xi, X: X if energy.reads_patterns else xi


@pytest.fixture
def lone_process_group() -> Iterator[None]:
    """Distributed training with this process alone."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    # A model that outlives its group can wait for ever, in its destructor, for the group's threads.
    gc.collect()
    distributed.destroy_process_group()
