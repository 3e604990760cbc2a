"""Energies along the depth of a model: the finding, its tables, and how to read them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from attenergy.analysis.calls import READ_AS_LSE
from attenergy.analysis.depth.pictures import draw
from attenergy.analysis.depth.steps import BlockChange, Change, LayerSteps
from attenergy.analysis.result import Result, Table

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture


@dataclass(frozen=True)
class SharedLayer:
    """The energy of a layer's first call at the states of its later calls.

    Attributes:
        layer: name of the first call.
        steps: from the states of the first call to those of each later one.
    """

    layer: str
    steps: list[Change]


@dataclass(frozen=True, eq=False)
class EnergyAlongDepth(Result):
    """Energies before and after every step of every layer, and every block.

    Attributes:
        layers: of every call with an energy, its steps.
        blocks: what whole blocks do.
        shared: layers that are called several times.
        missing: call -> why it has no energy.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, steps=3))
        >>> result = energy_along_depth(model, torch.randn(2, 6, 16))
        >>> len(result.layers[0].steps)
        3
    """

    name: ClassVar[str] = "energy"
    title: ClassVar[str] = "Energy along the forward pass"

    layers: Sequence[LayerSteps]
    blocks: Sequence[BlockChange] = ()
    shared: Sequence[SharedLayer] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The shares of states whose energy steps lower and raise, and whole blocks lower."""
        steps = [step for layer in self.layers for step in layer.steps]
        fell = statistics.fmean(share for step in steps for share in step.fell)
        rose = statistics.fmean(share for step in steps for share in step.rose)
        text = f"Steps of attention lower the energy of {fell:.0%} of the states"
        text += f", raise that of {rose:.0%} and leave {max(0.0, 1 - fell - rose):.0%} where it is"
        if not self.blocks:
            return text + "."
        own = [block.own for block in self.blocks]
        text += f"; whole blocks lower their own heads' energies for {_percent(_all(own))}"
        control = [block.control for block in self.blocks if block.control is not None]
        if control:
            text += f", those of the next block for {_percent(_all(control))}"
        return text + f": {_verdict(own, control)}."

    def numbers(self) -> dict[str, Any]:
        """Every change of every head."""
        return {
            "layers": [
                {
                    **{k: v for k, v in dataclasses.asdict(layer).items() if k != "steps"},
                    "steps": [_of(step) for step in layer.steps],
                }
                for layer in self.layers
            ],
            "blocks": [
                {
                    "block": one.block, "layer": one.layer, "own": _of(one.own),
                    "other": one.other, "control": one.control and _of(one.control),
                }
                for one in self.blocks
            ],
            "shared": [
                {"layer": one.layer, "steps": [_of(step) for step in one.steps]}
                for one in self.shared
            ],
            "missing": dict(self.missing),
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """By step of every layer, and by block."""
        tables = [
            Table(
                "By step: means over heads",
                ["layer", "step", *_COLUMNS],
                [
                    [layer.layer, label, *_row(step)]
                    for layer in self.layers
                    for label, step in zip(layer.labels, layer.steps, strict=True)
                ],
                texts=2,
            )
        ]
        if self.blocks:
            rows = []
            for one in self.blocks:
                rows.append([one.layer, "own", *_row(one.own)])
                if one.control is not None:
                    rows.append([one.layer, f"of {one.other}", *_row(one.control)])
            header = ["block of", "whose energy", *_COLUMNS]
            tables.append(Table("By block: means over heads", header, rows, texts=2))
        if self.shared:
            tables.append(
                Table(
                    "One layer called again: its first energy",
                    ["layer", "up to call", *_COLUMNS],
                    [
                        [one.layer, str(index + 2), *_row(step)]
                        for one in self.shared
                        for index, step in enumerate(one.steps)
                    ],
                )
            )
        return tables

    def pictures(self) -> list[Picture]:
        """Energies against steps, and the changes of every head."""
        return draw(self.layers, self.blocks)

    def notes(self) -> list[str]:
        """What is compared, and what is not."""
        notes = [
            "Fell and rose: shares of the states (of samples, where states interact) whose energy "
            "a step lowers or raises by more than rounding. Change: its mean in units of the "
            "spread, the standard deviation of that energy over states before the step.",
            "The reading by weights counts as the last step: with the patterns as values it gives "
            "the state after a step with gamma = 1. What a model reads are its own values.",
        ]
        if any(layer.reading == READ_AS_LSE for layer in self.layers):
            notes.append(
                "Softmax attention is read as one step down the log-sum-exp energy from the query. "
                "That this step falls is a theorem, not a finding; how far is one."
            )
        if self.blocks:
            notes.append(
                "By block: the energies of a block's heads, on the patterns that they had, at "
                "what the block was given and at what it returned, both through the block's own "
                "norm and map to queries. Nothing guarantees that they fall. The control takes the "
                "next block's energies at the same two: a block that only shrinks or grows the "
                "stream changes both alike. Depth is said to descend where of all that fell or "
                "rose at least 60% fell, and 10 points more than in the control."
            )
        notes.append(
            "Energies of different layers are different functions: their values are not compared."
        )
        return notes + [f"{name}: {why}" for name, why in self.missing.items()]


_COLUMNS = ("before", "after", "fell", "rose", "change")


def _row(step: Change) -> list[str]:
    changes = [change for change in step.in_spreads if change is not None]
    return [
        f"{statistics.fmean(step.before):.4g}", f"{statistics.fmean(step.after):.4g}",
        _percent(step.fell), _percent(step.rose),
        f"{statistics.fmean(changes):+.2f}" if changes else "-",
    ]  # fmt: skip


def _of(step: Change) -> dict[str, Any]:
    return {**dataclasses.asdict(step), "change": step.in_spreads}


def _percent(shares: Sequence[float]) -> str:
    return f"{statistics.fmean(shares):.0%}" if shares else "none"


def _all(changes: Sequence[Change]) -> list[float]:
    return [share for change in changes for share in change.fell]


def _falling(changes: Sequence[Change]) -> float | None:
    """Of all that fell or rose, the share that fell; None if nothing moved."""
    fell, rose = (sum(sum(getattr(c, name)) for c in changes) for name in ("fell", "rose"))
    return fell / (fell + rose) if fell + rose > 0 else None


def _verdict(own: Sequence[Change], control: Sequence[Change]) -> str:
    """Whether depth descends, in words."""
    falling, beside = _falling(own), _falling(control)
    if falling is None:
        return "depth changes no energy"
    if falling < 0.6:
        return "depth does not descend" if falling > 0.4 else "depth climbs"
    if beside is not None and beside > falling - 0.1:
        return "depth descends, though no more in a block's own energy than in another's"
    return "depth descends"
