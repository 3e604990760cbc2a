"""The configurations that no other beats in all objectives, within the limits of cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.objectives import Objective, find_objectives, front
from attenergy.search.results import formats
from attenergy.search.results.ranking import Row
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task


#: Behind the name of what is beyond the limits of cost.
BEYOND = "†"


@dataclass(frozen=True)
class Compromise:
    """One configuration of the front: its row of the leaderboard, and the means of its runs."""

    rank: int
    variant: str
    settings: dict[str, Any]
    final: bool
    values: dict[str, float]  # objective -> mean


def compromises(
    records: Sequence[RunRecord],
    rows: Sequence[Row],
    task: Task,
    objectives: Sequence[str],
    limits: CostLimits,
) -> tuple[Compromise, ...]:
    """The front of a study's configurations, the best by the first objective first.

    With one objective it is that of the score against the limited costs, and empty without limits.
    What is beyond the limits is not on it. Finalists (means over seeds) and trials (one seed,
    chosen for their scores) are on one front; a tie in all objectives leaves both on it.

    Args:
        records: the runs of the study.
        rows: of its leaderboard.
        task: the task, whose metrics are objectives.
        objectives: names, as in the study's plan.
        limits: of cost.
    """
    if len(objectives) < 2 and not limits:
        return ()
    known = find_objectives(task, objectives)
    costs = limits.most if len(objectives) < 2 else {}
    names = [*(objective.name for objective in known), *costs]
    by_key = {record.key: record for record in records}
    points: dict[str, list[float]] = {}
    for row in rows:
        runs = [by_key[key] for key in row.keys]
        means = [fmean(objective.value(run) for run in runs) for objective in known]
        # As they are shown: a few parameters more or less are no compromise.
        means += [float(f"{row.cost.get(cost, math.inf):.3g}") for cost in costs]
        if all(map(math.isfinite, means)) and not row.beyond:  # some could not measure a cost
            points[f"{row.rank}"] = means
    best = front(points, (*known, *(Objective(cost, "minimize", True) for cost in costs)))
    chosen = [row for row in rows if f"{row.rank}" in best]
    return tuple(
        Compromise(
            rank=row.rank,
            variant=row.variant,
            settings=row.settings,
            final=row.final,
            values=dict(zip(names, points[f"{row.rank}"], strict=True)),
        )
        for row in sorted(chosen, key=lambda row: best.index(f"{row.rank}"))
    )


def front_title(points: Sequence[Compromise], limited: bool) -> str:
    """What a table of the front shows, with limits of cost or without."""
    if not limited:
        return "Beaten by no other in all objectives"
    return f"Within the limits, beaten by no other in all of {', '.join(points[0].values)}"


def limit_notes(
    rows: Sequence[Row], limits: CostLimits, untrained: Mapping[str, int]
) -> tuple[str, ...]:
    """How many configurations are within the limits of cost; empty without limits.

    Args:
        rows: of the leaderboard.
        limits: of the search.
        untrained: how many proposals of each variant were not trained for them.
    """
    if not limits:
        return ()
    beyond = [row for row in rows if row.beyond]
    text = f"Limits of cost: {limits.text()}"
    if refused := sum(untrained.values()):
        text += f"; {formats.counted(refused, 'proposal')} beyond them were not trained"
    notes = [f"{text}."]
    if beyond:
        number = formats.counted(len(beyond), "configuration")
        notes.append(
            f"{BEYOND} marks what is beyond the limits all the same ({number} of {len(rows)}): "
            "measured while it was trained, or the baseline, which is the reference in any case."
        )
    return tuple(notes)


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
