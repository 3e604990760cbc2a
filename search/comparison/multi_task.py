"""Comparisons over several tasks, or over the values of a task's sweep, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from attenergy.registry import ArgumentError, Registry, Scalar, UnknownName
from attenergy.search.comparison.compare import (
    PLAN,
    ComparePlan,
    ComparisonMismatch,
    configure,
    run_compare,
)
from attenergy.search.results.study_folder import read_study, write_leaderboard
from attenergy.search.results.task_table import Column, Matrix, column_of
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.names import path_part
from attenergy.search.runs.records import RECORDS, write_atomically
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task


@dataclass(frozen=True)
class Part:
    """One of several comparisons: its heading, its task, and what it changes of the task."""

    name: str
    task: str
    options: Mapping[str, Scalar]


def parts_of_tasks(registry: Registry, tasks: tuple[str, ...]) -> list[Part]:
    """One part per task.

    Raises:
        UnknownName: the registry lacks one of them.
    """
    for task in tasks:
        registry.task(task)
    return [Part(task, task, {}) for task in dict.fromkeys(tasks)]


def parts_of_sweep(registry: Registry, task: str, option: str) -> list[Part]:
    """One part per value of a sweep that the task's entry declares.

    Raises:
        UnknownName: the registry lacks the task, or the task the sweep.
        ValueError: a value cannot name the folder of its part.
    """
    sweeps = registry.task(task).sweeps
    if option not in sweeps:
        raise UnknownName(f"sweep of {task}", option, sweeps)
    parts = [Part(f"{option}-{value}", task, {option: value}) for value in sweeps[option]]
    for part in parts:
        try:
            path_part(part.name)
        except ValueError as error:
            text = f"the sweep {option} of {task} cannot name a folder by a value: {error}"
            raise ArgumentError(text) from error
    return parts


def run_several(
    plan: ComparePlan,
    parts: list[Part],
    registry: Registry,
    listen: Callable[[ComparePlan], AbstractContextManager[Listener]],
) -> Matrix:
    """Run the plan on every part, each in its own folder below the plan's; then put them together.

    A variant that a task's model cannot hold is left out of that task, with the reason; the others
    go on. What has finished is kept, so the same call again goes on where it was stopped. Each part
    has its own leaderboard.

    Args:
        plan: what is common: variants, seeds, rates, steps, `fix`; its task is not used.
        parts: the tasks and what is changed of each.
        registry: where names are looked up.
        listen: makes the listener of one comparison.

    Raises:
        ComparisonMismatch: the folder is of one search or of a comparison on one task.
        ValueError: no variant fits a task, or as `run_compare` says.
    """
    if any((Path(plan.folder) / file).is_file() for file in (PLAN, RECORDS)):
        raise ComparisonMismatch(
            f"{plan.folder} holds a study of one task; give this comparison another name"
        )
    columns: list[Column] = []
    for part in parts:
        options = {**plan.task_options, **part.options}
        name, folder = f"{part.task}-{part.name}", str(Path(plan.folder) / part.name)
        changes = {"name": name, "folder": folder, "task": part.task, "task_options": options}
        missing = _unfit(plan.model_copy(update=changes), registry)
        fit = tuple(variant for variant in plan.variants if variant not in missing)
        if not fit:
            raise ArgumentError(f"no variant fits {part.name}: {next(iter(missing.values()))}")
        fix = {n: value for n, value in plan.fix.items() if n.split(".")[0] not in missing}
        here = plan.model_copy(update={**changes, "variants": fit, "fix": fix})
        with listen(here) as listener:
            for variant, reason in missing.items():
                listener.message(f"{variant} is left out of {part.name}: {reason}")
            try:
                run_compare(here, registry, listener)
            except SameFailure as error:  # another task may work
                listener.message(f"{part.name}: {error}")
        study = read_study(Path(folder))
        write_leaderboard(study)
        columns.append(column_of(part.name, study, missing))
    return Matrix(plan.name, plan.variants, tuple(columns))


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
