"""Several drivers at one study: they take turns, share the work, and take over from the dead."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from attenergy.registry import Range, Registry
from attenergy.search.planning.budget import Budget
from attenergy.search.planning.objectives import find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.errors import CannotJoin, StudyBusy, StudyMismatch, StudyStuck
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import latest, open_storage, url_of
from attenergy.search.storage.locks import Connection, FileLock, Lock, PostgresLock, study_lock
from attenergy.search.storage.retry import RetryOnOutage
from attenergy.search.study.attributes import RETRIED, RUN
from attenergy.search.study.finalist_queue import FinalistQueue
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


@contextmanager
def joined(
    plan: SearchPlan, registry: Registry, watcher: Any
) -> Iterator[tuple[TrialQueue, list[RunRecord]]]:
    """A driver that does one thing after the other, as the test wants it."""
    space, heard = Space(registry, plan), list[RunRecord]()
    objectives = find_objectives(make_task(space.task), plan.objectives)
    with at_study(plan, space, objectives, watcher) as (context, study):
        budget = Budget(plan.fairness, space.reference())
        yield TrialQueue(context, study, budget, heard.append), heard


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


def test_a_late_result_that_comes_first_counts_too(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    a, b = in_own_folders(make_plan(trials=3, variants=("softmax",)), "file", 2)
    with joined(a, registry, watcher) as (late, _), joined(b, registry, watcher) as (other, heard):
        taken = late.take()
        assert taken is not None
        config = taken.config
        recover_running(other)
        ended = late.end(taken, done(config))
        assert ended is not None
        assert ended.proposer == "default"
        assert f"run {config.run_key()} was taken for lost, but counts" in watcher.messages
        again = other.take()
        assert again is not None
        assert heard == [ended]
        assert again.config.config_hash() == config.config_hash()
        assert again.config.seed == config.seed + 1, "the same run is not done twice"
        other.end(again, done(again.config))
        last = late.take()
        assert last is not None
        late.end(last, done(last.config))
        assert late.take() is None
        assert other.take() is None
        assert len(other.recorded()) == len(late.recorded()) == 3
        assert late.remote_runs() == 0


def test_a_record_that_could_not_be_published_is_shared_later(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    """A driver dies between its record and the storage; another has long repeated the trial."""
    play(lambda config: [0.5])
    a, b = in_own_folders(make_plan(trials=4, variants=("softmax",)), "file", 2)
    with joined(b, registry, watcher) as (other, _):
        with joined(a, registry, watcher) as (dying, _):
            taken = dying.take()
            assert taken is not None
            record = done(taken.config).model_copy(update={"proposer": taken.proposer})
            dying.context.store.append(record)
        recover_running(other)
        records = run_search(a, registry, watcher)
        assert record in records
        assert other.take() is None
        found = {r.key: r for r in other.context.store.all()}
    assert found == {r.key: r for r in records}
    assert len(found) == 4


def test_a_trial_without_any_sign_of_life_is_lost(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """As when a driver dies between asking for a trial and the first sign."""
    plan = make_plan(trials=2, variants=("softmax",), join=True)
    with joined(plan, registry, watcher) as (jobs, _):
        jobs.study.ask()
        with joined(plan, registry, watcher) as (other, _):
            assert other.take() is not None
            assert "trial 0 was interrupted; it is run again" in watcher.messages


def test_a_second_driver_that_dies_before_its_first_sign_of_life_is_noticed(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: ConfigMaker
) -> None:
    """The first had given signs for the same trial; those are not the second's."""
    plan = make_plan(trials=2, variants=("softmax",), join=True)
    with (
        joined(plan, registry, watcher) as (first, _),
        joined(plan, registry, watcher) as (last, _),
    ):
        context = first.context
        finals = FinalistQueue(context, [make_config(seed=1000)], list[RunRecord]().append)
        again = FinalistQueue(last.context, [make_config(seed=1000)], list[RunRecord]().append)
        for jobs, other in ((first, last), (finals, again)):
            taken = jobs.take()
            assert taken is not None
            context.heartbeat.remove(taken.trial)
            assert other.context.heartbeat.stale(other.study) == [], "it has given a sign"
            recover_running(other)
            second = other.study.ask()  # and here the second driver dies
            assert second.user_attrs[RETRIED] == taken.trial.number
            lost = other.context.heartbeat.stale(other.study)
            assert [trial.number for trial in lost] == [second.number]
            third = other.take()
            assert third is not None
            assert third.config == taken.config


def test_finalists_that_an_earlier_session_wanted_are_withdrawn(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: Any
) -> None:
    """More trials have found other winners; a driver that is alone runs these and no others."""
    configs = [make_config(seed=seed) for seed in (1000, 1001, 1002)]
    with joined(make_plan(), registry, watcher) as (trials, _):
        context, ignored = trials.context, list[RunRecord]()
        interrupted = FinalistQueue(context, configs[:2], ignored.append).take()
        assert interrupted is not None
        assert interrupted.config == configs[0]
        context.heartbeat.remove(interrupted.trial)
        queue = FinalistQueue(context, configs[1:], ignored.append)
        for wanted in configs[1:]:
            job = queue.take()
            assert job is not None
            assert job.config == wanted
            queue.end(job, done(job.config))
        assert queue.take() is None
        assert all(trial.state.is_finished() for trial in queue.study.trials)
        again = FinalistQueue(context, configs, ignored.append).take()
        assert again is not None
        assert again.config == configs[0], "what was withdrawn can be wanted again"


def test_finalists_of_a_dead_driver_are_taken_over(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: Any
) -> None:
    plan = make_plan(join=True)
    configs = [make_config(seed=seed) for seed in (1000, 1001)]
    with joined(plan, registry, watcher) as (trials, _):
        context = trials.context
        context.store.append(done(configs[0]))
        jobs = FinalistQueue(context, configs, list[RunRecord]().append)
        taken = jobs.take()
        assert taken is not None
        assert taken.config == configs[1], "the other is there already"
        assert jobs.take() is None
        assert jobs.remote_runs() == 0, "it is this driver's own"
        context.heartbeat.remove(taken.trial)
        assert jobs.remote_runs() == 1
        recover_running(jobs)
        again = FinalistQueue(context, configs, list[RunRecord]().append)
        retry = again.take()
        assert retry is not None
        assert retry.config == configs[1]
        assert again.take() is None
        assert again.end(retry, done(retry.config)) is not None
        assert jobs.end(taken, done(taken.config, 0.4)) is None, "too late: it is recorded"
        assert again.remote_runs() == 0
        assert len(context.store.all()) == 2


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
    kept = {record.key: record for record in RunStore(dead.folder).all()}
    assert all(kept[r.key] == r for r in records if r.key in kept)
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


@pytest.fixture(params=["file", pytest.param("server", marks=SERVER)])
def make_lock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Lock]]:
    closers: list[Callable[[], None]] = []
    name = uuid.uuid4().hex

    def file_lock() -> Lock:
        lock = FileLock(tmp_path / "lock")
        closers.append(lock.close)
        return lock

    def server_lock() -> Lock:
        assert POSTGRES is not None
        connection = Connection(POSTGRES)
        closers.append(connection.close)
        return PostgresLock(connection, name)

    yield file_lock if request.param == "file" else server_lock
    for close in closers:
        close()


def test_locks(make_lock: Callable[[], Lock]) -> None:
    one, two, three = make_lock(), make_lock(), make_lock()
    assert one.acquire()
    assert not two.acquire()
    assert not two.acquire(shared=True)
    assert one.acquire(shared=True), "from alone to shared"
    assert two.acquire(shared=True)
    assert not one.acquire(), "not back while another holds it"
    assert not three.acquire()
    one.acquire(shared=True)
    two.release()
    three.release()
    assert one.acquire()
    one.release()
    assert three.acquire()
    three.release()


def test_turns_do_not_overlap(tmp_path: Path) -> None:
    url, inside, most = f"sqlite:///{tmp_path}/study.db", [0], [0]

    def work() -> None:
        with study_lock(tmp_path, url, "s", join=True) as lock:
            for _ in range(20):
                with lock.exclusive():
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    inside[0] -= 1

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(work) for _ in range(3)]:
            future.result(timeout=120)
    assert most == [1]


def test_a_turn_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attenergy.search.storage.locks.LONGEST_WAIT", 0.1)
    url = f"sqlite:///{tmp_path}/study.db"
    with (
        study_lock(tmp_path, url, "s", join=True) as one,
        study_lock(tmp_path, url, "s", join=True) as two,
        one.exclusive(),
        pytest.raises(StudyStuck, match=r"study 's' has kept the others waiting for 0\.1 s"),
        two.exclusive(),
    ):
        pass
