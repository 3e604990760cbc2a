"""Variants times tasks: the headline score of every pair, and the average rank of every variant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter, ValidationError

from attenergy.registry import ArgumentError, Scalar
from attenergy.registry.files import read_regular
from attenergy.registry.printable import markdown
from attenergy.search.results import formats
from attenergy.search.results.statistics import Interval, paired_difference
from attenergy.search.results.verdict import LEVEL, Verdict
from attenergy.search.runs.names import path_part
from attenergy.search.runs.records import MAX_FILE, first_problem

MATRIX = "matrix.json"
#: What mean ranks mean.
RANKS = (
    "Mean rank: 1 is best. Variants share a rank in a task where the 95 % interval of their "
    "difference, paired by seed (Student's t, each pair by itself), holds 0; one seed tells none "
    "apart. No score is the last place."
)
#: What was decided at each value of a sweep.
DIFFERENCES = (
    "Differences: validation score minus that of the first variant, the mean over the seeds that "
    f"both have. Each value is decided by itself, with wrong calls in {100 * LEVEL:g} % of "
    "comparisons, so that among many values a few may be wrong."
)


@dataclass(frozen=True)
class Column:
    """One task, or one value of a sweep: what its scores mean and the score of each variant."""

    name: str
    task: str
    metric: str
    split: str
    chance: float | None
    ceiling: float | None
    scores: dict[str, Interval]  # by variant; without those that gave no score
    missing: dict[str, str]  # variant -> why it has no score
    #: Variant -> those that are worse by more than luck (`worse_than`); None in tables of earlier
    #: days, where a higher mean is better.
    worse: dict[str, tuple[str, ...]] | None = None
    #: Quantity that was gone through -> its value here; empty where the columns are tasks.
    point: dict[str, Scalar] = field(default_factory=dict)
    #: Of this comparison alone; None in tables of earlier days.
    verdict: Verdict | None = None
    #: Variant -> seed -> validation score minus that of the first variant.
    differences: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """`layers 2, width 64`, or the name of a task."""
        return formats.point(self.point) or self.name


@dataclass(frozen=True)
class Matrix:
    """A comparison over several tasks."""

    title: str
    variants: tuple[str, ...]
    columns: tuple[Column, ...]
    #: Of all columns together; None before it is known, and in tables of earlier days.
    finding: Verdict | None = None

    @property
    def axes(self) -> dict[str, tuple[Scalar, ...]]:
        """Quantities that were gone through and their values; empty where columns are tasks."""
        points = [column.point for column in self.columns]
        names = points[0] if all(points) else {}
        return {name: tuple(dict.fromkeys(point[name] for point in points)) for name in names}

    @property
    def mean_ranks(self) -> dict[str, float]:
        """Rank of each variant, averaged over the columns; 1 is best.

        r = 1 + B + T/2 in a column, with B variants that are better and T that cannot be told
        apart from it; see `worse_than`. No score is the last place.
        """
        totals: dict[str, list[float]] = {variant: [] for variant in self.variants}
        for column in self.columns:
            for variant, rank in _ranks(column, self.variants).items():
                totals[variant].append(rank)
        return {variant: fmean(ranks) for variant, ranks in totals.items()}

    def markdown(self) -> str:
        """The page."""
        header, rows = self.cells()
        notes = "\n".join(f"- {markdown(note)}" for note in self.notes())
        parts = [f"# {markdown(self.title)}", formats.markdown_table(header, rows)]
        if self.finding is not None:
            parts.insert(1, markdown(self.finding.sentence, code=True))
        if self.axes:
            title = f"## Difference to {markdown(self.variants[0])} at each value"
            parts += [title, formats.markdown_table(*self.verdict_cells())]
        return "\n\n".join([*parts, notes]) + "\n"

    def json(self) -> str:
        """Everything as JSON: raw numbers, no rounding."""
        return json.dumps({**asdict(self), "mean_ranks": self.mean_ranks}, indent=2)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the table, the last rows being ceiling and chance."""
        ranks = self.mean_ranks
        ordered = sorted(self.variants, key=lambda v: (ranks[v], -self._standing(v)))
        rows = [
            [v, *(formats.score(c.scores.get(v)) for c in self.columns), f"{ranks[v]:.1f}"]
            for v in ordered
        ]
        for name in ("ceiling", "chance"):
            known = (getattr(column, name) for column in self.columns)
            cells = [formats.NOTHING if value is None else f"{value:.3f}" for value in known]
            rows.append([name, *cells, ""])
        return ["variant", *(column.title for column in self.columns), "mean rank"], rows

    def verdict_cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of what was decided in each column: `+0.050 beats`."""
        rows = [
            [variant, *(_verdict_cell(column, variant) for column in self.columns)]
            for variant in self.variants[1:]
        ]
        return ["variant", *(column.title for column in self.columns)], rows

    def _standing(self, variant: str) -> float:
        """Mean score between chance (0) and ceiling (1): the order of equal ranks."""
        return fmean(_normal(column, variant) for column in self.columns)

    @property
    def shown(self) -> list[str]:
        """What each column shows: `accuracy on the split ood`."""
        return [f"{c.metric} on the split {formats.split(c.split)}" for c in self.columns]

    def notes(self) -> list[str]:
        """What the columns show, and why a score is missing."""
        shown = self.shown
        about = "the mean over seeds and half of its 95 % interval."
        notes = [f"{c.title}: {what}, {about}" for c, what in zip(self.columns, shown, strict=True)]
        if self.axes:
            notes = [f"{' and '.join(dict.fromkeys(shown))}: {about}", DIFFERENCES]
        notes += [
            f"{variant} has no score in {column.title}: {reason}"
            for column in self.columns
            for variant, reason in column.missing.items()
        ]
        notes.append(RANKS)
        return notes


def read_matrix(folder: Path) -> Matrix:
    """Read the matrix that a comparison over several tasks left in its folder.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it is missing.
    """
    path = folder / MATRIX
    content = read_regular(path, MAX_FILE, within=folder)
    try:
        matrix = TypeAdapter(Matrix).validate_json(content)
    except ValidationError as error:
        text = f"{path}: cannot be read as a matrix: {first_problem(error)}"
        raise ArgumentError(text, topic="record-file") from error
    try:
        _check(matrix, folder)
    except ValueError as error:
        raise ArgumentError(
            f"{path}: cannot be read as a matrix: {error}", topic="record-file"
        ) from error
    return matrix


def _check(matrix: Matrix, folder: Path) -> None:
    """Refuse what no comparison leaves: no variant, no column, or a name that leads elsewhere."""
    if not matrix.variants or not matrix.columns:
        raise ArgumentError("it has no variants or no columns", topic="record-file")
    here = folder.resolve()
    for column in matrix.columns:
        if not (folder / path_part(column.name)).resolve().is_relative_to(here):
            raise ArgumentError(f"{column.name} leads out of the folder", topic="record-file")


def worse_than(values: Mapping[str, Mapping[int, float]]) -> dict[str, tuple[str, ...]]:
    """Variant -> the variants that are worse by more than the seeds alone explain.

    u is worse than v if the 95 % interval (Student's t) of the mean difference over the seeds that
    both have lies below 0: a test at the 5 % level for each pair by itself, made to group what
    belongs together rather than to call winners. One seed tells nothing apart.

    Args:
        values: variant -> seed -> score.
    """
    return {
        variant: tuple(other for other in values if _is_worse(values[other], values[variant]))
        for variant in values
    }


def _is_worse(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    difference = paired_difference(other, one)
    return difference is not None and difference.high is not None and difference.high < 0


def _ranks(column: Column, variants: Sequence[str]) -> dict[str, float]:
    def better(one: str, other: str) -> bool:
        if one not in column.scores:
            return False
        if other not in column.scores:
            return True
        if column.worse is None:
            return column.scores[one].mean > column.scores[other].mean
        return other in column.worse.get(one, ())

    ranks = {}
    for variant in variants:
        above = sum(better(other, variant) for other in variants)
        below = sum(better(variant, other) for other in variants)
        ranks[variant] = 1 + above + (len(variants) - 1 - above - below) / 2
    return ranks


def _verdict_cell(column: Column, variant: str) -> str:
    """What was decided of a variant in a column; of several rows of it, the best."""
    verdict = column.verdict
    row = next((row for row in verdict.rows if row.variant == variant), None) if verdict else None
    if verdict is None or row is None:
        return formats.NOTHING
    call = "nobody learned" if verdict.kind == "unlearned" else row.call
    return f"{formats.signed(row.difference)} {call}"


def _normal(column: Column, variant: str) -> float:
    if variant not in column.scores:
        return 0.0
    low = 0.0 if column.chance is None else column.chance
    high = 1.0 if column.ceiling is None else column.ceiling
    score = column.scores[variant].mean
    return (score - low) / (high - low) if high > low else score
