"""Inputs of the wrong type of numbers are refused in a sentence, wherever a layer takes them."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attenergy.attention import (
    EnergyMultiheadAttention,
    HeadGroups,
    Transformer,
    make_mixer,
    relax,
)
from attenergy.attention.graphs import EnergyConv
from attenergy.attention.graphs.aggregation import EnergyAggregation
from attenergy.energies import make_energy
from attenergy.registry import ArgumentError
from tests.attention.conftest import LAYERS, REGISTRY, model_sizes

E, H, L = 8, 2, 6
RING = torch.tensor([[0, 1], [1, 0]])


def mixer(name):
    sizes = {"embed_dim": E, "num_heads": H, "registry": REGISTRY}
    return make_mixer(name, **sizes, **({"length": L} if name in LONG else {}))


class Multihead(EnergyMultiheadAttention):
    """Of one input."""

    def __init__(self):
        super().__init__(E, H, batch_first=True, registry=REGISTRY)

    def forward(self, x):
        return super().forward(x, x, x)[0]


class Conv(torch.nn.Module):
    """Of one sample."""

    def __init__(self):
        super().__init__()
        self.conv = EnergyConv(E, E, heads=H, registry=REGISTRY)

    def forward(self, x):
        return self.conv(x[0], RING)


class Aggregation(torch.nn.Module):
    """Of one set."""

    def __init__(self):
        super().__init__()
        self.sets = EnergyAggregation(E, registry=REGISTRY)

    def forward(self, x):
        return self.sets(x[0], torch.zeros(L, dtype=torch.long))


class Context(torch.nn.Module):
    """Patterns that are not the states."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.states = layer, torch.nn.Parameter(torch.randn(2, L, E))

    def forward(self, x):
        return self.layer(self.states, x)


class Values(Context):
    """Values that are made of something else."""

    def __init__(self):
        super().__init__(LAYERS["attention"](value_context_dim=E))

    def forward(self, x):
        return self.layer(self.states, value_context=x)


LONG = ("low_rank", "token_mixing")
#: What is called with one tensor, and the name of it in messages.
MADE = {
    **{kind: (make, "context" if kind == "pooling" else "x") for kind, make in LAYERS.items()},
    **{name: (lambda name=name: mixer(name), "x") for name in REGISTRY.mixers},
    "groups": (lambda: HeadGroups([LAYERS["attention"](), mixer("linear")]), "x"),
    "model": (
        lambda: Transformer(kind="vector", size=E, outputs=3, positions="none", **model_sizes()),
        "inputs",
    ),
    "multihead": (Multihead, "query"),
    "conv": (Conv, "x"),
    "aggregation": (Aggregation, "x"),
    "context": (lambda: Context(LAYERS["attention"]()), "context"),
    "context of a mixer": (lambda: Context(mixer("softmax")), "context"),
    "values": (Values, "value_context"),
}


def draw(dtype):
    return (3 * torch.randn(2, L, E)).to(dtype)


@pytest.mark.parametrize("kind", MADE)
def test_another_type_of_numbers_is_refused(kind):
    make, name = MADE[kind]
    module = make().float()
    module(draw(torch.float32))
    for dtype in (torch.int64, torch.uint8, torch.bool, torch.complex64):
        with pytest.raises(ArgumentError, match=f"{name} must be floating point, got {dtype}"):
            module(draw(dtype))
    for weights, given in ((torch.float32, torch.float64), (torch.float64, torch.float32)):
        with pytest.raises(ArgumentError, match=f"{name} must be {weights} as .* got {given}"):
            module.to(weights)(draw(given))
    module.double()(draw(torch.float64))


@pytest.mark.parametrize("kind", ["attention", "multihead", "softmax", "model", "block"])
def test_autocast_brings_types_together(kind):
    module = MADE[kind][0]().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            assert module(draw(dtype)).isfinite().all()
        with pytest.raises(ArgumentError, match=r"must be torch\.float32 as the weights, got"):
            module(draw(torch.float64))


def test_tensors_without_numbers_and_other_maps():
    with torch.device("meta"):
        assert LAYERS["attention"]().float()(torch.empty(2, L, E)).is_meta
        with pytest.raises(ArgumentError, match="as the weights"):
            LAYERS["attention"]().float()(torch.empty(2, L, E, dtype=torch.float64))
    layer = LAYERS["attention"]().float()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert layer(torch.empty(2, L, E, dtype=torch.float32)).shape == (2, L, E)

    class Rounding(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x.to(self.weight))

    layer = LAYERS["attention"]().float()
    for name in ("query", "key", "value", "out"):
        setattr(layer.projections, name, Rounding(E, E).float())
    assert layer(draw(torch.float64)).dtype == torch.float32


def test_compiles_and_exports_to_one_graph():
    layer, x = LAYERS["attention"]().float().eval(), draw(torch.float32)
    program = torch.export.export(layer, (x,))
    torch.testing.assert_close(program.module()(x), layer(x))
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.compile(layer, backend="eager", fullgraph=True)(x.bfloat16())


@pytest.mark.parametrize("name", ["lse", "energy_transformer"])
def test_energies_and_relaxations_take_numbers(name):
    energy = make_energy(name, dim=E, registry=REGISTRY)
    x = draw(torch.int64)
    for call in (lambda: energy(x, x), lambda: relax(energy, x, x, steps=1, step_size=0.1)):
        with pytest.raises(ArgumentError, match=r"xi must be floating point, got torch\.int64"):
            call()
