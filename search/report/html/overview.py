"""A comparison over several tasks as a page shows it: the matrix, and a profile over all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.report.html import profiles
from attenergy.search.report.html.style import LEVELS, Picture, looks
from attenergy.search.results import formats
from attenergy.search.results.ranking import columns_of
from attenergy.search.results.study_folder import Study
from attenergy.search.results.task_table import Column, Matrix


def context(matrix: Matrix, parts: Mapping[str, Study]) -> dict[str, Any]:
    """Rows of the matrix by mean rank, each cell with its score and a tone of how good it is."""
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
            {"name": c.name, "metric": c.metric, "split": c.split, "task": c.task}
            for c in matrix.columns
        ],
        "rows": rows,
        "ceiling": [_number(c.ceiling) for c in matrix.columns],
        "chance": [_number(c.chance) for c in matrix.columns],
        "missing": [
            (variant, column.name, reason)
            for column in matrix.columns
            for variant, reason in column.missing.items()
        ],
        "seconds": formats.duration(
            sum(r.cost.get("seconds", 0.0) for study in parts.values() for r in study.records)
        ),
    }


def draw(matrix: Matrix, parts: Mapping[str, Study]) -> list[Picture]:
    """One profile over all tasks and seeds, each score between chance (0) and ceiling (1)."""
    values: dict[str, list[float]] = {variant: [] for variant in matrix.variants}
    for column in matrix.columns:
        study = parts[column.name]
        shown = next(c for c, s in columns_of(study.task).items() if s == column.split)
        seen = set()
        for row in study.leaderboard().rows:
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
    plan: SearchPlan | ComparePlan | None,
    plugins: Iterable[str] = (),
    registry: str = "",
) -> str:
    """The call that makes the comparison; empty if its plan is lost."""
    if not isinstance(plan, ComparePlan):
        return ""
    tasks = tuple(dict.fromkeys(column.task for column in matrix.columns))
    common = plan.model_copy(update={"name": matrix.title, "variants": matrix.variants})
    if len(tasks) > 1:
        return command(common, tasks, plugins, registry)
    # Of one task, the parts are the values of a sweep: an option that each part sets for itself.
    option = next((c.name.rpartition("-")[0] for c in matrix.columns if "-" in c.name), "")
    if option not in plan.task_options:
        return command(common, tasks, plugins, registry)
    options = {n: value for n, value in plan.task_options.items() if n != option}
    text = command(common.model_copy(update={"task_options": options}), tasks, plugins, registry)
    return f"{text} --sweep {option}"


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
