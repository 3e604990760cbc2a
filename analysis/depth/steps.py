"""The energy of every head before and after each step that a layer takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.analysis.calls import OWN, AttentionCall
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.solvers.problem import Problem

#: What the last step is called where values are read by weights.
READING = "reading"


@dataclass(frozen=True)
class Change:
    """What one step, or one block, does to the energy of each of H heads.

    Attributes:
        before: mean energy of the states, (H,).
        after: mean energy after the step, (H,).
        fell: share of the states whose energy fell, (H,).
        rose: share of the states whose energy rose; the others stayed, to rounding, (H,).
        spread: standard deviation of the energy over states before the step, (H,).
    """

    before: list[float]
    after: list[float]
    fell: list[float]
    rose: list[float]
    spread: list[float]

    @property
    def in_spreads(self) -> list[float | None]:
        """The mean change in units of the spread, (H,); None where all states have one energy."""
        each = zip(self.before, self.after, self.spread, strict=True)
        return [(after - before) / s if s > 0 else None for before, after, s in each]


@dataclass(frozen=True)
class LayerSteps:
    """The steps of one call of a layer.

    Attributes:
        layer: name of the call.
        energy: title of its energy.
        reading: `own`, or `log-sum-exp` where softmax attention is read as a step down it.
        labels: what each step is: "step 1", "step 2", ..., "reading".
        steps: what each of them does.
        guarantee: whether theory says that no step raises the energy.
    """

    layer: str
    energy: str
    reading: str
    labels: list[str]
    steps: list[Change]
    guarantee: bool


@dataclass(frozen=True)
class BlockChange:
    """What one block does to the energies of its own heads, and to those of another block.

    Attributes:
        block: name of the block.
        layer: name of the attention call whose energies they are.
        own: the change of its own energies, from what the block was given to what it returned.
        other: name of the block next in line (after the last, the first).
        control: the change of that block's energies between the same two; None if there is none.
    """

    block: str
    layer: str
    own: Change
    other: str
    control: Change | None


def layer_steps(call: AttentionCall) -> LayerSteps:
    """Energies before and after every move of a call, and its reading where that is a step.

    Where values are read by weights, the reading is the last step: with the patterns as values it
    gives the state after a step with gamma = 1, and it is that step whose energy is taken.

    Args:
        call: with a problem.
    """
    assert call.problem is not None
    assert call.relaxation is not None
    labels, steps = [], []
    with torch.no_grad():
        for label, problem, before, after in _steps(call):
            labels.append(label)
            steps.append(change(problem, before, after))
    return LayerSteps(
        call.name, call.problem.energy.spec.title, call.reading, labels, steps,
        call.relaxation.guarantee if call.reading == OWN else True,
    )  # fmt: skip


def change(problem: Problem, before: Tensor, after: Tensor) -> Change:
    """What going from some states to others does to the energy of a problem.

    Args:
        problem: of H heads.
        before: states (B, H, L, D).
        after: states, as many.
    """
    with torch.no_grad():
        first, last = problem.value(before).double(), problem.value(after).double()
    if not problem.energy.states_interact and problem.occupied is not None:
        there = problem.occupied.squeeze(-1).expand(first.shape)
    else:
        there = torch.ones_like(first, dtype=torch.bool)
    unit = 8 * torch.finfo(before.dtype).eps
    rounding = unit * torch.maximum(first.abs(), last.abs()).clamp_min(1.0)
    heads = []
    for head in range(first.shape[1]):
        a, b = (e[:, head][there[:, head]] for e in (first, last))
        least = rounding[:, head][there[:, head]]
        many = max(a.numel(), 1)
        heads.append((
            float(a.sum()) / many, float(b.sum()) / many, float((b < a - least).sum()) / many,
            float((b > a + least).sum()) / many, float(a.std(correction=0)) if a.numel() else 0.0,
        ))  # fmt: skip
    columns = [list(column) for column in zip(*heads, strict=True)]
    return Change(*columns)


def _steps(call: AttentionCall) -> Iterator[tuple[str, Problem, Tensor, Tensor]]:
    """Every step with its name, its energy, and the states before and after it."""
    problem, relaxation = call.problem, call.relaxation
    assert problem is not None
    assert relaxation is not None
    assert relaxation.states is not None
    states, layer = relaxation.states, energy_layer(call)
    earlier = [] if layer is None or layer.earlier is None else list(layer.earlier)
    for index in range(len(states) - 1):
        own = problem.of(earlier[index]) if index < len(earlier) else problem  # type: ignore[arg-type]
        yield f"step {index + 1}", own, states[index], states[index + 1]
    if layer is None or layer.read == "weights":
        end = relaxation.state
        yield READING, problem, end, problem.moved(end, problem.direction(end))


def energy_layer(call: AttentionCall) -> EnergyLayer | None:
    """The heads of a call's layer; None of softmax attention that is read as a step."""
    if call.reading != OWN:
        return None
    return next((part for part in call.layer.modules() if isinstance(part, EnergyLayer)), None)
