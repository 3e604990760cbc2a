"""A study as the pictures and tables of a page read it: everything that is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from attenergy.search.report.html.style import Look, looks
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.ranking import Row
from attenergy.search.results.study_folder import Study
from attenergy.search.runs.config import RunRecord

#: As many curves or points with names as a picture can hold; the rest is in the tables.
MOST_SERIES = 8


@dataclass(frozen=True)
class View:
    """A study with its leaderboard, and one look for every variant.

    `order` gives looks to these variants first, so that several studies on a page agree.
    """

    study: Study
    order: tuple[str, ...] = ()

    @cached_property
    def board(self) -> Leaderboard:
        """The leaderboard, computed once."""
        return self.study.leaderboard()

    @property
    def metric(self) -> str:
        """The metric of the task."""
        return self.board.metric

    @property
    def ceiling(self) -> float | None:
        """The ceiling on the validation split."""
        value = self.board.ceiling.get("valid")
        return None if value is None else value["value"]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Variant -> its look, given out in `order`, then in that of the leaderboard."""
        ranked = [row.variant for row in self.board.rows]
        every = [record.config.variant for record in self.study.records]
        return looks([*self.order, *ranked, *every], self.board.baseline)

    @cached_property
    def by_key(self) -> dict[str, RunRecord]:
        """Key -> record."""
        return {record.key: record for record in self.study.records}

    @cached_property
    def trials(self) -> list[RunRecord]:
        """The trials that gave a score."""
        return [r for r in self.study.records if r.purpose == "trial" and self.score(r) is not None]

    @cached_property
    def finals(self) -> list[Row]:
        """Rows of configurations that were run over seeds."""
        return [row for row in self.board.rows if row.final]

    @cached_property
    def leaders(self) -> list[Row]:
        """The best row of each variant, finalists before trials, at most `MOST_SERIES`.

        The baseline is among them if it has a score at all.
        """
        best: dict[str, Row] = {}
        for row in self.board.rows:
            best.setdefault(row.variant, row)
        rows = list(best.values())
        shown = rows[:MOST_SERIES]
        baseline = best.get(self.board.baseline)
        if baseline is not None and baseline not in shown:
            shown[-1] = baseline
        return shown

    def score(self, record: RunRecord) -> float | None:
        """The validation score of a run that came to its end."""
        if record.status != "complete":
            return None
        return record.metrics.get("valid", {}).get(self.metric)

    def runs(self, row: Row) -> Sequence[RunRecord]:
        """The records of a row."""
        return [self.by_key[key] for key in row.keys]
