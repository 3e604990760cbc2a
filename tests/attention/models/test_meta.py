"""Models that are built without numbers, and get those of another one."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attenergy.attention import LanguageModel, Transformer, make_layer
from attenergy.attention.modules.positions import RelativePositionBias
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
SIZES = {"width": 8, "heads": 2, "layers": "lse/hyla", "mlp": 12, "length": 6}
MODELS = {
    **{
        f"language, {positions}": partial(LanguageModel, vocabulary=7, positions=positions, **SIZES)
        for positions in ("relative", "absolute", "rotary", "none")
    },
    **{
        f"transformer, {readout}": partial(
            Transformer, kind="token", size=7, outputs=7, positions="relative", conv=2,
            readout=readout, **SIZES,
        )
        for readout in ("position", "bottleneck", "tied")
    },
}  # fmt: skip


def by_assignment(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    model.load_state_dict(state, assign=True)


def into_empty_memory(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    torch.use_deterministic_algorithms(True)  # fills what is empty with numbers far too large
    try:
        model.to_empty(device="cpu")
    finally:
        torch.use_deterministic_algorithms(False)
    model.load_state_dict(state)


def one_by_one(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        holder, _, last = name.rpartition(".")
        part = model.get_submodule(holder)
        if last in part._parameters:
            part._parameters[last] = nn.Parameter(value)
        else:
            part._buffers[last] = value


WAYS = [by_assignment, into_empty_memory, one_by_one]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("moved", [False, True])
def test_a_model_built_without_numbers_computes_as_the_one_they_are_from(name, way, moved):
    with float64():
        model, tokens = MODELS[name]().eval(), torch.randint(7, (2, 9))
        tokens = tokens[:, :6] if model.positions is not None else tokens  # or beyond its length
        lazy = MODELS[name]().eval()
        if moved:
            lazy.to("meta")
        else:
            with torch.device("meta"):
                lazy = MODELS[name]().eval()
    assert all(value.is_meta for value in lazy.parameters())
    way(lazy, model.state_dict())
    for length in (1, 4, tokens.shape[1]):
        for _ in range(2):
            assert_close(lazy(tokens[:, :length]), model(tokens[:, :length]))
    if isinstance(model, LanguageModel):
        again = [m.generate(tokens[:, :3], 2, temperature=0) for m in (lazy, model)]
        assert torch.equal(*again)


@pytest.mark.parametrize("name", [*REGISTRY.energies, *REGISTRY.mixers])
def test_a_layer_built_without_numbers_computes_as_the_one_they_are_from(name):
    more = {"length": 6} if name in REGISTRY.mixers or name == "place_rbm" else {}
    make = partial(make_layer, name, embed_dim=8, num_heads=2, registry=REGISTRY, **more)
    outs = []
    with float64():
        layer, x = make().eval(), torch.randn(2, 6, 8)
        for way in (None, by_assignment, into_empty_memory):
            with torch.device("meta" if way else "cpu"):
                other = make().eval() if way else layer
            if way:
                way(other, layer.state_dict())
            torch.manual_seed(1)
            outs.append(other(x))
    assert_close(outs[1:], outs[:1] * 2)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_buckets_are_whole_wherever_the_table_goes(length):
    want = RelativePositionBias(2, length)
    bias = RelativePositionBias(2, length)

    def check():
        bias.load_state_dict(want.state_dict(), assign=bias.table.is_meta)
        for count in (1, length, length + 3):
            assert torch.equal(bias(count), want(count))
        for name, buffer in want.named_buffers():
            assert torch.equal(getattr(bias, name), buffer)

    bias.double().float()
    check()
    into_empty_memory(bias, want.state_dict())
    check()
    bias.to("meta")
    assert bias.buckets.is_meta
    assert bias(length).shape == (1, 2, length, length)
    check()
    bias.to("meta").to_empty(device="cpu")
    check()
    with torch.device("meta"):
        bias = RelativePositionBias(2, length)
    check()
