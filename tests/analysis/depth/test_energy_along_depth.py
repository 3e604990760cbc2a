"""Energies before and after steps and blocks, where what happens is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attenergy
from attenergy.analysis import ANALYSES, Subject, attention_calls, energy_along_depth
from attenergy.attention import EnergyAttention, Transformer
from attenergy.energies import Energy
from attenergy.registry import ArgumentError

E = 8


def plain(heads: int = 1, beta: float = 0.5, **settings: Any) -> EnergyAttention:
    """A layer of log-sum-exp whose states, patterns and values are its input."""
    layer = EnergyAttention(E, heads, energy="lse", beta=beta, **settings)
    with torch.no_grad():
        for part in layer.projections.children():
            part.weight.copy_(torch.eye(E))
            part.bias.zero_()
    return layer


class Step(nn.Module):
    """The stream after one step of its layer, or against it."""

    def __init__(self, sign: float = 1.0, beta: float = 0.5) -> None:
        super().__init__()
        self.layer, self.sign = plain(beta=beta), sign

    def forward(self, h: Tensor) -> Tensor:
        read: Tensor = self.layer(h)
        return h + self.sign * (read - h)


class Stack(nn.Module):
    """Blocks one after the other."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h)
        return h


def stream(seed: int = 0) -> Tensor:
    return torch.randn(3, 6, E, generator=torch.Generator().manual_seed(seed))


def test_every_step_of_a_safe_size_falls() -> None:
    layer = plain(heads=2, steps=3)
    result = energy_along_depth(layer, stream())
    (seen,) = result.layers
    assert seen.labels == ["step 1", "step 2", "reading"]
    assert seen.guarantee
    for step in seen.steps:
        assert step.rose == [0, 0]
    assert seen.steps[0].fell == [1, 1]
    assert result.sentence.startswith("Steps of attention lower the energy of")
    trace = attenergy.trace(layer, stream())[0]
    assert trace.energies is not None
    assert seen.steps[0].before == pytest.approx(trace.energies[0].mean((0, 2)).tolist())
    assert seen.steps[1].after == pytest.approx(trace.energies[2].mean((0, 2)).tolist())


def test_steps_that_are_too_long_rise() -> None:
    (seen,) = energy_along_depth(plain(steps=4, step_size=3.0), stream()).layers
    assert not seen.guarantee
    assert seen.steps[2].rose[0] > 0.8
    assert seen.steps[2].in_spreads[0] > 0


def value(layer: nn.Module, patterns: Tensor, xi: Tensor) -> float:
    """The mean energy of a layer's head at states, on its patterns for an input."""
    (call,) = attention_calls(layer, patterns)
    assert call.problem is not None
    with torch.no_grad():
        return float(call.problem.value(xi.unsqueeze(1)).mean())


def test_the_reading_is_one_step_whose_energy_is_known() -> None:
    x = stream()
    (seen,) = energy_along_depth(plain(steps=1), x).layers
    after = torch.softmax(0.5 * x @ x.mT, -1) @ x
    assert seen.labels == ["reading"]
    assert seen.steps[0].before[0] == pytest.approx(value(plain(steps=1), x, x), rel=1e-4)
    assert seen.steps[0].after[0] == pytest.approx(value(plain(steps=1), x, after), rel=1e-4)


def test_blocks_that_descend_and_blocks_that_climb() -> None:
    down = energy_along_depth(Stack(Step(), Step()), stream())
    for one in down.blocks:  # some states start at their fixed point
        assert one.own.fell[0] > 0.8
        assert one.own.rose == [0]
    assert down.sentence.endswith(("depth descends.", "than in another's."))
    up = energy_along_depth(Stack(Step(-0.5), Step(-0.5)), stream())
    assert all(one.own.rose[0] > 0.8 for one in up.blocks)
    assert "depth climbs" in up.sentence


def test_blocks_that_leave_the_stream_alone_neither_fall_nor_rise() -> None:
    still = energy_along_depth(Stack(Step(0.0), Step(0.0)), stream())
    for one in still.blocks:
        assert one.control is not None
        for change in (one.own, one.control):
            assert change.fell == change.rose == [0]
    assert "depth changes no energy" in still.sentence


def test_a_block_has_another_as_control() -> None:
    # The second block's energy is nearly 1/2 |xi|^2: steps down the first's raise it or lower it.
    x = stream()
    result = energy_along_depth(Stack(Step(), Step(beta=2.0)), x)
    first = result.blocks[0]
    assert (first.block, first.layer, first.other) == ("blocks.0", "blocks.0.layer", "blocks.1")
    assert first.control is not None
    stack = Stack(Step(), Step(beta=2.0))
    with torch.no_grad():
        after = stack.blocks[0](x)
    energy = [value(stack.blocks[1], after, h) for h in (x, after)]
    assert [first.control.before[0], first.control.after[0]] == pytest.approx(energy, rel=1e-4)


def test_one_layer_called_again_has_one_energy() -> None:
    block = Step()
    result = energy_along_depth(nn.Sequential(block, block, block), stream())
    (shared,) = result.shared
    assert shared.layer == "0.layer"
    # The first step is down that energy; the second down one of patterns that have moved.
    assert shared.steps[0].rose == [0]
    assert shared.steps[1].after[0] < shared.steps[0].after[0]


def model(**settings: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        outputs=2, layers=2, width=E, heads=2, mlp=8, positions="relative", kind="vector",
        size=3, length=6, make_layer=lambda: EnergyAttention(E, 2, steps=2, **settings),
    )  # fmt: skip


def test_a_transformer_of_ours() -> None:
    x = torch.randn(2, 6, 3)
    result = energy_along_depth(model(energy="lse"), x)
    assert [layer.layer for layer in result.layers] == ["blocks.0.mixer", "blocks.1.mixer"]
    assert [one.block for one in result.blocks] == ["blocks.0", "blocks.1"]
    assert not result.shared
    alone = energy_along_depth(model(energy="lse"), x, blocks=False)
    assert not alone.blocks
    json.dumps(result.numbers())


@pytest.mark.parametrize("settings", [{"energy": "graph_hopfield"}, {"energy": "elliptical"}])
def test_energies_of_every_kind(settings: dict[str, Any]) -> None:
    result = energy_along_depth(model(**settings), torch.randn(2, 6, 3))
    assert all(len(step.fell) == 2 for layer in result.layers for step in layer.steps)
    assert len(result.blocks) == 2


def test_each_step_counts_in_its_own_energy() -> None:
    layer = plain(steps=3, energy_per_step=True)
    assert layer.earlier is not None
    with torch.no_grad():
        for one, energy in enumerate(layer.earlier):
            assert isinstance(energy, Energy)
            energy.parameters_.raw["beta"].add_(one - 1.0)
    (seen,) = energy_along_depth(layer, stream()).layers
    assert [step.rose for step in seen.steps] == [[0], [0], [0]]
    assert seen.steps[1].before[0] != pytest.approx(seen.steps[0].after[0])


def test_pytorch_attention_is_read_as_a_step() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, 2, dim_feedforward=8, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    result = energy_along_depth(encoder, stream())
    assert [layer.labels for layer in result.layers] == [["reading"], ["reading"]]
    assert all(step.rose == [0, 0] for layer in result.layers for step in layer.steps)
    assert [one.block for one in result.blocks] == ["layers.0", "layers.1"]


def test_what_has_no_energy_says_so() -> None:
    hyla = attenergy.make_mixer("hyla", embed_dim=E, num_heads=2)
    result = energy_along_depth(nn.Sequential(plain(), hyla), stream())
    assert "no energy" in result.missing["1"]
    with pytest.raises(ArgumentError, match="no layer of Sequential has an energy"):
        energy_along_depth(nn.Sequential(hyla), stream())


class Once(Step):
    """A block that cannot be run twice."""

    def forward(self, h: Tensor) -> Tensor:
        if vars(self).setdefault("_runs", [0])[0]:
            raise RuntimeError("one run only")
        self._runs[0] += 1
        return super().forward(h)


def test_a_block_that_cannot_be_run_again_says_so() -> None:
    result = energy_along_depth(Stack(Once()), stream())
    assert result.layers
    assert not result.blocks
    assert result.missing["blocks.0"] == "cannot be run again: RuntimeError: one run only"


def test_the_catalogue_runs_it_and_it_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    subject = Subject(Stack(Step(), Step()), "mine", [((stream(),), {})])
    kind = ANALYSES["energy"]
    result = kind.run(subject, kind.settings({}), None)
    names = {path.name for path in result.save(tmp_path)}
    assert {"energy.json", "energy.md", "energy-steps.png", "energy-heads.svg"} <= names
    assert "energy-blocks.png" in names
