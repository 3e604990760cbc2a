"""A comparison over several tasks as a page shows it: the matrix, and a profile over all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attenergy.analysis.drawing import LEVELS, Picture, looks
from attenergy.registry import as_written
from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.report.html import profiles, scaling, tables
from attenergy.search.report.html.study_view import View
from attenergy.search.report.over_tasks import verdict_over
from attenergy.search.results import formats
from attenergy.search.results.ranking import columns_of
from attenergy.search.results.task_table import DIFFERENCES, Column, Matrix


def context(matrix: Matrix, views: Mapping[str, View]) -> dict[str, Any]:
    """Rows of the matrix by mean rank, each cell with its score and a tone of how good it is."""
    said = matrix.finding or verdict_over(
        matrix, {name: view.board.verdict for name, view in views.items()}
    )
    ranks = matrix.mean_ranks
    styles = looks(matrix.variants)
    rows = [
        {
            "variant": variant,
            "tone": styles[variant].tone,
            "cells": [_cell(column, variant) for column in matrix.columns],
            "rank": f"{ranks[variant]:.1f}",
        }
        for variant in sorted(matrix.variants, key=ranks.__getitem__)
    ]
    return {
        "columns": [
            {"name": c.title, "metric": c.metric, "split": formats.split(c.split), "task": c.task}
            for c in matrix.columns
        ],
        "verdict": tables.shown_verdict(said),
        "rows": rows,
        "verdicts": matrix.verdict_cells() if matrix.axes else None,
        "about_verdicts": DIFFERENCES,
        "baseline": matrix.variants[0],
        "ceiling": [_number(c.ceiling) for c in matrix.columns],
        "chance": [_number(c.chance) for c in matrix.columns],
        "missing": [
            (variant, column.title, reason)
            for column in matrix.columns
            for variant, reason in column.missing.items()
        ],
        "seconds": formats.duration(
            sum(r.cost.get("seconds", 0.0) for view in views.values() for r in view.study.records)
        ),
    }


def draw(matrix: Matrix, views: Mapping[str, View]) -> list[Picture]:
    """Scores against the values of a sweep; a profile over all tasks and seeds."""
    return [*scaling.draw(matrix), *_profile(matrix, views)]


def _profile(matrix: Matrix, views: Mapping[str, View]) -> list[Picture]:
    """One profile over all tasks and seeds, each score between chance (0) and ceiling (1)."""
    values: dict[str, list[float]] = {variant: [] for variant in matrix.variants}
    for column in matrix.columns:
        view = views[column.name]
        shown = next(c for c, s in columns_of(view.study.task).items() if s == column.split)
        seen = set()
        for row in view.board.rows:
            if row.final and row.variant in values and row.variant not in seen:
                seen.add(row.variant)  # the best row of a variant
                scores = row.values.get(shown, {}).values()
                values[row.variant] += [_normal(column, score) for score in scores]
    enough = {variant: scores for variant, scores in values.items() if len(scores) > 1}
    if len(enough) < 2:
        return []
    about = "Share of runs, over all tasks and seeds, above each level between chance and ceiling."
    styles = looks(matrix.variants)
    title = "Profile over tasks and seeds"
    return [profiles.one("profile", title, about, enough, styles, xlabel="0 chance, 1 ceiling")]


def command_line(
    matrix: Matrix,
    plans: Sequence[SearchPlan | ComparePlan | None],
    plugins: Iterable[str] = (),
    registry: str = "",
) -> str:
    """The call that makes the comparison; empty if a plan is lost.

    Args:
        matrix: of the comparison.
        plans: of its parts.
        plugins: modules that it needs.
        registry: file with the entries that are not built in.
    """
    known = [plan for plan in plans if isinstance(plan, ComparePlan)]
    if len(known) < len(plans):
        return ""
    tasks = tuple(dict.fromkeys(column.task for column in matrix.columns))
    plan, axes = known[0], matrix.axes
    changes: dict[str, Any] = {"name": matrix.title, "variants": matrix.variants}
    if not axes:
        common = plan.model_copy(update=changes)
        # Of one task, the parts are the values of a sweep: an option that each sets for itself.
        option = next((c.name.rpartition("-")[0] for c in matrix.columns if "-" in c.name), "")
        if len(tasks) > 1 or option not in plan.task_options:
            return command(common, tasks, plugins, registry)
        options = {n: value for n, value in plan.task_options.items() if n != option}
        common = common.model_copy(update={"task_options": options})
        return f"{command(common, tasks, plugins, registry)} --sweep {option}"
    for field in ("task_options", "fix"):
        here: dict[str, Any] = getattr(plan, field)
        equal = {n: v for n, v in here.items() if all(getattr(p, field).get(n) == v for p in known)}
        changes[field] = {n: v for n, v in equal.items() if n not in axes}
    # Points that go through the steps differ in them.
    if len({p.steps for p in known}) > 1 or "steps" in axes:
        changes["steps"] = None
    words = [f"--sweep {name}={','.join(map(as_written, values))}" for name, values in axes.items()]
    return " ".join([command(plan.model_copy(update=changes), tasks, plugins, registry), *words])


def _cell(column: Column, variant: str) -> dict[str, str]:
    score = column.scores.get(variant)
    if score is None:
        return {"text": formats.NOTHING, "level": ""}
    place = min(1.0, max(0.0, _normal(column, score.mean)))
    return {"text": formats.score(score), "level": LEVELS[min(int(place * 5), 4)]}


def _normal(column: Column, score: float) -> float:
    low = 0.0 if column.chance is None else column.chance
    high = 1.0 if column.ceiling is None else column.ceiling
    return (score - low) / (high - low) if high > low else score


def _number(value: float | None) -> str:
    return formats.NOTHING if value is None else f"{value:.3f}"
