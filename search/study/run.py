"""A search: a driver holds the study, asks it for trials and tells it results.

It holds the study alone, or several drivers join and take turns. Nothing that has finished is lost
or run twice, wherever a driver is killed: a record is on the disk before the study hears of it,
and a trial counts if and only if its run is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import torch

from attenergy.registry import ArgumentError, Registry, needed
from attenergy.search.engines.base import make_executor
from attenergy.search.planning.budget import Budget, measure
from attenergy.search.planning.objectives import Objective, find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.planning.space import Space
from attenergy.search.results.random_control import summary
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.errors import StudyBusy, StudyExists, StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import check_needs, write_needs
from attenergy.search.runs.records import RunStore, write_atomically
from attenergy.search.storage.database import open_storage, problems_with, shown_url, url_of
from attenergy.search.storage.heartbeat import heartbeats
from attenergy.search.storage.locks import study_lock
from attenergy.search.study.attributes import Setup
from attenergy.search.study.driver import Driver
from attenergy.search.study.open import open_study
from attenergy.search.study.trial_queue import matched
from attenergy.search.training.model import build_model, uses
from attenergy.tasks import Task, make_task

__all__ = ["StudyBusy", "StudyExists", "StudyMismatch", "run_search"]


def run_search(
    plan: SearchPlan, registry: Registry, listener: Listener, *, resume: bool = False
) -> list[RunRecord]:
    """Run the trials of a plan, then the winners and the baseline over several seeds.

    The objective is the task's metric on the valid split at the end of training, perhaps against
    costs. The first trials are the baseline and then every other variant on its own terms; the
    sampler proposes the rest, but for a control that is drawn at random. A configuration that is
    repeated is run with another seed. Diverged and failed runs count as trials without a value. A
    pruner may end runs early; see `attenergy.search.study.pruning`. The winners are the
    configurations with the best mean, none of whose runs was given up; they and the best
    configuration of the baseline are trained again with fresh seeds, so that no score of a finalist
    has taken part in its choice.

    Args:
        plan: what to do, and the folder that receives `study.db`, `records.jsonl`, `plan.json`
            and `weights/`.
        registry: variants, task and space.
        listener: is told what happens.
        resume: go on with an existing study; `plan.trials` is the total. If the registry has
            grown since, the study moves to a new generation with the wider space. A plan that
            joins needs no such word.

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
    check_needs(Path(plan.folder))
    space = Space(registry, plan)
    task = make_task(space.task)
    objectives = find_objectives(task, plan.objectives)
    pruner = PRUNERS[plan.pruner](task.metric, task.chance.get(task.metric, 0.0))
    matched(plan, space)
    _check_fixed(space, task)
    needs = needed(use for config in space.each() for use in uses(config))
    budget = Budget(plan.fairness, space.reference(), plan.seconds)
    with at_study(plan, space, objectives, listener, resume=resume) as (bare, study):
        store, folder = bare.store, Path(plan.folder)
        watch = FailureWatch(listener, len(space.variants), store.all())
        setup = replace(bare, listener=watch)
        shown = plan.model_copy(update={"storage": shown_url(plan.storage)})
        write_needs(folder, needs)
        write_atomically(folder / "plan.json", shown.model_dump_json(indent=2) + "\n")
        with make_executor(plan, folder) as executor:
            measure(budget, executor, store, watch)
            driver = Driver(setup, study, executor, budget, pruner)
            driver.run_trials()
            if text := summary(store.all(), task.metric):
                listener.message(text)
            driver.run_finalists()
        return store.all()


def _check_fixed(space: Space, task: Task) -> None:
    """Raise ValueError if a variant cannot be built with what is fixed, before anything runs."""
    for config in space.pinned():
        try:
            with torch.random.fork_rng(devices=[]):
                build_model(config, task)
        except (TypeError, ValueError) as error:
            told = ", ".join(f"{config.variant}.{n}={v}" for n, v in config.settings.items())
            raise ArgumentError(f"cannot fix {told}: {error}") from error


@contextmanager
def at_study(
    plan: SearchPlan,
    space: Space,
    objectives: tuple[Objective, ...],
    listener: Listener,
    *,
    resume: bool = False,
) -> Iterator[tuple[Setup, optuna.Study]]:
    """Open a study, alone or beside others, and leave it in order at the end."""
    folder, url = Path(plan.folder), url_of(plan)
    with (
        problems_with(url),
        study_lock(folder, url, plan.study, join=plan.join) as lock,
        ExitStack() as stack,
    ):
        with lock.exclusive():
            lock.acquire()
            storage = stack.enter_context(open_storage(plan))
            heartbeat = stack.enter_context(heartbeats(plan))
            store = RunStore(folder)
            setup = Setup(plan, space, objectives, storage, store, listener, lock, heartbeat)
            study = open_study(setup, resume or plan.join)
            lock.admit_others()
        yield setup, study
