"""The finals: the same tuning for everybody, then a race over seeds, on every task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attenergy.registry import AttenergyError, Registry, Scalar
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.shares import shares_of_time
from attenergy.search.comparison.compare import run_compare
from attenergy.search.comparison.configure import configure
from attenergy.search.comparison.multi_task import column_of, write_matrix
from attenergy.search.discovery.ladder.rungs import settings_of
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.finalists import Finalist
from attenergy.search.engines.base import Resources
from attenergy.search.planning.final_budget import DEFAULT, REST
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.planning.ranges import layer_defaults
from attenergy.search.results.study_folder import read_study, write_leaderboard
from attenergy.search.results.task_table import Column, Matrix
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RECORDS

#: Folder of the finals in that of the discovery; one folder for each task below it.
FINALS = "finals"
#: Multiples of a task's own learning rate that everybody tries.
RATES = (1 / 3, 1.0, 3.0)


def run_finals(
    plan: DiscoverPlan,
    finalists: Sequence[Finalist],
    registry: Registry,
    listen: Callable[[ComparePlan], AbstractContextManager[Listener]],
    *,
    time_budget: TimeBudget | None = None,
) -> Matrix:
    """Hold the finalists against softmax, on the tasks of the discovery and on those held out.

    Each task is a comparison in a folder of its own, `finals/TASK`, which is read, reported and
    exported like any other; beside them is a table over all tasks. Everybody tries the same
    multiples of the task's learning rate with a seed of its own, and has its other settings from
    the discovery, where all had the same tuning. What is recorded is not run again. A task whose
    part of the time is too short is passed over, with a message.

    Args:
        plan: of the discovery: its tasks, folder, and who does the work.
        finalists: who takes part; the first is the reference.
        registry: holds an entry by the name of each.
        listen: makes the listener of one comparison.
        time_budget: for all of them, in parts such as their runs cost (`shares_of_time`); None for
            as many seeds as a comparison has.

    Returns:
        The table; `columns[i].verdict.sentence` says what was decided on a task.
    """
    folder = Path(plan.folder) / FINALS
    tasks = (*plan.tasks, *plan.held_out)
    columns: list[Column] = []
    names = tuple(each.name for each in finalists)
    plans = [plan_of(plan, task, finalists, registry, time_budget) for task in tasks]
    shares = shares_of_time([configure(each, registry, each.variants[0]) for each in plans])
    for number, (task, compare) in enumerate(zip(tasks, plans, strict=True)):
        share = shares[number] / sum(shares[number:])
        part = None if time_budget is None else time_budget.part(share)
        with listen(compare) as listener:
            try:
                run_compare(compare, registry, listener, time_budget=part)
            except SameFailure as error:  # another task may work
                listener.message(f"{task}: {error}")
            except AttenergyError as error:
                if not {"budget", "study-mismatch"} & set(error.topics):
                    raise
                listener.message(f"no finals on {task} in this session: {_reason(error)}")
        if not (Path(compare.folder) / RECORDS).is_file():
            continue
        study = read_study(Path(compare.folder))
        write_leaderboard(study)
        columns.append(column_of(task, study, {}))
        write_matrix(Matrix(plan.study, names, tuple(columns)), folder)
    return Matrix(plan.study, names, tuple(columns))


def _reason(error: AttenergyError) -> str:
    if "budget" not in error.topics:
        return f"{error}"
    return "its part of the time is too short for two seeds of everybody; --resume gives more"


def plan_of(
    plan: DiscoverPlan,
    task: str,
    finalists: Iterable[Finalist],
    registry: Registry,
    time_budget: TimeBudget | None = None,
) -> ComparePlan:
    """The comparison on one task.

    Args:
        plan: of the discovery.
        task: its name.
        finalists: who takes part.
        registry: holds an entry by the name of each.
        time_budget: of all finals.
    """
    finalists = tuple(finalists)
    training = registry.task(task).training
    rate = "muon_learning_rate" if training.optimizer == "muon" else "learning_rate"
    own: float = getattr(training, rate)
    grid: dict[str, tuple[Scalar, ...]] = {
        rate: tuple(float(f"{own * factor:.3g}") for factor in RATES)
    }
    return ComparePlan(
        name=task,
        folder=str(Path(plan.folder) / FINALS / task),
        task=task,
        variants=tuple(each.name for each in finalists),
        budget=None if time_budget is None else time_budget.text,
        final_budget=DEFAULT if time_budget is None else REST,
        tune=grid if training.steps else {},
        fix=_tuned(finalists, registry),
        **{name: getattr(plan, name) for name in Resources.model_fields},
    )


def _tuned(finalists: Iterable[Finalist], registry: Registry) -> dict[str, Scalar]:
    """The settings of the discovery, for finalists whose entry has others.

    An entry that was written for a finalist has them as its defaults; the registry's own have not.
    """
    fixed: dict[str, Scalar] = {}
    for each in finalists:
        layer = registry.variant(each.name)
        defaults = layer_defaults(layer)
        settings: Mapping[str, Scalar] = {} if each.individual is None else each.individual.settings
        fixed |= {
            f"{each.name}.{name}": value
            for name, value in settings_of(layer, settings).items()
            if defaults[name] != value
        }
    return fixed
