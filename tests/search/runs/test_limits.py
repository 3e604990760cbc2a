"""A run that hangs, grows or calls for the end costs itself, and nothing else."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.search.engines import watch as watch_module
from attenergy.search.engines.base import Resources
from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.engines.ray.executor import RayExecutor
from attenergy.search.engines.ray.runner import Runner
from attenergy.search.engines.watch import Learned, Watch
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.limits import LimitReached, Limits, alarm, memory_in_use
from attenergy.search.training import train as train_module
from attenergy.search.training.train import train

ConfigMaker = Callable[..., RunConfig]

MIB = 2**20
HANDLED = (signal.SIGINT, signal.SIGALRM, signal.SIGTERM)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("4G", 4 * 2**30),
        ("1.5g", 3 * 2**29),
        ("512M", 512 * MIB),
        ("512MB", 512 * MIB),
        (" 200 MiB ", 200 * MIB),
        ("204800K", 200 * MIB),
        ("1T", 2**40),
        ("209715200", 200 * MIB),
        (200 * MIB, 200 * MIB),
        (None, None),
    ],
)
def test_an_amount_of_memory(text: Any, bytes_: int | None) -> None:
    resources = Resources(trial_memory=text)
    assert resources.trial_memory == resources.limits.memory == bytes_
    assert Resources.model_validate_json(resources.model_dump_json()) == resources


@pytest.mark.parametrize("text", ["much", "", "4 X", "-4G", "4", 4, "99M", True, "4G4", "nanG"])
def test_no_amount_of_memory(text: Any) -> None:
    with pytest.raises(ValidationError, match="trial_memory"):
        Resources(trial_memory=text)


@pytest.mark.parametrize("field", ["trial_seconds", "gpus_per_trial", "cpus_per_trial"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_no_number_of_seconds_or_shares(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Resources.model_validate({field: value})


def finished(config: RunConfig, seconds: float, status: str = "complete") -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status=status,  # type: ignore[arg-type]
        cost={"seconds": seconds},
    )


def test_the_time_without_a_step_is_learned_from_the_longest_run(make_config: ConfigMaker) -> None:
    learned, config = Learned(), make_config(steps=100)
    assert learned.allowed(config) == 3600
    learned.finished(finished(config, 5000.0, "failed"))
    assert learned.allowed(config) == 3600
    learned.finished(finished(config, 5.0))
    assert learned.allowed(config) == 600
    learned.finished(finished(config, 90.0))
    learned.finished(finished(config, 7.0))
    assert learned.allowed(config) == pytest.approx(900)
    assert learned.allowed(make_config(steps=1000)) == pytest.approx(9000)
    assert learned.allowed(make_config(steps=10)) == 600


def test_silence_is_a_death_but_a_lack_of_processor_time_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [5.0]
    monkeypatch.setattr(watch_module, "processor_seconds", lambda pid: used[0])

    def pass_by(watch: Watch, seconds: int, busy: bool) -> str:
        for _ in range(seconds):
            used[0] += 0.01 * busy
            watch.add_time(1.0)
            if death := watch.death(1):
                return death
        return ""

    watch = Watch(Limits(silence=10), "the worker")
    assert pass_by(watch, 10, busy=False) == ""
    assert (
        pass_by(watch, 1, busy=False) == "the worker gave no sign of life for 11 s and was killed"
    )
    watch.sign_of_life()
    assert pass_by(watch, 100, busy=True) == "", "it starves, but it is alive"
    assert pass_by(watch, 11, busy=False) != ""
    starting = Watch(Limits(silence=10), "the worker")
    for _ in range(30):
        starting.add_time(1.0)
        assert not starting.death(None, ready=False)
    starting.add_time(1.0)
    assert starting.death(None, ready=False)


def test_pauses_of_the_driver_do_not_count() -> None:
    watch = Watch(Limits(seconds=100, silence=10), "the worker")
    watch.add_time(1e6)
    assert not watch.death(None)
    assert not watch.excess(0.0, 600)


def test_what_a_run_may_take_from_outside() -> None:
    watch = Watch(Limits(memory=200 * MIB, silence=1e9), "the worker")
    assert watch.excess(199 * MIB, 600) == ""
    assert watch.excess(300 * MIB, 600) == (
        "out of memory: its process used 300 MiB, more than the 200 MiB of --trial-memory; "
        "not tried again"
    )
    for _ in range(601):
        watch.add_time(1.0)
    assert watch.excess(0, 602) == ""
    assert watch.excess(0, 600).startswith("timed out: no training step for 601 s; not tried")
    watch.progressed()
    assert watch.excess(0, 600) == ""
    timed = Watch(Limits(seconds=10), "the worker")
    for _ in range(12):
        timed.add_time(1.0)
        timed.progressed()
        assert timed.excess(0, 600) == "", "the run itself is given a moment to see to it"
    timed.add_time(1.0)
    assert timed.excess(0, 600).startswith("timed out: it took more than 10 s (--trial-seconds)")
    timed.begin()
    assert timed.excess(0, 600) == ""


def test_the_memory_of_a_process() -> None:
    before = memory_in_use()
    block = b"x" * (64 * MIB)
    assert memory_in_use() - before > 50 * MIB
    assert memory_in_use(os.getpid()) > 64 * MIB
    del block


def hang(*_: object) -> None:
    while True:
        time.sleep(1000)


def swallow(*_: object) -> None:
    while True:
        try:
            time.sleep(1000)
        except LimitReached:
            raise RuntimeError("not even this") from None


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def end_of_generator(*_: object) -> None:
    raise GeneratorExit


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError("no message")


def unreadable(*_: object) -> None:
    raise Unreadable


CALLS: list[tuple[Callable[..., object], str]] = [
    (lambda *_: sys.exit(0), "SystemExit: 0"),
    (lambda *_: sys.exit("all over"), "SystemExit: all over"),
    (lambda *_: os._exit(3), "SystemExit: os._exit(3)"),
    (interrupt, "KeyboardInterrupt:"),
    (end_of_generator, "GeneratorExit:"),
    (unreadable, "Unreadable: (its message cannot be read)"),
    (hang, "timed out: it took more than 0.2 s (--trial-seconds); not tried again"),
    (swallow, "RuntimeError: not even this"),
]


@pytest.mark.parametrize(("call", "reason"), CALLS)
def test_what_a_library_does_costs_one_run_in_process(
    make_config: ConfigMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., object],
    reason: str,
) -> None:
    handlers = [signal.getsignal(n) for n in HANDLED]
    real = os._exit
    hangs = call in {hang, swallow}
    with InProcess(tmp_path, Limits(seconds=0.2 if hangs else 1000)) as executor:
        with monkeypatch.context() as patch:
            patch.setattr(train_module, "build_model", call)
            executor.submit(make_config(), "final")
            record = executor.wait(Listener())
        assert (record.status, record.purpose) == ("failed", "final")
        assert record.reason.startswith(reason)
        assert executor.free == 1
    assert [signal.getsignal(n) for n in HANDLED] == handlers
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert os._exit is real
    assert not list(tmp_path.glob(".at_work*"))


@pytest.mark.parametrize("limits", [Limits(seconds=0.3), Limits(memory=100 * MIB)])
def test_the_limits_are_looked_at_after_every_step(
    make_config: ConfigMaker, tmp_path: Path, limits: Limits
) -> None:
    long = make_config(steps=10**6, evaluate_every=2)
    ends = []

    def work() -> None:  # in another thread nothing else can end it
        executor = InProcess(tmp_path, limits)
        executor.submit(long, "trial")
        ends.append(executor.wait(Listener()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    (record,) = ends
    assert record.status == "failed"
    assert record.reason.startswith("timed out: " if limits.seconds else "out of memory: ")
    runner = Runner(0.0, limits)
    assert runner.run(long, "trial")[0].reason.startswith(record.reason[:10])
    events = [event for event, *_ in runner.events()]
    assert events[0] == "begun"
    assert events[-1] == "memory"


def test_an_error_of_a_listener_is_not_the_runs(make_config: ConfigMaker, tmp_path: Path) -> None:
    class Broken(Listener):
        def progress(self, key: str, step: int, steps: int, loss: float) -> None:
            raise KeyboardInterrupt

    executor = InProcess(tmp_path)
    executor.submit(make_config(), "trial")
    with pytest.raises(KeyboardInterrupt):
        executor.wait(Broken())


def test_a_run_in_which_the_process_ended_twice_is_given_up(
    make_config: ConfigMaker, tmp_path: Path
) -> None:
    config = make_config()
    mark = tmp_path / f".at_work.{config.run_key()}"

    class Look(Listener):
        def evaluated(self, key: str, point: dict[str, float]) -> None:
            marks.append(mark.read_text())

    marks: list[str] = []
    for before, status in (("", "complete"), ("1", "complete"), ("2", "failed")):
        if before:
            mark.write_text(before)
        executor = InProcess(tmp_path)
        executor.submit(config, "trial")
        record = executor.wait(Look())
        assert record.status == status
        assert not mark.exists()
    assert set(marks) == {"1", "2"}
    assert record.reason.startswith("the process ended 2 times during this run")


class Stop(Listener):
    """Stops the worker when it reports, once."""

    def __init__(self, pool: ProcessPool | RayExecutor) -> None:
        self.pool, self.messages = pool, list[str]()

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        if not self.messages:
            os.kill(self.pool.pids[0], signal.SIGSTOP)

    def message(self, text: str) -> None:
        self.messages.append(text)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the state of a process")


@LINUX
@pytest.mark.slow  # a stopped worker is one of those in `test_executors.py`
def test_a_worker_that_is_stopped_is_replaced(make_config: ConfigMaker, tmp_path: Path) -> None:
    with ProcessPool(1, tmp_path, Limits(silence=2)) as pool:
        (first,) = pool.pids
        stop = Stop(pool)
        pool.submit(make_config(steps=200), "trial")
        retried = pool.wait(stop)
        (second,) = pool.pids
    assert retried.status == "complete"
    assert retried.reason.startswith("retried once: the worker process gave no sign of life")
    assert stop.messages[0].endswith("was killed; trying once more")
    assert second != first
    assert not any(Path(f"/proc/{pid}").exists() for pid in (first, second))


@LINUX
@pytest.mark.slow  # every limit costs a worker
def test_a_worker_that_hangs_or_grows_is_replaced(make_config: ConfigMaker, tmp_path: Path) -> None:
    # An evaluation without an end: no step, no evaluation, yet signs of life.
    endless = make_config(steps=4, warmup=0, evaluate_every=1, valid_instances=10**9)
    cases = [
        (Limits(seconds=0.5), endless, "timed out: it took more than 0.5 s (--trial-seconds)"),
        (Limits(memory=100 * MIB), make_config(steps=10**6), "out of memory: its process used "),
    ]
    for limits, config, reason in cases:
        with ProcessPool(1, tmp_path, limits) as pool:
            (first,) = pool.pids
            pool.submit(config, "final")
            record = pool.wait(Listener())
            assert pool.free == 1
            (second,) = pool.pids
        assert (record.status, record.purpose) == ("failed", "final")
        assert record.reason.startswith(reason)
        assert second != first
        assert not any(Path(f"/proc/{pid}").exists() for pid in (first, second))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets open
def test_an_actor_that_is_stopped_hangs_or_grows_is_replaced(
    make_config: ConfigMaker, tmp_path: Path
) -> None:
    resources = Resources(engine="ray", workers=1, heartbeat=1)
    with RayExecutor(resources, tmp_path) as executor:
        stop = Stop(executor)
        executor.submit(make_config(steps=300), "trial")
        retried = executor.wait(stop)
        assert retried.status == "complete"
        assert retried.reason.startswith("retried once: the Ray actor gave no sign of life")
    endless = make_config(steps=4, warmup=0, evaluate_every=1, valid_instances=10**9)
    for limit, reason in (
        ({"trial_seconds": 1}, "timed out"),
        ({"trial_memory": "100M"}, "out of"),
    ):
        with RayExecutor(Resources(engine="ray", workers=1, **limit), tmp_path) as executor:
            executor.submit(endless, "trial")
            record = executor.wait(Listener())
            assert record.status == "failed"
            assert record.reason.startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "half a character \udc80\ud800",
        "control \x00\x07\x1b[31m\x7f\x9b and \u202e\u2066 turns",
        "lines\r\nand\u2028more\x85",
        "huge " * 10**6,
        "",
    ],
)
def test_an_error_text_of_any_bytes_is_recorded(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(train_module, "build_model", fail)
    record = train(make_config())
    assert record.status == "failed"
    assert len(record.reason) < 600
    assert all(c.isprintable() for c in record.reason)
    assert RunRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
    other = RunRecord.model_validate(
        {**record.model_dump(), "config": record.config, "reason": text}
    )
    assert len(other.reason) <= 4000
    assert RunRecord.model_validate_json(other.model_dump_json(by_alias=True)) == other


def test_numbers_that_are_not_finite_or_huge_are_recorded(make_config: ConfigMaker) -> None:
    config = make_config().model_copy(update={"settings": {"big": 10**300, "low": float("-inf")}})
    record = finished(config, float("nan")).model_copy(
        update={"metrics": {"valid": {"accuracy": float("inf"), "bits": 1e308}}}
    )
    again = RunRecord.model_validate_json(record.model_dump_json(by_alias=True))
    assert again.metrics == record.metrics
    assert again.config == config
    assert again.cost["seconds"] != again.cost["seconds"]


@pytest.mark.parametrize(
    "value", ["high", None, pytest.param(10**400, id="huge"), 1j, [1.0], "\udc80"]
)
def test_a_score_that_is_no_number_costs_its_run(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    for checked in (True, False):  # by the evaluation, or only when it is recorded
        if not checked:
            monkeypatch.setattr(train_module.math, "isfinite", lambda _: True)
        monkeypatch.setattr(
            train_module, "evaluate", lambda *_, **__: {"accuracy": value, "loss": 0.0}
        )
        record = train(make_config())
        assert record.status == "failed"
        assert "ValidationError" in record.reason
        assert RunRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record


def test_no_alarm_beside_another() -> None:
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with alarm(lambda: 0.001, "never") as wind:
            wind()
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
