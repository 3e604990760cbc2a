"""Comparisons over several tasks, or at the points of a sweep, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from attenergy.registry import ArgumentError, AttenergyError, Registry, Scalar, UnknownName
from attenergy.registry.files import write_atomically
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.shares import shares_of_time
from attenergy.search.comparison.compare import (
    PLAN,
    ComparePlan,
    ComparisonMismatch,
    configure,
    run_compare,
)
from attenergy.search.comparison.sweeps import (
    Comparison,
    comparisons_of_sweep,
    comparisons_of_sweeps,
)
from attenergy.search.results.ranking import Row, columns_of
from attenergy.search.results.study_folder import Study, read_study, write_leaderboard
from attenergy.search.results.task_table import Column, Matrix, worse_than
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.records import RECORDS, read_records
from attenergy.search.training.own_model import check_buildable
from attenergy.tasks import make_task

__all__ = [
    "Comparison",
    "column_of",
    "comparisons_of_sweep",
    "comparisons_of_sweeps",
    "comparisons_of_tasks",
    "run_multi_task",
    "write_matrix",
]


def comparisons_of_tasks(registry: Registry, tasks: tuple[str, ...]) -> list[Comparison]:
    """One comparison per task.

    Raises:
        UnknownName: the registry lacks one of them.
    """
    for task in tasks:
        registry.task(task)
    return [Comparison(task, task, {}) for task in dict.fromkeys(tasks)]


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
    has its own leaderboard. At the points of a sweep a budget shortens all runs alike, and a
    variant that is the same at several points is trained once.

    Args:
        plan: what is common: variants, seeds, rates, steps, `fix`; its task is not used.
        comparisons: the tasks and what is changed of each.
        registry: where names are looked up.
        listen: makes the listener of one comparison.
        time_budget: the plan's `budget`, with the moment at which the command began; if None, it
            begins now. Each has such a part of it as its runs cost (`shares_of_time`).

    Raises:
        ComparisonMismatch: the folder is of one search or of a comparison on one task.
        ValueError: no variant fits a task, or as `run_compare` says.
    """
    if any((Path(plan.folder) / file).is_file() for file in (PLAN, RECORDS)):
        raise ComparisonMismatch(
            f"{plan.folder} holds a study of one task; give this comparison another name"
        )
    budget = time_budget or TimeBudget.of(plan.budget)
    parts = [_Part.of(each, plan, registry) for each in comparisons]
    shares = [1.0] * len(parts)
    if budget is not None:
        shares = shares_of_time([part.first for part in parts])
    order = list(range(len(parts)))
    if all(part.comparison.point for part in parts):
        # What has to be shortened shows where a run costs most; the others then are as short.
        order.sort(key=lambda number: -shares[number])
    columns: dict[int, Column] = {}
    steps: int | None = None
    for number in order:
        part = parts[number].with_steps(steps)
        left = sum(shares[n] for n in order if n not in columns)
        with listen(part.plan) as listener:
            for variant, reason in part.missing.items():
                listener.message(f"{variant} is left out of {part.name}: {reason}")
            try:
                run_compare(
                    part.plan,
                    registry,
                    listener,
                    time_budget=None if budget is None else budget.part(shares[number] / left),
                    known=_equal_runs(part, [parts[n] for n in columns]),
                )
            except SameFailure as error:  # another task may work
                listener.message(f"{part.name}: {error}")
        study = read_study(Path(part.plan.folder))
        write_leaderboard(study)
        columns[number] = column_of(part.name, study, part.missing, part.comparison.point)
        if budget is not None and isinstance(study.plan, ComparePlan):
            steps = steps or study.plan.steps or part.first.training.steps
    return Matrix(plan.name, plan.variants, tuple(columns[n] for n in range(len(parts))))


@dataclass(frozen=True)
class _Part:
    """One comparison as it is run.

    Attributes:
        plan: of the variants whose model can be built.
        missing: the others, and why.
        runs: variant -> its run with the choosing seed.
    """

    comparison: Comparison
    plan: ComparePlan
    missing: dict[str, str]
    runs: dict[str, RunConfig]

    @classmethod
    def of(cls, comparison: Comparison, common: ComparePlan, registry: Registry) -> _Part:
        """What is run; everything that does not fit is known before anything is trained."""
        plan = comparison.of(common, str(Path(common.folder) / comparison.name))
        missing = _unfit(plan, registry)
        fit = tuple(variant for variant in plan.variants if variant not in missing)
        if not fit:
            raise ArgumentError(
                f"no variant fits {comparison.name}: {next(iter(missing.values()))}"
            )
        fix = {n: value for n, value in plan.fix.items() if n.split(".")[0] not in missing}
        plan = plan.model_copy(update={"variants": fit, "fix": fix})
        runs = {variant: configure(plan, registry, variant) for variant in fit}
        return cls(comparison, plan, missing, runs)

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.comparison.name

    @property
    def first(self) -> RunConfig:
        """The run of the first variant."""
        return self.runs[self.plan.variants[0]]

    def with_steps(self, steps: int | None) -> _Part:
        """The same with so many training steps, for a point that has no number of its own."""
        if steps is None or self.comparison.steps is not None or not self.comparison.point:
            return self
        return replace(self, plan=self.plan.model_copy(update={"steps": steps}))


def _equal_runs(part: _Part, done: Iterable[_Part]) -> list[RunRecord]:
    """Records of variants that are the same at another point: a sweep of a setting of one variant.

    Their weights stay where they were trained.
    """
    if part.plan.fairness != "steps":
        return []
    own = {variant: run.config_hash() for variant, run in part.runs.items()}
    records: dict[str, RunRecord] = {}
    for other in done:
        same = {v for v, run in other.runs.items() if own.get(v) == run.config_hash()}
        if other.plan.steps != part.plan.steps or not same:
            continue
        for record in read_records(Path(other.plan.folder)):
            if record.config.variant in same:
                records[record.key] = record.model_copy(update={"weights": ""})
    return list(records.values())


def column_of(
    name: str,
    study: Study,
    missing: Mapping[str, str],
    point: Mapping[str, Scalar] | None = None,
) -> Column:
    """The column of one finished comparison.

    Args:
        name: of its folder.
        study: the comparison.
        missing: variants that could not take part, and why.
        point: what was gone through, and its value; None for a task.
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
        point=dict(point or {}),
        verdict=replace(board.verdict, command=""),
        differences=_differences(best, study.baseline),
    )


def _differences(rows: Mapping[str, Row], baseline: str) -> dict[str, dict[int, float]]:
    """Variant -> seed -> validation score minus the baseline's, over the seeds that both have."""
    values = {variant: row.values.get("valid", {}) for variant, row in rows.items()}
    first = values.pop(baseline, {})
    return {
        variant: {seed: scores[seed] - first[seed] for seed in sorted(scores.keys() & first.keys())}
        for variant, scores in values.items()
    }


def write_matrix(matrix: Matrix, folder: Path) -> None:
    """Write `matrix.md` and `matrix.json` into the folder of the comparisons."""
    write_atomically(folder / "matrix.md", matrix.markdown())
    write_atomically(folder / "matrix.json", matrix.json() + "\n")


def _unfit(plan: ComparePlan, registry: Registry) -> dict[str, str]:
    """Variants whose model cannot be built for the task, and why."""
    missing = {}
    for variant in plan.variants:
        try:
            config = configure(plan, registry, variant)
        except UnknownName:
            raise
        except ArgumentError as error:  # a stack of other layers than the model has
            missing[variant] = in_one_line(error)
            continue
        task = make_task(config.task_spec, split_seed=plan.split_seed)
        try:
            check_buildable(config, task)
        except ValueError as error:
            own = isinstance(error, AttenergyError)
            missing[variant] = str(error) if own else in_one_line(error)
    return missing
