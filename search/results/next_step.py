"""What to type after a study: the command that would decide it, or let its models learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attenergy.search.planning.command_line import command
from attenergy.search.planning.final_budget import NONE, REST
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.planning.search_budget import times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attenergy.search.results.verdict import Verdict
    from attenergy.search.runs.config import RunRecord

_LONGER = 4  # times as long, where nobody learned


def next_step(
    plan: SearchPlan | ComparePlan | None,
    verdict: Verdict,
    records: Sequence[RunRecord],
    folder: Path,
    *,
    plugins: Sequence[str] = (),
    registry: str = "",
) -> str:
    """A line for the shell; empty where the study says what it can, or its plan is lost.

    Undecided: the same study with as many seeds more as are likely to decide, or where it had a
    budget in time, with the same once more. Nobody learned: a
    new one, trained four times as long. No finalists: the same search with three.

    Args:
        plan: of the study.
        verdict: on it.
        records: its runs.
        folder: where it is kept.
        plugins: modules that it needs.
        registry: file with the entries that are not built in.
    """
    if plan is None or (isinstance(plan, ComparePlan) and plan.name != folder.name):
        return ""  # one task of a comparison of several is not run by itself
    changes, resume = _changes(plan, verdict, records)
    if not changes:
        return ""
    # Not `model_copy`: fields that were set and are at their defaults have to be said again.
    changed = plan.model_copy(update=changes)
    home = "" if folder.parent == Path("runs") else str(folder.parent)
    return command(changed, (), plugins, registry, home, resume)


def _changes(
    plan: SearchPlan | ComparePlan, verdict: Verdict, records: Sequence[RunRecord]
) -> tuple[dict[str, Any], bool]:
    """What is different in the next plan, and whether it goes on with the study."""
    if verdict.kind == "unlearned":
        return _longer(plan, records), False
    if verdict.kind == "none" and isinstance(plan, SearchPlan) and not plan.finalists:
        return {"finalists": 3}, True
    more = max((row.more_seeds or 0 for row in verdict.rows), default=0)
    if verdict.kind == "beats" or not more:
        return {}, False
    if plan.budget is not None and plan.final_budget == REST:
        return {"budget": plan.budget}, True
    seeds = max(row.seeds for row in verdict.rows) + more
    if plan.final_budget == NONE:
        return {"seeds": seeds}, True
    return {"final_budget": f"{seeds}seeds"}, True


def _longer(plan: SearchPlan | ComparePlan, records: Sequence[RunRecord]) -> dict[str, Any]:
    steps = max((record.config.training.steps for record in records), default=0)
    if plan.fairness == "seconds" and plan.seconds is not None:
        length: dict[str, Any] = {"seconds": _LONGER * plan.seconds}
    elif not steps:
        return {}  # a task that is not trained
    elif isinstance(plan, SearchPlan):
        length = {"train_steps": _LONGER * steps, "final_steps": None}
    else:
        length = {"steps": _LONGER * steps}
    if plan.budget is not None:
        length["budget"] = times(plan.budget, _LONGER)
    name = "name" if isinstance(plan, ComparePlan) else "study"
    return {**length, name: f"{getattr(plan, name)}-longer"}
