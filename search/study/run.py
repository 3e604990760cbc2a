"""A search: a driver locks the study, asks it for trials and tells it results.

It has the study alone, or several drivers join and exclude each other for moments. Nothing that
has finished is lost or run twice, wherever a driver is killed: a record is on the disk before the
study is told of it, and a trial counts if and only if its run is recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna

from attenergy.registry import PluginNeed, Registry
from attenergy.registry.files import write_atomically
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.search import TimedSearch, begin
from attenergy.search.budgets.session import TimedSession
from attenergy.search.budgets.timed import as_begun, with_steps
from attenergy.search.budgets.watch import TRIALS_PHASE, TimeOver
from attenergy.search.engines.base import Executor
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.fairness import measure
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.objectives import Objective
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import Pruner, PruningListener
from attenergy.search.planning.space import Space
from attenergy.search.results.finals import Finals
from attenergy.search.results.random_control import summary
from attenergy.search.results.study_folder import write_untrained
from attenergy.search.runs.checkpoints import CheckpointRemoval
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.errors import StudyBusy, StudyExists, StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import (
    ATTRIBUTE,
    check_needs,
    for_storage,
    upgrades,
    write_needs,
)
from attenergy.search.runs.recorded_texts import with_recorded_texts
from attenergy.search.runs.records import RunStore, read_records
from attenergy.search.storage.database import open_storage, problems_with, shown_url, url_of
from attenergy.search.storage.heartbeat import heartbeats
from attenergy.search.storage.refusal import removed_if_refused
from attenergy.search.storage.study_lock import study_lock
from attenergy.search.study.context import SearchContext
from attenergy.search.study.finalist_queue import (
    FinalistQueue,
    choose_finalists,
    choose_reference,
)
from attenergy.search.study.infeasible import (
    MOST_IN_A_ROW,
    SlowRunListener,
    end_without_feasible,
    say_beforehand,
)
from attenergy.search.study.open import open_study
from attenergy.search.study.parts import SearchParts
from attenergy.search.study.queue import Job, run_queue
from attenergy.search.study.rungs import forget_rungs, run_rungs, with_pause
from attenergy.search.study.samplers import exhausted
from attenergy.search.study.trial_queue import TrialQueue, matched_variants

__all__ = ["StudyBusy", "StudyExists", "StudyMismatch", "run_search"]


def run_search(
    plan: SearchPlan,
    registry: Registry,
    listener: Listener,
    *,
    resume: bool = False,
    time_budget: TimeBudget | None = None,
) -> list[RunRecord]:
    """Run the trials of a plan, then the winners and the baseline over several seeds.

    The objective is the task's metric on the valid split at the end of training, perhaps against
    costs. The first trials are the baseline and then every other variant with its defaults; the
    sampler proposes the rest, but for a control that is drawn at random. A configuration that is
    repeated is run with another seed. Diverged and failed runs count as trials without a value. A
    pruner may end runs early; see `attenergy.search.planning.pruners`. The winners are the
    configurations with the best mean, none of whose runs was given up; they and the best
    configuration of the baseline are trained again with fresh seeds, so that no score of a finalist
    has taken part in its choice. Whoever is not decided by then gets more seeds, in rounds; see
    `attenergy.search.results.race`.

    Under a budget in time, nothing begins that is not likely to end in it, and the listener is told
    beforehand what fits; see `attenergy.search.budgets`. If the finals are decided early, trials
    and then finals go on.

    Args:
        plan: what to do, and the folder that receives `study.db`, `records.jsonl`, `plan.json`
            and `weights/`.
        registry: variants, task and space.
        listener: is told what happens.
        resume: go on with an existing study; `plan.trials` is the total. If the registry has
            grown since, the study moves to a new generation with the wider space. A plan that
            joins needs no `resume`.
        time_budget: the plan's `budget` in time, with the moment at which the command began; if
            None, it begins now.

    Returns:
        Every record of the study's folder, in the order in which the runs finished.

    Raises:
        StudyExists: the study exists and `resume` is False.
        StudyMismatch: it exists but fits another plan, registry or version.
        StudyBusy: another process is running it, and not both are to join.
        CannotJoin: drivers cannot work together at this storage.
        StorageProblem: the study's storage cannot be reached, read or written.
        SameFailure: every run fails, and in the same way.
        ValueError: the plan names something unknown or impossible.
    """
    check_needs(Path(plan.folder), to_go_on=True)
    registry = with_recorded_texts(registry, read_records(Path(plan.folder)))
    budget = time_budget or TimeBudget.of(plan.budget)
    plan = with_pause(plan if budget is None else as_begun(plan))
    parts = SearchParts.of(plan, registry)
    with removed_if_refused(Path(plan.folder)), ExitStack() as early:
        timed: TimedSearch | None = None
        executor: Executor | None = None
        if budget is not None:  # its pace decides the steps, and they what study it is
            executor = early.enter_context(make_executor(plan, Path(plan.folder)))
            timed = begin(plan, parts.space, parts.equal, budget, executor, listener)
            if timed.entry.steps != parts.equal.reference.training.steps:
                plan = with_steps(plan, timed.entry.steps)
                parts = SearchParts.of(plan, registry)
        with (
            at_study(plan, parts.space, parts.objectives, listener, resume=resume) as (at, study),
            early.pop_all() as stack,
        ):
            executor = executor or stack.enter_context(make_executor(plan, Path(plan.folder)))
            if timed is not None:
                if plan.join:
                    timed.share(study, at.lock, listener)
                listener, written = timed.watching(listener, executor)
                stack.enter_context(written)
            checkpoints = plan.checkpoints(Path(plan.folder))
            checkpoints.tidy(record.key for record in at.store.all())
            failures = FailureWatch(listener, len(parts.space.variants), at.store.all())
            watch = CheckpointRemoval(failures, checkpoints)
            _write_plan(plan, parts.needs, study, watch)
            with suppress(TimeOver):
                _run(replace(at, listener=watch), study, parts, executor, timed)
            forget_rungs(at)
            return at.store.all()


def _write_plan(
    plan: SearchPlan, needs: list[PluginNeed], study: optuna.Study, listener: Listener
) -> None:
    """Write down what the study is, and what it needs."""
    folder = Path(plan.folder)
    shown = plan.model_copy(update={"storage": shown_url(plan.storage)})
    for text in upgrades(folder, needs):
        listener.message(text)
    write_needs(folder, needs)
    if needs:
        study.set_user_attr(ATTRIBUTE, for_storage(study.user_attrs, needs))
    write_atomically(folder / "plan.json", shown.model_dump_json(indent=2) + "\n")


def _run(
    context: SearchContext,
    study: optuna.Study,
    parts: SearchParts,
    executor: Executor,
    timed: TimedSearch | None,
) -> None:
    """Trials, then finals; both once more while a budget in time has much left of it."""
    plan, task, listener = context.plan, parts.task, context.listener
    for note in task.notes:
        listener.message(note)
    if not parts.space.task.training.steps and (plan.train_steps or plan.final_steps):
        listener.message(f"{plan.task} is not trained: steps left as they are")
    measure(parts.equal, executor, context.store, listener)
    on_remote_record = partial(_on_remote_record, parts.pruner, listener)
    session = None if timed is None else timed.session
    queue = TrialQueue(context, study, parts.equal, on_remote_record, session)
    for text in [*parts.said(plan), *say_beforehand(context.space, plan.baseline)]:
        listener.message(text)
    while True:
        try:
            _run_trials(queue, executor, parts.pruner)
        finally:
            write_untrained(Path(plan.folder), queue.untrained)
        if text := summary(context.store.all(), task.metric):
            listener.message(text)
        trials = run_rungs(context, queue.recorded(), executor, on_remote_record, session)
        if plan.finalists > 0:
            finals = _finals(context, trials, parts, executor.free, timed)
            if finals is not None:
                _run_finalists(context, finals, executor, on_remote_record, session)
        if (
            timed is None
            or exhausted(queue.study)
            or queue.refused >= MOST_IN_A_ROW
            or not timed.goes_on(plan, len(queue.recorded()))
        ):
            return


def _finals(
    context: SearchContext,
    trials: list[RunRecord],
    parts: SearchParts,
    slots: int,
    timed: TimedSearch | None,
) -> Finals | None:
    """The finals of the winners; None where a budget in time has nothing left for them."""
    plan = context.plan

    def make(finalists: int, seeds: int) -> Finals:
        smaller = plan.model_copy(update={"finalists": finalists})
        chosen = choose_finalists(trials, smaller, parts.objectives, parts.equal)
        return Finals(
            chosen,
            choose_reference(chosen, plan.baseline),
            seeds,
            FinalBudget.read(plan.final_budget),
            parts.task,
            slots=slots,
            allowed=None if timed is None else timed.session,
        )

    if timed is None:
        return make(plan.finalists, plan.seeds)
    return timed.finals_that_fit(plan, make, context.store, context.listener)


def _run_trials(queue: TrialQueue, executor: Executor, pruner: Pruner | None) -> None:
    """Ask, run, record and tell until as many trials as planned have ended."""
    context, running = queue.context, dict[str, Job]()
    recorded, listener = queue.recorded(), context.listener
    limits = context.space.cost_limits

    def is_reference(key: str) -> bool:
        config, proposer = running[key].config, running[key].proposer
        return proposer == "default" and config.variant == context.plan.baseline

    if "ms_per_step" in limits.most:
        listener = SlowRunListener(listener, limits, executor.stop, is_reference)
    if pruner is not None:
        pruner.remember(recorded)

        def protected(key: str) -> bool:
            # Every variant may take part once with its defaults, to the end.
            return running[key].proposer == "default"

        listener = PruningListener(listener, pruner, executor.stop, protected)
    listener.phase(TRIALS_PHASE, len(recorded), queue.expect(len(recorded)))
    run_queue(queue, executor, listener, running)
    ended = len(queue.recorded())
    if queue.refused >= MOST_IN_A_ROW:
        listener.message(end_without_feasible(queue.recorded(), context, queue.nearest or {}))
    elif exhausted(queue.study) and ended < (context.plan.trials or sys.maxsize):
        listener.message(f"the space holds no more: it was searched whole after {ended} trials")


def _run_finalists(
    context: SearchContext,
    finals: Finals,
    executor: Executor,
    on_remote_record: Callable[[RunRecord], None],
    session: TimedSession | None,
) -> None:
    first = finals.first_round
    recorded = sum(context.store.get(config.run_key()) is not None for config in first)
    context.listener.phase("finalists", recorded, len(first))
    queue = FinalistQueue(context, finals, on_remote_record, session)
    run_queue(queue, executor, context.listener, {})


def _on_remote_record(pruner: Pruner | None, listener: Listener, record: RunRecord) -> None:
    """Another driver has ended a run: its curve is a measure for others, and it is shown."""
    if pruner is not None:
        pruner.remember([record])
    listener.finished(record)


@contextmanager
def at_study(
    plan: SearchPlan,
    space: Space,
    objectives: tuple[Objective, ...],
    listener: Listener,
    *,
    resume: bool = False,
) -> Iterator[tuple[SearchContext, optuna.Study]]:
    """Open a study, alone or beside others, and leave it in order at the end."""
    folder, url = Path(plan.folder), url_of(plan)
    matched = matched_variants(plan, space)
    with (
        problems_with(url),
        study_lock(folder, url, plan.study, join=plan.join) as lock,
        ExitStack() as stack,
    ):
        with lock.exclusive():
            lock.acquire()
            storage = stack.enter_context(open_storage(plan))
            heartbeat = stack.enter_context(heartbeats(plan))
            context = SearchContext(
                plan=plan,
                space=space,
                objectives=objectives,
                matched=matched,
                storage=storage,
                store=RunStore(folder),
                listener=listener,
                lock=lock,
                heartbeat=heartbeat,
            )
            study = open_study(context, resume or plan.join)
            lock.admit_others()
        yield context, study
