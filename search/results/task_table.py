"""Variants times tasks: the headline score of every pair, and the average rank of every variant."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from attenergy.registry import ArgumentError
from attenergy.registry.files import read_regular
from attenergy.registry.printable import markdown, printable
from attenergy.search.results import formats
from attenergy.search.results.statistics import Interval
from attenergy.search.runs.names import path_part
from attenergy.search.runs.records import MAX_FILE, first_problem

if TYPE_CHECKING:
    from rich.console import RenderableType


MATRIX = "matrix.json"


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


@dataclass(frozen=True)
class Matrix:
    """A comparison over several tasks."""

    title: str
    variants: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def mean_ranks(self) -> dict[str, float]:
        """Rank of each variant, averaged over the columns; 1 is best.

        Equal scores share the mean of their ranks. No score is the last place.
        """
        totals: dict[str, list[float]] = {variant: [] for variant in self.variants}
        for column in self.columns:
            for variant, rank in _ranks(column, self.variants).items():
                totals[variant].append(rank)
        return {variant: fmean(ranks) for variant, ranks in totals.items()}

    def markdown(self) -> str:
        """The page."""
        header, rows = self._cells()
        notes = "\n".join(f"- {markdown(note)}" for note in self._notes())
        parts = [f"# {markdown(self.title)}", formats.markdown_table(header, rows), notes]
        return "\n\n".join(parts) + "\n"

    def json(self) -> str:
        """Everything as JSON: raw numbers, no rounding."""
        return json.dumps({**asdict(self), "mean_ranks": self.mean_ranks}, indent=2)

    def table(self) -> RenderableType:
        """The same for a terminal."""
        from rich.console import Group
        from rich.text import Text

        header, rows = self._cells()
        title = Text(printable(self.title), style="bold")
        notes = Text("\n".join(f"- {printable(note, lines=False)}" for note in self._notes()))
        return Group(title, formats.rich_table(header, rows, left=1), notes)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        ranks = self.mean_ranks
        ordered = sorted(self.variants, key=ranks.__getitem__)
        rows = [
            [v, *(formats.score(c.scores.get(v)) for c in self.columns), f"{ranks[v]:.1f}"]
            for v in ordered
        ]
        for name in ("ceiling", "chance"):
            known = (getattr(column, name) for column in self.columns)
            cells = [formats.NOTHING if value is None else f"{value:.3f}" for value in known]
            rows.append([name, *cells, ""])
        return ["variant", *(column.name for column in self.columns), "mean rank"], rows

    def _notes(self) -> list[str]:
        notes = [
            f"{c.name}: {c.metric} on the split {c.split}, the mean over seeds and half of its "
            "95 % interval."
            for c in self.columns
        ]
        notes += [
            f"{variant} has no score in {column.name}: {reason}"
            for column in self.columns
            for variant, reason in column.missing.items()
        ]
        notes.append("Mean rank: 1 is best; equal scores share a rank, no score is the last place.")
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
        raise ArgumentError(text) from error
    try:
        _check(matrix, folder)
    except ValueError as error:
        raise ArgumentError(f"{path}: cannot be read as a matrix: {error}") from error
    return matrix


def _check(matrix: Matrix, folder: Path) -> None:
    """Refuse what no comparison leaves: no variant, no column, or a name that leads elsewhere."""
    if not matrix.variants or not matrix.columns:
        raise ArgumentError("it has no variants or no columns")
    here = folder.resolve()
    for column in matrix.columns:
        if not (folder / path_part(column.name)).resolve().is_relative_to(here):
            raise ArgumentError(f"{column.name} leads out of the folder")


def _ranks(column: Column, variants: Sequence[str]) -> dict[str, float]:
    means = {v: column.scores[v].mean if v in column.scores else -math.inf for v in variants}
    values = list(means.values())
    return {
        variant: 1 + sum(v > mean for v in values) + (sum(v == mean for v in values) - 1) / 2
        for variant, mean in means.items()
    }
