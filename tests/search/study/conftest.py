"""Drivers that work on a study together, and queues that are stepped through by hand."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from attenergy.registry import Registry
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.objectives import find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import latest, open_storage
from attenergy.search.study.queue import RunQueue
from attenergy.search.study.run import at_study, run_search
from attenergy.search.study.stale_trials import recover_stale
from attenergy.search.study.trial_queue import TrialQueue
from attenergy.tasks import make_task

PlanMaker = Callable[..., SearchPlan]
ConfigMaker = Callable[..., RunConfig]
Play = Callable[[Callable[[RunConfig], list[float]]], None]

POSTGRES = os.environ.get("ATTENERGY_POSTGRES")  # URL of a database to test with
SERVER = pytest.mark.skipif(POSTGRES is None, reason="no $ATTENERGY_POSTGRES to test with")
STORAGES = [
    pytest.param("folder", id="one-folder", marks=pytest.mark.slow),
    pytest.param("file", id="sqlite-two-folders"),
    pytest.param("server", id="postgresql-two-folders", marks=SERVER),
]


def in_own_folders(plan: SearchPlan, storage: str, drivers: int) -> list[SearchPlan]:
    """The plans of several drivers: with one folder, or with folders of their own."""
    plan = plan.model_copy(update={"join": True, "study": f"tiny-{uuid.uuid4().hex[:8]}"})
    if storage == "folder":
        return [plan] * drivers
    base = Path(plan.folder)
    base.mkdir(parents=True)
    url = POSTGRES if storage == "server" else f"sqlite:///{base / 'shared.db'}"
    changes = [{"storage": url, "folder": str(base / f"driver{n}")} for n in range(drivers)]
    return [plan.model_copy(update=change) for change in changes]


def run_together(plans: list[SearchPlan], registry: Registry, watchers: list[Any]) -> None:
    with ThreadPoolExecutor(len(plans)) as pool:
        for future in [
            pool.submit(run_search, plan, registry, watcher)
            for plan, watcher in zip(plans, watchers, strict=True)
        ]:
            future.result(timeout=120)


def trials_of(plan: SearchPlan) -> list[optuna.trial.FrozenTrial]:
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        return study.get_trials()


def slowly(config: RunConfig) -> list[float]:
    time.sleep(0.05)
    return [config.training.learning_rate * config.model.heads]


@contextmanager
def joined(
    plan: SearchPlan, registry: Registry, watcher: Any
) -> Iterator[tuple[TrialQueue, list[RunRecord]]]:
    """A driver that does one thing after the other, as the test wants it."""
    space, remote = Space(registry, plan), list[RunRecord]()
    objectives = find_objectives(make_task(space.task), plan.objectives)
    with at_study(plan, space, objectives, watcher) as (context, study):
        equal = EqualTraining(plan.fairness, space.reference())
        yield TrialQueue(context, study, equal, remote.append), remote


def recover_running(queue: RunQueue) -> None:
    """Take every running trial for one whose driver has ended."""
    running = queue.study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    recover_stale(running, queue.study, queue.context)


def done(config: RunConfig, score: float = 0.5) -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        metrics={"valid": {"accuracy": score}},
    )


def check_everything_is_there(plan: SearchPlan, trials: int) -> None:
    """No run twice, every trial that counts has its record and the value of its record."""
    lines = (Path(plan.folder) / "records.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert len(set(keys)) == len(keys)
    store = RunStore(plan.folder)
    by_run = {trial.user_attrs.get("run", ""): trial for trial in trials_of(plan)}
    counted = 0
    for run, trial in by_run.items():  # the later one of an interrupted trial and its second try
        record = store.get(run)
        counted += record is not None
        complete = record is not None and record.status == "complete"
        assert trial.state == (TrialState.COMPLETE if complete else TrialState.FAIL)
        if record is not None and complete:
            assert trial.value == record.metrics["valid"]["accuracy"]
            assert trial.user_attrs["config_hash"] == record.config_hash
    assert counted == trials
