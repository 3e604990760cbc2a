"""A run that hangs, grows or calls for the end costs itself, and nothing else."""

from __future__ import annotations

import mmap
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

from attenergy.search.engines.base import Resources
from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.ray.runner import Runner
from attenergy.search.engines.watch import Watch
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
    with mmap.mmap(-1, 64 * MIB) as block:  # new pages; a list or bytes may take freed ones
        block.write(b"x" * (64 * MIB))
        during = memory_in_use(os.getpid())
    assert during - before > 50 * MIB
    assert during - memory_in_use() > 50 * MIB


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
    record = RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        cost={"seconds": float("nan")},
        metrics={"valid": {"accuracy": float("inf"), "bits": 1e308}},
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
