"""Comparisons over several tasks, or over the values of a task's sweep, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from attenergy.registry import ArgumentError, Registry, Scalar, UnknownName
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.comparison.compare import (
    PLAN,
    ComparePlan,
    ComparisonMismatch,
    configure,
    run_compare,
)
from attenergy.search.results.ranking import columns_of
from attenergy.search.results.study_folder import Study, read_study, write_leaderboard
from attenergy.search.results.task_table import Column, Matrix, worse_than
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.names import path_part
from attenergy.search.runs.records import RECORDS, write_atomically
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task


@dataclass(frozen=True)
class Comparison:
    """One comparison among several: its heading, its task, and what it changes of the task."""

    name: str
    task: str
    options: Mapping[str, Scalar]


def comparisons_of_tasks(registry: Registry, tasks: tuple[str, ...]) -> list[Comparison]:
    """One comparison per task.

    Raises:
        UnknownName: the registry lacks one of them.
    """
    for task in tasks:
        registry.task(task)
    return [Comparison(task, task, {}) for task in dict.fromkeys(tasks)]


def comparisons_of_sweep(registry: Registry, task: str, option: str) -> list[Comparison]:
    """One comparison per value of a sweep that the task's entry declares.

    Raises:
        UnknownName: the registry lacks the task, or the task the sweep.
        ValueError: a value cannot name the folder of its comparison.
    """
    sweeps = registry.task(task).sweeps
    if option not in sweeps:
        raise UnknownName(f"sweep of {task}", option, sweeps)
    comparisons = [
        Comparison(f"{option}-{value}", task, {option: value}) for value in sweeps[option]
    ]
    for comparison in comparisons:
        try:
            path_part(comparison.name)
        except ValueError as error:
            text = f"the sweep {option} of {task} cannot name a folder by a value: {error}"
            raise ArgumentError(text) from error
    return comparisons


def run_multi_task(
    plan: ComparePlan,
    comparisons: list[Comparison],
    registry: Registry,
    listen: Callable[[ComparePlan], AbstractContextManager[Listener]],
    time_budget: TimeBudget | None = None,
) -> Matrix:
    """Run every comparison in its own folder below the plan's, and put their scores together.

    A variant that a task's model cannot hold is left out of that task, with the reason; the others
    go on. What has finished is kept, so the same call again goes on where it was stopped. Each
    has its own leaderboard.

    Args:
        plan: what is common: variants, seeds, rates, steps, `fix`; its task is not used.
        comparisons: the tasks and what is changed of each.
        registry: where names are looked up.
        listen: makes the listener of one comparison.
        time_budget: the plan's `budget`, with the moment at which the command began; if None, it
            begins now. Every comparison has an equal part of what is left when it begins.

    Raises:
        ComparisonMismatch: the folder is of one search or of a comparison on one task.
        ValueError: no variant fits a task, or as `run_compare` says.
    """
    if any((Path(plan.folder) / file).is_file() for file in (PLAN, RECORDS)):
        raise ComparisonMismatch(
            f"{plan.folder} holds a study of one task; give this comparison another name"
        )
    columns: list[Column] = []
    budget = time_budget or TimeBudget.of(plan.budget)
    for number, comparison in enumerate(comparisons):
        options = {**plan.task_options, **comparison.options}
        name, folder = (
            f"{comparison.task}-{comparison.name}",
            str(Path(plan.folder) / comparison.name),
        )
        changes = {"name": name, "folder": folder, "task": comparison.task, "task_options": options}
        missing = _unfit(plan.model_copy(update=changes), registry)
        fit = tuple(variant for variant in plan.variants if variant not in missing)
        if not fit:
            raise ArgumentError(
                f"no variant fits {comparison.name}: {next(iter(missing.values()))}"
            )
        fix = {n: value for n, value in plan.fix.items() if n.split(".")[0] not in missing}
        here = plan.model_copy(update={**changes, "variants": fit, "fix": fix})
        with listen(here) as listener:
            for variant, reason in missing.items():
                listener.message(f"{variant} is left out of {comparison.name}: {reason}")
            try:
                part = None if budget is None else budget.part(1 / (len(comparisons) - number))
                run_compare(here, registry, listener, time_budget=part)
            except SameFailure as error:  # another task may work
                listener.message(f"{comparison.name}: {error}")
        study = read_study(Path(folder))
        write_leaderboard(study)
        columns.append(column_of(comparison.name, study, missing))
    return Matrix(plan.name, plan.variants, tuple(columns))


def column_of(name: str, study: Study, missing: Mapping[str, str]) -> Column:
    """The column of one finished comparison.

    Args:
        name: its heading.
        study: the comparison.
        missing: variants that could not take part, and why.
    """
    task = study.task
    shown = next(c for c, split in columns_of(task).items() if split == task.headline)
    board = study.leaderboard()
    rows = [row for row in board.rows if row.final and shown in row.scores]
    failed = {f.variant: f"{f.status}: {f.reason}" for f in board.failures}
    best = {row.variant: row for row in reversed(rows)}  # the best row stays
    scores = {variant: row.scores[shown] for variant, row in best.items()}
    ceiling = task.ceiling(task.headline)
    return Column(
        name=name,
        task=board.task,
        metric=board.metric,
        split=task.headline,
        chance=board.chance,
        ceiling=None if ceiling is None else ceiling.value,
        scores=scores,
        missing={v: why for v, why in {**failed, **missing}.items() if v not in scores},
        worse=worse_than({variant: row.values[shown] for variant, row in best.items()}),
    )


def write_matrix(matrix: Matrix, folder: Path) -> None:
    """Write `matrix.md` and `matrix.json` into the folder of the comparisons."""
    write_atomically(folder / "matrix.md", matrix.markdown())
    write_atomically(folder / "matrix.json", matrix.json() + "\n")


def _unfit(plan: ComparePlan, registry: Registry) -> dict[str, str]:
    """Variants whose model cannot be built for the task, and why."""
    missing = {}
    for variant in plan.variants:
        config = configure(plan, registry, variant)
        task = make_task(config.task_spec, split_seed=plan.split_seed)
        try:
            build_model(config, task)
        except ValueError as error:
            missing[variant] = in_one_line(error)
    return missing
