"""Fixed points of all heads of a model: the finding, its tables, and how to read them."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from attenergy.analysis.attractors.basins import RADII
from attenergy.analysis.attractors.classes import CLASSES, MASS
from attenergy.analysis.attractors.heads import (
    KINDS,
    HeadFixedPoints,
    Settings,
    by_layer,
    class_shares,
)
from attenergy.analysis.attractors.pictures import draw
from attenergy.analysis.calls import READ_AS_LSE
from attenergy.analysis.result import Result, Table

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

_MOST_ROWS = 64  # heads that have a row of their own


@dataclass(frozen=True, eq=False)
class FixedPoints(Result):
    """Where every head of a model comes to rest.

    Attributes:
        heads: of the model, call by call.
        before: of the model before training; empty if none was given.
        missing: call -> why its heads are not among them.
        settings: how they were looked for.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, steps=3))
        >>> result = fixed_points(model, torch.randn(2, 6, 16))
        >>> len(result.heads)
        2
    """

    name: ClassVar[str] = "fixed-points"
    title: ClassVar[str] = "Fixed points"

    heads: Sequence[HeadFixedPoints]
    before: Sequence[HeadFixedPoints] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)

    @property
    def sentence(self) -> str:
        """How many heads are of which class, and of which they were before training."""
        text = f"Iterated to rest, {_many(len(self.heads))}: {_in_words(self.heads)}."
        if self.before:
            text += f" Before training: {_in_words(self.before)}."
        return text

    def numbers(self) -> dict[str, Any]:
        """Every number of every head."""
        numbers: dict[str, Any] = {
            "heads": [_of_head(head) for head in self.heads],
            "shares": class_shares(self.heads),
            "radii": list(RADII),
            "missing": dict(self.missing),
            "settings": dataclasses.asdict(self.settings),
        }
        if self.before:
            numbers["before"] = [_of_head(head) for head in self.before]
            numbers["shares_before"] = class_shares(self.before)
        return numbers

    def tables(self) -> list[Table]:
        """By class before and after, by layer, and by head where there are not too many."""
        layers = by_layer(self.heads)
        tables = [
            self._by_class(),
            Table(
                "By layer: what states rest on",
                ["layer", "at rest", *(one.sign for one in CLASSES), "k", "k read", "N"],
                [[name, *_rests(heads), *_patterns(heads)] for (name,), heads in layers.items()],
            ),
            Table(
                "By layer: around the fixed points",
                ["layer", "steps", "radius", "separation", "half return", "ends"],
                [[name, *_around(heads)] for (name,), heads in layers.items()],
            ),
        ]
        if len(self.heads) > _MOST_ROWS:
            return tables
        header = ["layer", "head", "class", "at rest", "k", "k read", "N", "radius", "half", "ends"]
        rows = []
        for head in self.heads:
            _, radius, _, half, ends = _around([head])
            rest = f"{head.outcomes['rest']:.0%}"
            row = [head.layer, str(head.head), head.kind, rest]
            rows.append([*row, *_patterns([head]), radius, half, ends])
        return [*tables, Table("By head", header, rows, texts=3)]

    def pictures(self) -> list[Picture]:
        """The class of every head, the shares of states by layer, and the basins."""
        return draw(self.heads, self.before)

    def notes(self) -> list[str]:
        """What the words mean, and what was left out."""
        at = self.settings
        notes = [
            f"k is the number of patterns that hold {MASS:.0%} of a state's weight at rest; N is "
            "the number in sight. "
            + "; ".join(f"({one.sign}) {one.name}: {one.about}" for one in CLASSES)
            + ". The bounds N/2, N/8 and N/32 are those of Ramsauer et al. 2020 (N = 512 there); "
            "they count k of the weights that the model uses, which stand here as 'k read'. A head "
            "has the class of its median state.",
            f"A state rests when a step moves it by less than {at.tolerance:g} of its length, "
            f"within {at.max_steps} steps. Classes and k count states at rest alone; a head that "
            "diverges or of which fewer than half rest has no class.",
            f"At most {at.states} states a head are iterated. Radius, basins and ends are those of "
            f"{at.samples} states a head (2 samples where states interact), with "
            f"{at.directions} starts at each distance and {at.starts} random ones; seed {at.seed}.",
            "The radius is that of the update's Jacobian: errors shrink by that factor a step; "
            "above 1 the point repels. Half return: the distance, in units of the spread of the "
            "patterns, from which half of the starts come back; ends: in how many fixed points "
            "random starts end.",
        ]
        if any(head.reading == READ_AS_LSE for head in self.heads):
            notes.append(
                "Softmax attention is read as one step down the log-sum-exp energy: the model "
                "takes that step once, and is not trained to rest."
            )
        return notes + [f"{name}: {why}" for name, why in self.missing.items()]

    def _by_class(self) -> Table:
        now = class_shares(self.heads)
        columns = [now] if not self.before else [class_shares(self.before), now]
        header = ["class", "share of states"]
        if self.before:
            header = ["class", "before training", "after training"]
        rows = [[name, *(f"{shares[name]:.1%}" for shares in columns)] for name in now]
        return Table("Where states come to rest", header, rows)


def _rests(heads: Sequence[HeadFixedPoints]) -> list[str]:
    """The share at rest, and of those at rest the share of each class."""
    rest = statistics.fmean(head.outcomes["rest"] for head in heads)
    classed = [head.classes for head in heads if head.classes and head.rests]
    shares = [_mean([classes[one.name] for classes in classed]) for one in CLASSES]
    return [f"{rest:.0%}", *("-" if share is None else f"{share:.0%}" for share in shares)]


def _patterns(heads: Sequence[HeadFixedPoints]) -> list[str]:
    """Medians of k, k read and N."""
    return [_number(_median([getattr(head, name) for head in heads])) for name in _COUNTS]


def _around(heads: Sequence[HeadFixedPoints]) -> list[str]:
    """Medians of steps, radius, separation, the distance from which half return, and ends."""
    steps, radius, separation, ends = (
        _number(_median([getattr(head, name) for head in heads])) for name in _AROUND
    )
    return [steps, radius, separation, _half(heads), ends]


_COUNTS = ("k", "k_read", "patterns")
_AROUND = ("steps", "radius", "separation", "ends")


def _half(heads: Sequence[HeadFixedPoints]) -> str:
    """The median distance from which half return, where beyond all distances counts as such."""
    distances = sorted(
        2 * RADII[-1] if head.half_radius is None else head.half_radius
        for head in heads
        if head.returned
    )
    if not distances:
        return "-"
    middle = statistics.median_low(distances)
    return f"> {RADII[-1]:g}" if middle > RADII[-1] else f"{middle:.2g}"


def _of_head(head: HeadFixedPoints) -> dict[str, Any]:
    return {**dataclasses.asdict(head), "kind": head.kind}


def _many(count: int) -> str:
    return f"{count} head{'' if count == 1 else 's'}"


def _in_words(heads: Sequence[HeadFixedPoints]) -> str:
    kinds = Counter(head.kind for head in heads)
    return ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return statistics.median(known) if known else None


def _mean(numbers: Sequence[float]) -> float | None:
    return statistics.fmean(numbers) if numbers else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
