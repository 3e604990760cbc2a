"""Comparison of named variants: the same tuning for each, then a race over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy.registry import AttenergyError, Registry, Scalar, needed
from attenergy.registry.files import write_atomically
from attenergy.registry.stacks import entries_of
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.comparison import begin, finals_that_fit
from attenergy.search.budgets.timed import Timed, as_begun, with_steps
from attenergy.search.budgets.watch import TimeOver
from attenergy.search.comparison.configure import (
    CHOOSING_SEED,
    configure,
    refuse_beyond,
    try_models,
)
from attenergy.search.comparison.tuning import best_run, notices, tuned_runs
from attenergy.search.engines.base import Executor, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.fairness import EqualTraining, measure
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import COMPARE_PLAN, ComparePlan
from attenergy.search.results.finals import Finals
from attenergy.search.runs.checkpoints import CheckpointRemoval
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.errors import StudyBusy
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import (
    check_needs,
    check_reaches_workers,
    upgrades,
    write_needs,
)
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.recorded_texts import deciding, with_recorded_texts
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.locks import FileLock
from attenergy.search.storage.refusal import removed_if_refused
from attenergy.search.storage.study_lock import LOCK
from attenergy.search.training.model import uses
from attenergy.tasks import Task, make_task

__all__ = ["PLAN", "ComparePlan", "ComparisonMismatch", "configure", "run_compare"]

PLAN = COMPARE_PLAN
#: Fields of a plan that all runs of a comparison share.
_SAME = (
    *("task", "task_options", "steps", "split_seed", "fix", "fairness", "seconds"),
    *("model", "model_options"),
)
_FIRST: dict[str, Any] = {"seed": CHOOSING_SEED + 1}


class ComparisonMismatch(AttenergyError, ValueError):
    """The folder holds a comparison whose runs are not comparable with the one asked for."""

    topic = "study-mismatch"


def run_compare(
    plan: ComparePlan,
    registry: Registry,
    listener: Listener,
    *,
    time_budget: TimeBudget | None = None,
    known: Iterable[RunRecord] = (),
) -> list[RunRecord]:
    """Run what the plan asks for and is not recorded yet; return all records that belong to it.

    Records go to `records.jsonl` in the plan's folder as they come, so a comparison that was
    stopped goes on when it is run again, and one with more seeds or variants adds only those. After
    the first seeds, whoever is not decided against the first variant may get more; see
    `attenergy.search.results.race`. Under a budget in time, no run begins that is not likely to end
    in it.

    Args:
        plan: what to do, and the folder that receives the records.
        registry: where names are looked up.
        listener: is told what happens.
        time_budget: the plan's `budget`, with the moment at which the command began; if None, it
            begins now.
        known: records of runs of this comparison that another one has made.

    Raises:
        UnknownName: if the registry lacks the task or a variant, or nothing takes a name in `fix`.
        ComparisonMismatch: if the folder holds a comparison with another task, length or `fix`, or
            with an entry that was defined otherwise.
        StudyBusy: another process is running it.
        ValueError: for values in `fix` or options that do not fit, a time that is too short, or
            variants that are known to be beyond the limits of cost.
        SameFailure: every run fails, and in the same way.
    """
    folder, known = Path(plan.folder), tuple(known)
    check_needs(folder)
    store = RunStore(folder)
    registry = with_recorded_texts(registry, [*store.all(), *known])
    budget = time_budget or TimeBudget.of(plan.budget)
    plan = as_begun(plan)  # shortened once, they stay comparable with a clock and without
    plain = {variant: configure(plan, registry, variant) for variant in plan.variants}
    spec = plain[plan.variants[0]].task_spec
    if content := spec.options.get("content"):  # other data under this path are another task
        plan = plan.model_copy(update={"task_options": {**plan.task_options, "content": content}})
    task = make_task(spec, split_seed=plan.split_seed)
    said = try_models(plan, plain.values(), task)  # a mistake shows before anything is trained
    refuse_beyond(plan, plain.values())
    tuning = sum(len(tuned_runs(plan, registry, variant)) for variant in plan.variants)
    needs = needed(use for config in plain.values() for use in uses(config))
    if plan.workers or plan.engine != "local":
        check_reaches_workers(needs)
    _check_plan(plan, folder)
    _check_source(plain[plan.variants[0]], folder)
    _check_entries(plain, [*store.all(), *known], folder)
    with removed_if_refused(folder), ExitStack() as stack:
        stack.enter_context(_alone(folder))
        executor = stack.enter_context(make_executor(plan, folder))
        timed: Timed | None = None
        if budget is not None:
            first = plain[plan.variants[0]]
            reference = EqualTraining(plan.fairness, first, plan.seconds).fit(first)
            runs = tuning if tuning > len(plain) else 0
            timed = begin(plan, reference, runs, budget, executor, listener)
            if timed.entry.steps != first.training.steps:
                plan = with_steps(plan, timed.entry.steps)
        write_atomically(folder / PLAN, plan.model_dump_json(indent=2) + "\n")
        for text in (*task.notes, *upgrades(folder, needs), *said):
            listener.message(text)
        write_needs(folder, needs)
        if timed is not None:
            listener, written = timed.watching(listener, executor)
            stack.enter_context(written)
        store.refresh()
        for record in known:
            if store.get(record.key) is None:
                store.append(record)
        checkpoints = plan.checkpoints(folder)
        checkpoints.tidy(record.key for record in store.all())
        watch = CheckpointRemoval(
            FailureWatch(listener, len(plan.variants), store.all()), checkpoints
        )
        return _Comparison(plan, registry, task, executor, store, watch, timed).run()


@dataclass(frozen=True)
class _Comparison:
    """What a comparison works with."""

    plan: ComparePlan
    registry: Registry
    task: Task
    executor: Executor
    store: RunStore
    listener: Listener
    timed: Timed | None

    def run(self) -> list[RunRecord]:
        """Tuning, first seeds, race; the records of all of them."""
        plan, store, listener = self.plan, self.store, self.listener
        plain = configure(plan, self.registry, plan.variants[0])
        equal = EqualTraining(plan.fairness, plain, plan.seconds)
        for text in notices(plan, plain):
            listener.message(text)
        measure(equal, self.executor, store, listener)
        wanted = {variant: tuned_runs(plan, self.registry, variant) for variant in plan.variants}
        grid = {v: [equal.fit(config) for config in runs] for v, runs in wanted.items()}
        tried = [config for configs in grid.values() for config in configs]
        runs = [*([equal.reference] if plan.fairness == "seconds" else []), *tried]
        finals: Finals | None = None
        with suppress(TimeOver):
            if len(tried) > len(grid):
                self._runs("tuning", tried, "trial")
            chosen = {
                v: best_run(configs, store, self.task, listener) for v, configs in grid.items()
            }
            finals = self._finals([c.model_copy(update=_FIRST) for c in chosen.values()])
            self._race(finals)
        runs += [] if finals is None else finals.runs(store.all())
        known = (store.get(config.run_key()) for config in runs)
        return [record for record in known if record is not None]

    def _finals(self, contenders: list[RunConfig]) -> Finals:
        """The race, with a first round that fits."""

        def make(seeds: int) -> Finals:
            return Finals(
                contenders,
                contenders[0],
                seeds,
                FinalBudget.read(self.plan.final_budget),
                self.task,
                slots=self.executor.free,
                allowed=None if self.timed is None else self.timed.session,
            )

        if self.timed is None:
            return make(self.plan.seeds)
        return finals_that_fit(self.timed, self.plan.seeds, make, self.store, self.listener)

    def _race(self, finals: Finals) -> None:
        """The first round, and more until the variants are decided or the budget is spent."""
        self._runs("seeds", finals.first_round, "compare")
        while (coming := finals.next(self.store.all())).runs:
            runs = [*finals.runs(self.store.all()), *coming.runs]
            self._runs(coming.title, runs, "compare")
        if coming.end:
            self.listener.message(coming.end)

    def _runs(self, phase: str, configs: list[RunConfig], purpose: Purpose) -> None:
        store, listener = self.store, self.listener
        done = sum(store.get(config.run_key()) is not None for config in configs)
        listener.phase(phase, done, len(configs))
        begins = None if self.timed is None else self.timed.session.begins_run
        run_all(configs, purpose, self.executor, store, listener, begins)


def _check_plan(plan: ComparePlan, folder: Path) -> None:
    """Refuse a folder that holds something else."""
    path = folder / PLAN
    if path.exists():
        try:
            old = ComparePlan.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ComparisonMismatch(f"{path}: not the plan of a comparison") from error
        both = {*old.variants} & {*plan.variants}
        for name in _SAME:
            before, now = getattr(old, name), getattr(plan, name)
            if name == "fix":  # of a variant that only one of them has, it changes no run of both
                before, now = _fixed(before, both), _fixed(now, both)
            if before != now:
                raise ComparisonMismatch(
                    f"{folder} holds a comparison with {name}={before!r}, not {now!r}; "
                    "give this one another name"
                )
    elif folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        raise ComparisonMismatch(f"{folder}: holds something else; give this one another name")


def _fixed(fix: Mapping[str, Scalar], variants: Collection[str]) -> dict[str, Scalar]:
    """What is fixed for all, or for one of these variants."""
    parts = {name: name.partition(".") for name in fix}
    return {n: fix[n] for n, (owner, dot, _) in parts.items() if not dot or owner in variants}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from running the same comparison, whose runs they would both make.

    Raises:
        StudyBusy: one is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(FileLock(folder / LOCK)) as lock:
        if not lock.acquire():
            raise StudyBusy(folder.name)
        yield


def _check_entries(
    plain: Mapping[str, RunConfig], records: Iterable[RunRecord], folder: Path
) -> None:
    """Refuse to go on with variants or a task whose entries have changed since the first runs."""
    for record in records:
        before, now = record.config, plain.get(record.config.variant)
        if now is None or (before.layer, before.task_spec) == (now.layer, now.task_spec):
            continue
        own = _deciding_entries(now)
        for what, said in _deciding_entries(before).items():
            if own.get(what, said) != said:
                raise ComparisonMismatch(
                    f"{folder} holds runs with the {what} as it was defined then; give this "
                    "comparison another name, or the entry"
                )


def _deciding_entries(config: RunConfig) -> dict[str, str]:
    """What the entries of a run say, but for their texts, by what they are."""
    layers = entries_of(config.variant, config.layer)
    entries = {f"variant {name!r}": deciding(layer) for name, layer in layers.items()}
    return {**entries, f"task {config.task!r}": deciding(config.task_spec)}


def _check_source(config: RunConfig, folder: Path) -> None:
    """Refuse to go on with a user's model whose file has changed since the first runs."""
    now = config.own_model
    for record in RunStore(folder).all() if now is not None else ():
        before = record.config.own_model
        if now is not None and before is not None and before != now:
            raise ComparisonMismatch(
                f"{folder} holds a comparison with the model {before.shown}, not "
                f"{now.shown}: its file has changed; give this one another name"
            )
