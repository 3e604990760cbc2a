"""Comparison of named variants: the same tuning for each, then a race over seeds."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from attenergy.registry import AttenergyError, Registry, needed
from attenergy.search.comparison.configure import CHOOSING_SEED, configure
from attenergy.search.comparison.tuning import best_run, notices, tuned_runs
from attenergy.search.engines.base import Executor, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.fairness import EqualTraining, measure
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import COMPARE_PLAN, ComparePlan
from attenergy.search.results.finals import Finals
from attenergy.search.runs.checkpoints import CheckpointRemoval
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import (
    check_needs,
    check_reaches_workers,
    upgrades,
    write_needs,
)
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import RunStore, write_atomically
from attenergy.search.training.model import build_model, uses
from attenergy.tasks import make_task

__all__ = ["PLAN", "ComparePlan", "ComparisonMismatch", "configure", "run_compare"]

PLAN = COMPARE_PLAN


class ComparisonMismatch(AttenergyError, ValueError):
    """The folder holds a comparison whose runs are not comparable with the one asked for."""


def run_compare(plan: ComparePlan, registry: Registry, listener: Listener) -> list[RunRecord]:
    """Run what the plan asks for and is not recorded yet; return all records that belong to it.

    Records go to `records.jsonl` in the plan's folder as they come, so a comparison that was
    stopped goes on when it is run again, and one with more seeds or variants adds only those. After
    the first seeds, whoever is not decided against the first variant may get more; see
    `attenergy.search.results.race`.

    Raises:
        UnknownName: if the registry lacks the task or a variant, or nothing takes a name in `fix`.
        ComparisonMismatch: if the folder holds a comparison with another task, length or `fix`.
        ValueError: for values in `fix` or options that do not fit.
        SameFailure: every run fails, and in the same way.
    """
    check_needs(Path(plan.folder))
    plain = {variant: configure(plan, registry, variant) for variant in plan.variants}
    task = make_task(plain[plan.variants[0]].task_spec, split_seed=plan.split_seed)
    for config in plain.values():  # a mistake must show before anything is trained
        build_model(config, task)
    wanted = {variant: tuned_runs(plan, registry, variant) for variant in plan.variants}
    equal = EqualTraining(plan.fairness, plain[plan.variants[0]], plan.seconds)
    folder = Path(plan.folder)
    needs = needed(use for config in plain.values() for use in uses(config))
    if plan.workers or plan.engine != "local":
        check_reaches_workers(needs)
    _keep_plan(plan, folder)
    for text in upgrades(folder, needs):
        listener.message(text)
    write_needs(folder, needs)
    store = RunStore(folder)
    checkpoints = plan.checkpoints(folder)
    checkpoints.tidy(record.key for record in store.all())
    watch = FailureWatch(listener, len(plan.variants), store.all())
    listener = CheckpointRemoval(watch, checkpoints)
    with make_executor(plan, folder) as executor:
        for text in notices(plan, plain[plan.variants[0]]):
            listener.message(text)
        measure(equal, executor, store, listener)
        grid = {v: [equal.fit(config) for config in runs] for v, runs in wanted.items()}
        tried = [config for configs in grid.values() for config in configs]
        if len(tried) > len(grid):
            _run("tuning", tried, "trial", executor, store, listener)
        chosen = {v: best_run(configs, store, task, listener) for v, configs in grid.items()}
        first = {"seed": CHOOSING_SEED + 1}
        contenders = [config.model_copy(update=first) for config in chosen.values()]
        finals = Finals(
            contenders,
            contenders[0],
            plan.seeds,
            FinalBudget.read(plan.final_budget),
            task,
            slots=executor.free,
        )
        _race(finals, executor, store, listener)
    reference = [equal.reference] if plan.fairness == "seconds" else []
    runs = [*reference, *tried, *finals.runs(store.all())]
    known = (store.get(config.run_key()) for config in runs)
    return [record for record in known if record is not None]


def _race(finals: Finals, executor: Executor, store: RunStore, listener: Listener) -> None:
    """The first round, and more of them until the variants are decided or the budget is spent."""
    _run("seeds", finals.first_round, "compare", executor, store, listener)
    while (coming := finals.next(store.all())).runs:
        runs = [*finals.runs(store.all()), *coming.runs]
        _run(coming.title, runs, "compare", executor, store, listener)
    if coming.end:
        listener.message(coming.end)


def _run(
    phase: str,
    configs: list[RunConfig],
    purpose: Purpose,
    executor: Executor,
    store: RunStore,
    listener: Listener,
) -> None:
    done = sum(store.get(config.run_key()) is not None for config in configs)
    listener.phase(phase, done, len(configs))
    run_all(configs, purpose, executor, store, listener)


def _keep_plan(plan: ComparePlan, folder: Path) -> None:
    path = folder / PLAN
    if path.exists():
        try:
            old = ComparePlan.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ComparisonMismatch(f"{path}: not the plan of a comparison") from error
        for name in ("task", "task_options", "steps", "split_seed", "fix", "fairness", "seconds"):
            before, now = getattr(old, name), getattr(plan, name)
            if before != now:
                raise ComparisonMismatch(
                    f"{folder} holds a comparison with {name}={before!r}, not {now!r}; "
                    "give this one another name"
                )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ComparisonMismatch(f"{folder}: holds something else; give this one another name")
    write_atomically(path, plan.model_dump_json(indent=2) + "\n")
