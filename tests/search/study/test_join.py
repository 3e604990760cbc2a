"""Several drivers at one study: they take turns, share the work, and take over from the dead."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from pydantic import ValidationError

from attenergy.registry import Range, Registry
from attenergy.registry.plugins import Plugin
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.errors import CannotJoin, StudyBusy, StudyMismatch
from attenergy.search.runs.plugin_needs import MissingPlugin
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import url_of
from attenergy.search.storage.study_lock import study_lock
from attenergy.search.study.attributes import RETRIED, RUN
from attenergy.search.study.open import check_stored
from attenergy.search.study.run import run_search
from tests.search.study.conftest import (
    STORAGES,
    PlanMaker,
    Play,
    in_own_folders,
    joined,
    run_together,
    slowly,
    trials_of,
)

pytestmark = pytest.mark.long  # whole searches or processes


@pytest.mark.parametrize("storage", STORAGES)
def test_drivers_share_the_work(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play, storage: str
) -> None:
    meeting, here = threading.Barrier(2), threading.local()

    def after_both_have_begun(config: RunConfig) -> list[float]:
        if not hasattr(here, "met"):
            here.met = meeting.wait(120)
        return slowly(config)

    play(after_both_have_begun)
    plans = in_own_folders(make_plan(trials=16, finalists=2, seeds=3), storage, 2)
    watchers = [watcher, type(watcher)()]
    run_together(plans, registry, watchers)
    records = [{record.key: record for record in RunStore(p.folder).all()} for p in plans]
    assert records[0] == records[1], "every driver ends with all that there is"
    lines = (Path(plans[0].folder) / "records.jsonl").read_text().splitlines()
    assert len(lines) == len(records[0]), "each run is recorded once"
    trials = [r for r in records[0].values() if r.purpose == "trial"]
    finals = [r for r in records[0].values() if r.purpose == "final"]
    assert len(trials) == 16
    chosen = {r.config_hash for r in finals}
    assert 2 <= len(chosen) <= 3, "two winners, and the baseline"
    assert Counter(r.config_hash for r in finals) == dict.fromkeys(chosen, 3)
    assert Counter(r.proposer for r in trials)["default"] == 3, "each variant once"
    rates = [r.config.training.learning_rate for r in trials if r.proposer == "sampler"]
    assert len(set(rates)) == len(rates), "no driver repeats what another has drawn"
    ran = [{config.run_key() for config in w.configs} for w in watchers]
    assert not ran[0] & ran[1]
    assert ran[0] | ran[1] == set(records[0])
    assert all(ran), "both have worked"
    for watch in watchers:
        assert sorted(r.key for r in watch.records) == sorted(records[0]), "and heard of all"
    assert all(trial.state.is_finished() for trial in trials_of(plans[0]))
    assert len({trial.user_attrs[RUN] for trial in trials_of(plans[0])}) == 16


class Held:
    """A curve that waits for leave, once."""

    def __init__(self) -> None:
        self.begun, self.leave, self.first = threading.Event(), threading.Event(), True

    def __call__(self, config: RunConfig) -> list[float]:
        if self.first:
            self.first = False
            self.begun.set()
            assert self.leave.wait(120)
        return [0.5]


@pytest.mark.slow  # silence is heard after three seconds
@pytest.mark.parametrize("storage", STORAGES[1:])
def test_a_silent_driver_loses_its_trial(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play, storage: str
) -> None:
    """It gives no sign for longer than the other waits, and then comes back with its result."""
    held = Held()
    play(held)
    silent, lively = in_own_folders(make_plan(trials=3), storage, 2)
    silent = silent.model_copy(update={"heartbeat": 1000})
    lively = lively.model_copy(update={"heartbeat": 1})
    late = type(watcher)()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_search, silent, registry, late)
        assert held.begun.wait(120)
        records = run_search(lively, registry, watcher)
        assert "trial 0 was interrupted; it is run again" in watcher.messages
        assert "waiting for 1 run of other drivers" in watcher.messages
        assert len(records) == 3
        held.leave.set()
        assert {r.key for r in first.result(timeout=120)} == {r.key for r in records}
    trials = trials_of(lively)
    assert [t.user_attrs.get(RETRIED) for t in trials] == [None, None, None, 0]
    assert trials[0].state == optuna.trial.TrialState.FAIL
    assert Counter(r.key for r in late.records) == dict.fromkeys({r.key for r in records}, 1)


class Killed(BaseException):
    """Stands for a kill at this very lock."""


PLACES = [
    (optuna.Study, "ask"),
    (optuna.Study, "enqueue_trial"),
    (RDBStorage, "record_heartbeat"),
    (RDBStorage, "set_trial_user_attr"),
    (RunStore, "append"),
    (optuna.Study, "tell"),
]


@pytest.mark.slow  # a silent driver is given three seconds
@pytest.mark.parametrize("nth", [1, 3, 6])
@pytest.mark.parametrize(("owner", "name"), PLACES)
@pytest.mark.parametrize("others", [False, True])
def test_a_joined_driver_killed_anywhere_is_followed(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    play: Play,
    owner: Any,
    name: str,
    nth: int,
    others: bool,
) -> None:
    """The next one does all that is left, whether or not another driver stayed all the time."""
    play(lambda config: [0.5 + config.training.learning_rate])
    variants = ("softmax", "lse")
    made = make_plan(trials=4, variants=variants, finalists=1, seeds=2, heartbeat=1)
    dead, alive, idle = in_own_folders(made, "file", 3)
    with ExitStack() as stack:
        if others:
            stack.enter_context(joined(idle, registry, watcher))
        calls, function = [0], getattr(owner, name)

        def dying(*args: Any, **options: Any) -> Any:
            done = function(*args, **options)
            calls[0] += 1
            if calls[0] == nth:
                raise Killed
            return done

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(owner, name, dying)
            run_search(dead, registry, watcher)
        records = run_search(alive, registry, watcher)
    trials = [r for r in records if r.purpose == "trial"]
    assert len(trials) == 4
    assert len({r.key for r in records}) == len(records)
    assert Counter(r.proposer for r in trials)["default"] == 2
    finals = [r for r in records if r.purpose == "final"]
    assert {(r.config_hash, r.config.seed) for r in finals} == {
        (r.config_hash, seed) for r in finals for seed in (1000, 1001)
    }
    assert {"softmax"} <= {r.config.variant for r in finals} <= set(variants)
    before = {record.key: record for record in RunStore(dead.folder).all()}
    assert all(before[r.key] == r for r in records if r.key in before)
    assert all(trial.state.is_finished() for trial in trials_of(alive))


def test_who_was_there_before_goes_on_at_once_when_nobody_is_left(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(lambda config: [0.5])
    plan = make_plan(trials=2, join=True, heartbeat=1000)
    with joined(plan, registry, watcher) as (jobs, _):
        assert jobs.take() is not None
    records = run_search(plan, registry, watcher)
    assert len(records) == 2
    assert "trial 0 was interrupted; it is run again" in watcher.messages


def test_joined_and_single_drivers_keep_apart(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(lambda config: [0.5])
    alone = make_plan(trials=1)
    both = alone.model_copy(update={"join": True})
    with joined(both, registry, watcher):
        with pytest.raises(StudyBusy, match=r"'tiny' is being run by another process$"):
            run_search(alone, registry, watcher, resume=True)
        other = both.model_copy(update={"storage": url_of(alone), "folder": alone.folder + "2"})
        with joined(other, registry, watcher):
            pass
        single = other.model_copy(update={"join": False})
        with pytest.raises(StudyBusy, match=r"another process$"):
            run_search(single, registry, watcher, resume=True)
    with study_lock(Path(alone.folder), url_of(alone), "tiny", join=False) as lock:
        lock.acquire()
        with pytest.raises(StudyBusy, match=r"several work together if all of them are started"):
            run_search(both, registry, watcher)
    assert len(run_search(alone, registry, watcher, resume=True)) == 1


def test_a_newcomer_with_another_space_waits_until_the_others_have_ended(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(lambda config: [0.5])
    plan = make_plan(trials=1, join=True)
    with joined(plan, registry, watcher):
        registry.spaces["tiny"]["heads"] = Range(choices=(2, 4, 8))
        with pytest.raises(StudyMismatch, match=r"heads has changed; other drivers are at work"):
            run_search(plan, registry, watcher)
    run_search(plan, registry, watcher)
    assert any("going on as tiny@2" in text for text in watcher.messages)


def test_what_cannot_be_joined(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    with pytest.raises(CannotJoin, match=r"take turns at a PostgreSQL storage, or at an SQLite"):
        run_search(make_plan(join=True, storage="sqlite://"), registry, watcher)
    for changes in ({"fairness": "seconds"}, {"sampler": "brute-force"}):
        with pytest.raises(ValidationError, match=r"join need 'seconds'|brute-force counts"):
            make_plan(join=True, **changes)
    make_plan(join=True, fairness="seconds", seconds=3.0)


def test_a_folder_that_was_lost_is_filled_from_the_storage(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(lambda config: [0.5])
    first, second = in_own_folders(make_plan(trials=3), "file", 2)
    records = run_search(first.model_copy(update={"join": False}), registry, watcher)
    assert run_search(second, registry, watcher) == records


def test_a_driver_that_lacks_a_plugin_of_the_study_is_told_which(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(lambda config: [0.5])
    first, second = in_own_folders(make_plan(trials=1), "file", 2)
    with monkeypatch.context() as patch:
        patch.setitem(PRUNERS, "lenient", PRUNERS["median"])
        patch.setitem(PRUNERS.owners, "lenient", Plugin("far", "far_away", "a-package", "1.0"))
        run_search(first.model_copy(update={"pruner": "lenient"}), registry, watcher)
    sentence = (
        rf"study '{second.study}': the plug-in a-package 1.0 is needed \(pruner 'lenient'\) .*"
        "--plugin far_away"
    )
    with pytest.raises(MissingPlugin, match=sentence):
        run_search(second, registry, watcher)
    with pytest.raises(MissingPlugin, match=sentence):  # where the registry lacks an entry of it
        check_stored(second)
    elsewhere = Path(first.folder) / "none.db"
    check_stored(second.model_copy(update={"storage": f"sqlite:///{elsewhere}"}))
    assert not elsewhere.exists()
