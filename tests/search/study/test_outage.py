"""A database server that goes away is waited for."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError

from attenergy.registry import Registry
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.locks import Connection
from attenergy.search.storage.retry import RetryOnOutage
from attenergy.search.study.run import run_search
from tests.search.study.conftest import (
    POSTGRES,
    SERVER,
    PlanMaker,
    Play,
    in_own_folders,
    joined,
    run_together,
    slowly,
    trials_of,
)


@pytest.mark.long
@pytest.mark.parametrize("nth", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 5))])
@pytest.mark.parametrize(
    ("owner", "name", "before"),
    [
        pytest.param(optuna.Study, "ask", True, marks=pytest.mark.slow),
        (optuna.Study, "ask", False),
        (optuna.Trial, "set_user_attr", False),
        pytest.param(RDBStorage, "set_trial_user_attr", True, marks=pytest.mark.slow),
        pytest.param(optuna.Study, "tell", True, marks=pytest.mark.slow),
        (optuna.Study, "tell", False),
        pytest.param(optuna.Study, "enqueue_trial", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("join", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_server_that_goes_away_is_waited_for(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    play: Play,
    owner: Any,
    name: str,
    before: bool,
    nth: int,
    join: bool,
) -> None:
    """Twice in a row, before or after what was asked for was done."""
    monkeypatch.setattr("attenergy.search.storage.retry.is_server", lambda storage: True)
    monkeypatch.setattr("attenergy.search.storage.retry._FIRST_PAUSE", 0.001)
    play(lambda config: [0.5 + config.training.learning_rate])
    plan = make_plan(trials=4, variants=("softmax", "lse"), finalists=1, seeds=2)
    plan = in_own_folders(plan, "file", 1)[0].model_copy(update={"join": join})
    calls, function = [0], getattr(owner, name)

    def failing(*args: Any, **options: Any) -> Any:
        if not watcher.phases:  # while the study is opened a server has to be there
            return function(*args, **options)
        calls[0] += 1
        lost = nth <= calls[0] <= nth + 1
        if lost and before:
            raise gone()
        done = function(*args, **options)
        if lost:
            raise gone()
        return done

    monkeypatch.setattr(owner, name, failing)
    records = run_search(plan, registry, watcher)
    trials = [record for record in records if record.purpose == "trial"]
    assert len(trials) == 4
    assert len({record.key for record in records}) == len(records)
    assert Counter(record.proposer for record in trials)["default"] == 2
    assert sorted(r.key for r in watcher.records) == sorted(r.key for r in records)
    assert all(trial.state.is_finished() for trial in trials_of(plan))
    if calls[0] >= nth:
        assert "the storage does not answer; trying again for 5 minutes" in watcher.messages
        assert watcher.messages.count("the storage answers again") >= 1


def gone() -> Exception:
    """As Optuna says that a server has closed the connection."""
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = OperationalError("SELECT 1", {}, Exception("server closed the connection"))
    return error


def test_patience_ends(
    registry: Registry, make_plan: PlanMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attenergy.search.storage.retry.is_server", lambda storage: True)

    def refuse() -> None:
        raise gone()

    def mistaken() -> None:
        raise StorageInternalError("too long")

    with joined(make_plan(trials=1), registry, watcher) as (jobs, _):
        retrying = partial(
            RetryOnOutage, jobs.context.storage, jobs.context.lock, jobs.context.listener
        )
        with pytest.raises(StorageInternalError):
            retrying(seconds=0.0)(refuse)
        watcher.messages.clear()
        with pytest.raises(StorageInternalError, match="too long"):
            retrying()(mistaken)
        assert not watcher.messages
        monkeypatch.setattr("attenergy.search.storage.retry.is_server", lambda storage: False)
        with pytest.raises(StorageInternalError):
            retrying()(refuse)
        assert not watcher.messages


@SERVER
def test_every_connection_is_cut(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    """A real server ends all connections of two drivers, again and again."""
    assert POSTGRES is not None
    play(slowly)
    plans = in_own_folders(make_plan(trials=14, finalists=1, seeds=2), "server", 2)
    watchers, over = [watcher, type(watcher)()], threading.Event()
    connection = Connection(POSTGRES)

    def cut() -> None:
        while not over.wait(1.5):
            if not all(watch.phases for watch in watchers):
                continue  # to open a study the server has to be there
            connection.scalar(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

    with ThreadPoolExecutor(1) as pool:
        cutting = pool.submit(cut)
        try:
            run_together(plans, registry, watchers)
        finally:
            over.set()
        cutting.result(timeout=120)
    connection.close()
    keys = [{record.key for record in RunStore(p.folder).all()} for p in plans]
    assert keys[0] == keys[1]
    assert len([r for r in RunStore(plans[0].folder).all() if r.purpose == "trial"]) == 14
    assert any("the storage answers again" in watch.messages for watch in watchers)
    states = {trial.state for trial in trials_of(plans[0])}
    assert optuna.trial.TrialState.RUNNING not in states
