"""A comparison over several tasks as a page shows it: the matrix, and a profile over all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.report.html import profiles, tables
from attenergy.search.report.html.study_view import View
from attenergy.search.report.html.style import LEVELS, Picture, colour, drawing, legend, looks
from attenergy.search.report.over_tasks import sweep_of, verdict_over
from attenergy.search.results import formats
from attenergy.search.results.ranking import columns_of
from attenergy.search.results.task_table import Column, Matrix


def context(matrix: Matrix, views: Mapping[str, View]) -> dict[str, Any]:
    """Rows of the matrix by mean rank, each cell with its score and a tone of how good it is."""
    said = verdict_over(matrix, {name: view.board.verdict for name, view in views.items()})
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
            {"name": c.name, "metric": c.metric, "split": formats.split(c.split), "task": c.task}
            for c in matrix.columns
        ],
        "verdict": tables.shown_verdict(said),
        "rows": rows,
        "ceiling": [_number(c.ceiling) for c in matrix.columns],
        "chance": [_number(c.chance) for c in matrix.columns],
        "missing": [
            (variant, column.name, reason)
            for column in matrix.columns
            for variant, reason in column.missing.items()
        ],
        "seconds": formats.duration(
            sum(r.cost.get("seconds", 0.0) for view in views.values() for r in view.study.records)
        ),
    }


def draw(matrix: Matrix, views: Mapping[str, View]) -> list[Picture]:
    """Scores against the value of a sweep; a profile over all tasks and seeds."""
    return [*_sweep(matrix), *_profile(matrix, views)]


def _sweep(matrix: Matrix) -> list[Picture]:
    """The score of each variant against the value that was gone through."""
    sweep = sweep_of(matrix)
    if sweep is None:
        return []
    option, values = sweep
    styles = looks(matrix.variants)
    tips: dict[str, list[str]] = {}
    first = matrix.columns[0]
    with drawing() as (figure, axes):
        for number, variant in enumerate(matrix.variants):
            known = [
                (value, column.scores[variant])
                for value, column in sorted(zip(values, matrix.columns, strict=True), key=_value)
                if variant in column.scores
            ]
            if not known:
                continue
            look, x = styles[variant], [value for value, _ in known]
            means = [score.mean for _, score in known]
            axes.plot(
                x, means, color=look.colour, linestyle=look.dash, linewidth=1.8, label=variant
            )
            axes.scatter(
                x, means, s=34, marker=look.marker, color=look.colour, linewidths=0, zorder=3,
                gid=f"sweep-{number}",
            )  # fmt: skip
            tips[f"sweep-{number}"] = [
                f"{variant}, {option} {value:g}: {formats.score(score)}" for value, score in known
            ]
            ends = [
                (v, s.low, s.high) for v, s in known if s.low is not None and s.high is not None
            ]
            if ends:
                axes.vlines(*zip(*ends, strict=True), color=look.colour, linewidth=1.3)
        for name in ("chance", "ceiling"):
            line = [(v, getattr(c, name)) for v, c in zip(values, matrix.columns, strict=True)]
            line = sorted((v, level) for v, level in line if level is not None)
            if line:
                axes.plot(*zip(*line, strict=True), color=colour("chance"), linewidth=1,
                          linestyle=(0, (2, 2)), label=name)  # fmt: skip
        if min(values) > 0 and max(values) >= 8 * min(values):
            axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set(xlabel=option, ylabel=f"{first.metric} ({formats.split(first.split)})")
        legend(axes)
    about = f"Mean over seeds and its 95 % interval at each {option} that was gone through."
    return [Picture("sweep", f"Score against {option}", about, figure, tips=tips)]


def _value(pair: tuple[float, Column]) -> float:
    return pair[0]


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
