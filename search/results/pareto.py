"""With several objectives: the configurations that no other beats in all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attenergy.search.planning.objectives import find_objectives, front
from attenergy.search.results import formats
from attenergy.search.results.ranking import Row
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task


@dataclass(frozen=True)
class Compromise:
    """One configuration of the front: its row of the leaderboard, and the means of its runs."""

    rank: int
    variant: str
    settings: dict[str, Any]
    final: bool
    values: dict[str, float]  # objective -> mean


def compromises(
    records: Sequence[RunRecord], rows: Sequence[Row], task: Task, objectives: Sequence[str]
) -> tuple[Compromise, ...]:
    """The front of a study's configurations, the best by the first objective first.

    Empty with one objective. Finalists (means over seeds) and trials (one seed, chosen for their
    scores) are on one front; a tie in all objectives leaves both on it.

    Args:
        records: the runs of the study.
        rows: of its leaderboard.
        task: the task, whose metrics are objectives.
        objectives: names, as in the study's plan.
    """
    if len(objectives) < 2:
        return ()
    known = find_objectives(task, objectives)
    by_key = {record.key: record for record in records}
    points: dict[str, list[float]] = {}
    for row in rows:
        runs = [by_key[key] for key in row.keys]
        means = [fmean(objective.value(run) for run in runs) for objective in known]
        if all(map(math.isfinite, means)):  # some runs could not measure a cost
            points[f"{row.rank}"] = means
    best = front(points, known)
    chosen = [row for row in rows if f"{row.rank}" in best]
    return tuple(
        Compromise(
            rank=row.rank,
            variant=row.variant,
            settings=row.settings,
            final=row.final,
            values=dict(zip(objectives, points[f"{row.rank}"], strict=True)),
        )
        for row in sorted(chosen, key=lambda row: best.index(f"{row.rank}"))
    )


def front_cells(
    points: Sequence[Compromise], *, with_settings: bool
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of the front."""
    names = list(points[0].values) if points else []
    header = ["#", "variant", *names, "runs", *(["settings"] if with_settings else [])]
    rows = [
        [
            f"{point.rank}",
            point.variant,
            *(_cell(value) for value in point.values.values()),
            "seeds" if point.final else "trial",
            *([formats.settings(point.settings)] if with_settings else []),
        ]
        for point in points
    ]
    return header, rows


def _cell(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else formats.count(value)
