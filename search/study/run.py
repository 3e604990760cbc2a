"""A search: a driver locks the study, asks it for trials and tells it results.

It has the study alone, or several drivers join and exclude each other for moments. Nothing that
has finished is lost or run twice, wherever a driver is killed: a record is on the disk before the
study is told of it, and a trial counts if and only if its run is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import torch

from attenergy.registry import ArgumentError, Registry, needed
from attenergy.search.engines.base import Executor
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.fairness import EqualTraining, measure
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.objectives import Objective, find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import PRUNERS, Pruner
from attenergy.search.planning.space import Space
from attenergy.search.results.finals import Finals
from attenergy.search.results.random_control import summary
from attenergy.search.runs.checkpoints import CheckpointRemoval
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.errors import StudyBusy, StudyExists, StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import (
    ATTRIBUTE,
    check_needs,
    check_reaches_workers,
    for_storage,
    upgrades,
    write_needs,
)
from attenergy.search.runs.records import RunStore, write_atomically
from attenergy.search.storage.database import open_storage, problems_with, shown_url, url_of
from attenergy.search.storage.heartbeat import heartbeats
from attenergy.search.storage.study_lock import study_lock
from attenergy.search.study.context import SearchContext
from attenergy.search.study.finalist_queue import (
    FinalistQueue,
    choose_finalists,
    choose_reference,
)
from attenergy.search.study.open import open_study
from attenergy.search.study.pruning import PruningListener
from attenergy.search.study.queue import Job, run_queue
from attenergy.search.study.trial_queue import TrialQueue, matched_variants
from attenergy.search.training.model import build_model, uses
from attenergy.tasks import Task, make_task

__all__ = ["StudyBusy", "StudyExists", "StudyMismatch", "run_search"]


def run_search(
    plan: SearchPlan, registry: Registry, listener: Listener, *, resume: bool = False
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

    Args:
        plan: what to do, and the folder that receives `study.db`, `records.jsonl`, `plan.json`
            and `weights/`.
        registry: variants, task and space.
        listener: is told what happens.
        resume: go on with an existing study; `plan.trials` is the total. If the registry has
            grown since, the study moves to a new generation with the wider space. A plan that
            joins needs no `resume`.

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
    space = Space(registry, plan)
    task = make_task(space.task)
    objectives = find_objectives(task, plan.objectives)
    pruner = PRUNERS[plan.pruner](task.metric, task.chance.get(task.metric, 0.0))
    _check_fixed(space, task)
    own = [("sampler", plan.sampler), ("pruner", plan.pruner)]
    needs = needed([*own, *(use for config in space.each() for use in uses(config))])
    if plan.workers or plan.engine != "local":
        check_reaches_workers(needs)
    equal = EqualTraining(plan.fairness, space.reference(), plan.seconds)
    with at_study(plan, space, objectives, listener, resume=resume) as (opened, study):
        store, folder = opened.store, Path(plan.folder)
        checkpoints = plan.checkpoints(folder)
        checkpoints.tidy(record.key for record in store.all())
        watch = CheckpointRemoval(
            FailureWatch(listener, len(space.variants), store.all()), checkpoints
        )
        context = replace(opened, listener=watch)
        shown = plan.model_copy(update={"storage": shown_url(plan.storage)})
        for text in upgrades(folder, needs):
            watch.message(text)
        write_needs(folder, needs)
        if needs:
            study.set_user_attr(ATTRIBUTE, for_storage(study.user_attrs, needs))
        write_atomically(folder / "plan.json", shown.model_dump_json(indent=2) + "\n")
        with make_executor(plan, folder) as executor:
            if not space.task.training.steps and (plan.train_steps or plan.final_steps):
                watch.message(f"{plan.task} is not trained: steps left as they are")
            measure(equal, executor, store, watch)
            on_remote_record = partial(_on_remote_record, pruner, watch)
            queue = TrialQueue(context, study, equal, on_remote_record)
            _run_trials(queue, executor, pruner)
            if text := summary(store.all(), task.metric):
                listener.message(text)
            if plan.finalists > 0:
                chosen = choose_finalists(queue.recorded(), plan, objectives, equal)
                finals = Finals(
                    chosen,
                    choose_reference(chosen, plan.baseline),
                    plan.seeds,
                    FinalBudget.read(plan.final_budget),
                    task,
                    slots=executor.free,
                )
                _run_finalists(context, finals, executor, on_remote_record)
        return store.all()


def _run_trials(queue: TrialQueue, executor: Executor, pruner: Pruner | None) -> None:
    """Ask, run, record and tell until as many trials as planned have ended."""
    context, running = queue.context, dict[str, Job]()
    trials, recorded = context.plan.trials, queue.recorded()
    listener = context.listener
    if pruner is not None:
        pruner.remember(recorded)

        def protected(key: str) -> bool:
            # Every variant may take part once with its defaults, to the end.
            return running[key].proposer == "default"

        listener = PruningListener(listener, pruner, executor.stop, protected)
    listener.phase("trials", len(recorded), trials)
    run_queue(queue, executor, listener, running)
    ended = len(queue.recorded())
    if ended < trials:
        listener.message(f"the space holds no more: it was searched whole after {ended} trials")


def _run_finalists(
    context: SearchContext,
    finals: Finals,
    executor: Executor,
    on_remote_record: Callable[[RunRecord], None],
) -> None:
    first = finals.first_round
    recorded = sum(context.store.get(config.run_key()) is not None for config in first)
    context.listener.phase("finalists", recorded, len(first))
    run_queue(FinalistQueue(context, finals, on_remote_record), executor, context.listener, {})


def _on_remote_record(pruner: Pruner | None, listener: Listener, record: RunRecord) -> None:
    """Another driver has ended a run: its curve is a measure for others, and it is shown."""
    if pruner is not None:
        pruner.remember([record])
    listener.finished(record)


def _check_fixed(space: Space, task: Task) -> None:
    """Raise ValueError if a variant cannot be built with what is fixed, before anything runs."""
    for config in space.pinned():
        try:
            with torch.random.fork_rng(devices=[]):
                build_model(config, task)
        except (TypeError, ValueError) as error:
            fixed = ", ".join(f"{config.variant}.{n}={v}" for n, v in config.settings.items())
            raise ArgumentError(f"cannot fix {fixed}: {error}") from error


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
