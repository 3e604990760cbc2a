"""A study as the pictures and tables of a page read it: everything that is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from attenergy.analysis.drawing import Look, looks
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.ranking import Row
from attenergy.search.results.solving import solved_from
from attenergy.search.results.study_folder import Study
from attenergy.search.runs.config import RunRecord

Item = TypeVar("Item")

#: As many curves or points with names as a picture can hold; the rest is in the tables.
MOST_SERIES = 8
#: As many points as a picture can hold and a page can carry.
MOST_POINTS = 400
_NEAR = 0.15  # of the way from chance to ceiling


def thinned(
    items: Sequence[Item], needed: Callable[[Item], bool] = lambda _: False, most: int = MOST_POINTS
) -> list[Item]:
    """At most about `most` of many items, evenly taken in their order, and all that are needed."""
    step = max(1, -(-len(items) // most))
    return [item for number, item in enumerate(items) if number % step == 0 or needed(item)]


@dataclass(frozen=True)
class View:
    """A study with its leaderboard, and one look for every variant.

    `order` gives looks to these variants first, so that several studies on a page agree in markers
    and dashes; tones go by the name alone.
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
    def solved_from(self) -> float | None:
        """The score from which on a finalist's run has solved the task, where runs do or do not."""
        scores = [s for row in self.finals for s in row.values.get("valid", {}).values()]
        return solved_from(scores, self.board.chance, self.ceiling)

    @cached_property
    def near_chance(self) -> bool:
        """Whether all scores lie so near to chance that the ceiling has no place on their axis."""
        ceiling, chance = self.ceiling, self.board.chance
        if ceiling is None or chance is None or not self.scores:
            return False
        return max(self.scores) < chance + _NEAR * (ceiling - chance)

    @cached_property
    def scores(self) -> list[float]:
        """The validation scores of all runs that have one."""
        return [s for s in map(self.score, self.study.records) if s is not None]

    @property
    def references(self) -> dict[str, float | None]:
        """Chance, and the ceiling where it is not far above all scores."""
        return {"chance": self.board.chance, "ceiling": None if self.near_chance else self.ceiling}

    def limits(self, scores: Sequence[float] = ()) -> tuple[float, float]:
        """The ends of an axis of validation scores: these (or all of them), chance, ceiling."""
        known = [value for value in self.references.values() if value is not None]
        values = [*(scores or self.scores), *known]
        room = 0.05 * (max(values) - min(values) or 1.0)
        return min(values) - room, max(values) + room

    @property
    def about_axis(self) -> str:
        """What to say of an axis without the ceiling; empty elsewhere."""
        if not self.near_chance:
            return ""
        return (
            f" All scores are near chance: the ceiling, {self.ceiling:.3f}, is far off this axis."
        )

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Variant -> its look, given out in `order`, then in that of the leaderboard."""
        ranked = [row.variant for row in self.board.rows]
        every = [record.config.variant for record in self.study.records]
        return looks([*self.order, self.board.baseline, *ranked, *every])

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
