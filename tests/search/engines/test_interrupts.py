"""Signals end a search in order, and are told apart from what a library raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app
from attenergy.search.comparison import compare
from attenergy.search.comparison import multi_task as several
from attenergy.search.engines.in_process import InProcess
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.interrupts import (
    ALL,
    Ended,
    check,
    deferred,
    exits_raise,
    from_outside,
    listening,
)
from attenergy.search.runs.records import RunStore
from attenergy.search.study import run as study
from attenergy.search.study.run import run_search
from attenergy.search.training import train

ConfigMaker = Callable[..., RunConfig]
PlanMaker = Callable[..., SearchPlan]

SEARCH = ["search", "--task", "stacked-recall", "--energies", "lse,softmax", "--trials", "500"]
COMPARE = ["compare", "--task", "stacked-recall", "--variants", "softmax,linear"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in ALL]
    yield
    assert [signal.getsignal(number) for number in ALL] == before, "handlers are given back"


@pytest.mark.parametrize("number", ALL)
def test_a_signal_raises_where_it_is_listened_to(number: int) -> None:
    with listening(*ALL) as handler:
        with pytest.raises(Ended) as caught:
            signal.raise_signal(number)
        assert handler.number == caught.value.number == number
        assert str(caught.value) == signal.Signals(number).name
        assert from_outside(caught.value)
        assert not from_outside(KeyboardInterrupt())
        with listening(signal.SIGINT) as inner, pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)
        assert inner.number is None, "who listens already goes on"


def test_a_signal_that_a_library_swallows_is_not_lost(
    make_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = train.build_model

    def swallow(*facts: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return build(*facts)

    monkeypatch.setattr(train, "build_model", swallow)
    executor = InProcess(tmp_path)
    executor.submit(make_config(), "trial")
    with pytest.raises(Ended):
        executor.wait(Listener())
    check()
    with listening(*ALL):
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Ended, match="SIGTERM"):
            check()
    check()


def test_what_is_ignored_stays_ignored_and_own_handlers_have_their_say() -> None:
    seen: list[int] = []
    before = [signal.getsignal(number) for number in ALL]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
        signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
        with listening(*ALL):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert seen == [signal.SIGTERM]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as worker processes do
        assert not from_outside(KeyboardInterrupt())
    finally:
        for number, handler in zip(ALL, before, strict=True):
            signal.signal(number, handler)
    assert from_outside(KeyboardInterrupt())


def test_other_threads_hear_nothing_and_change_nothing() -> None:
    answers: list[bool] = []

    def look() -> None:
        with listening(*ALL), deferred():
            answers.append(from_outside(KeyboardInterrupt()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert answers == [False]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_waits_for_the_end_of_what_must_not_be_broken_off(number: int) -> None:
    steps = []

    def work() -> None:
        with deferred():
            signal.raise_signal(number)
            signal.raise_signal(number)
            steps.append("whole")

    with listening(*ALL), pytest.raises(Ended):
        work()
    assert steps == ["whole"]


def test_the_end_of_other_threads_and_processes_is_real() -> None:
    real = os._exit
    with exits_raise():
        with pytest.raises(SystemExit, match=r"os\._exit\(3\)"):
            os._exit(3)
        child = os.fork() if hasattr(os, "fork") else 0
        if not child:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os._exit is real


@pytest.mark.parametrize("words", [SEARCH, COMPARE])
@pytest.mark.parametrize("number", CODES)
def test_every_signal_ends_a_command_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], number: signal.Signals
) -> None:
    monkeypatch.chdir(tmp_path)
    for module, name in ((study, "run_search"), (compare, "run_compare"), (several, "run_compare")):
        monkeypatch.setattr(module, name, lambda *_, **__: signal.raise_signal(number))
    monkeypatch.setattr(sys, "argv", ["attenergy", *words])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == CODES[number]
    first, *rest = result.stderr.splitlines()
    assert first == ("interrupted" if number == signal.SIGINT else f"ended by {number.name}")
    resume = " --resume" if words is SEARCH else ""
    assert rest == ["finished runs are kept; to go on:", f"  attenergy {' '.join(words)}{resume}"]


def test_an_error_on_the_way_out_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def end(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            raise OSError(5, "Input/output error")  # the terminal is gone

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attenergy.search.study.run.run_search", end)
    assert CliRunner().invoke(app, SEARCH).exit_code == 129


def test_a_library_that_ends_the_program_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attenergy.search.study.run.run_search", lambda *_, **__: sys.exit(0))
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 1
    assert "ended the program (SystemExit: 0)" in result.stderr


def test_a_reader_that_has_seen_enough_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of `attenergy search --help | head -3`: rich ends the program when the pipe is closed."""

    def end(*_: object, **__: object) -> None:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            sys.exit(1)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attenergy.search.study.run.run_search", end)
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 1
    assert "ended the program" not in result.stderr


ALL_WAYS = [
    (("--workers", "2"), signal.SIGTERM, False),
    (("--workers", "0"), signal.SIGTERM, False),
    (("--workers", "2"), signal.SIGHUP, True),
    (("--workers", "0"), signal.SIGINT, True),
    (("--workers", "1", "--engine", "ray"), signal.SIGTERM, False),
]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "number", "group"), ALL_WAYS)
@pytest.mark.parametrize("wait", ["started", "early"])
def test_a_running_search_ends_in_order(
    tmp_path: Path, engine: tuple[str, ...], number: signal.Signals, group: bool, wait: str
) -> None:
    """By a signal to it alone, or to it and its workers, as a terminal sends it."""
    words = [*SEARCH, *engine, "--plain", "--steps", "200"]
    program = [sys.executable, "-c", "from attenergy.search.cli.app import main; main()", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": ""}
    with subprocess.Popen(
        program,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as driver:
        assert driver.stderr is not None
        lines = [driver.stderr.readline()]  # trials: 0 of 500 done
        while wait == "started" and not lines[-1].startswith("[  2/"):
            lines.append(driver.stderr.readline())
        began = time.monotonic()
        (os.killpg if group else os.kill)(driver.pid, number)
        stderr = driver.communicate(timeout=60)[1]
        assert time.monotonic() - began < 30
    assert driver.returncode == CODES[number], stderr
    assert "Traceback" not in stderr
    assert "--resume" in stderr
    records = RunStore(tmp_path / "runs" / "stacked-recall").all()
    assert len(records) >= (2 if wait == "started" else 0)


def failed(config: RunConfig, reason: str, status: str = "failed") -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status=status,  # type: ignore[arg-type]
        reason=reason,
    )


def number_at_the_end(watch: FailureWatch, records: list[RunRecord]) -> int | None:
    for number, record in enumerate(records, start=1):
        try:
            watch.finished(record)
        except SameFailure as error:
            return error.runs if error.runs == number else -1
    return None


def test_the_same_failure_of_every_run_is_noticed(make_config: ConfigMaker) -> None:
    names = ("softmax", "linear", "hyla")
    runs = [make_config(names[n % 3], seed=n) for n in range(12)]
    same = [failed(run, f"ValueError: 0x7f{n:x} of {n} (a.py:1)") for n, run in enumerate(runs)]
    assert number_at_the_end(FailureWatch(Listener(), 3, []), same) == 5
    assert number_at_the_end(FailureWatch(Listener(), 1, []), same) == 5
    assert number_at_the_end(FailureWatch(Listener(), 3, same), same) == 5, "one more session"
    one = [failed(make_config(seed=n), "broken") for n in range(12)]
    assert number_at_the_end(FailureWatch(Listener(), 2, []), one) is None, "the other may work"
    other = [*same[:4], failed(runs[4], "another"), *same[5:]]
    assert number_at_the_end(FailureWatch(Listener(), 3, []), other) is None
    for status in ("complete", "diverged", "pruned"):
        success = failed(runs[0], "", status)
        assert number_at_the_end(FailureWatch(Listener(), 3, []), [success, *same]) is None
        assert number_at_the_end(FailureWatch(Listener(), 3, [success]), same) is None


@pytest.mark.long
def test_a_search_in_which_nothing_works_ends_early(
    registry: Any, make_plan: PlanMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no model today")

    plan = make_plan(trials=50)
    with monkeypatch.context() as patch:
        patch.setattr("attenergy.search.training.train.build_model", fail)
        with pytest.raises(SameFailure, match=r"all 5 runs so far .*no model today.*\(--study\)"):
            run_search(plan, registry, watcher)
    assert len(watcher.records) == 5
    assert len(RunStore(plan.folder).all()) == 5
    rest = plan.model_copy(update={"trials": 7})
    records = run_search(rest, registry, watcher, resume=True)
    assert [r.status for r in records] == ["failed"] * 5 + ["complete"] * 2


@pytest.mark.parametrize(
    "words",
    [
        [*SEARCH[:-1], "2", "--workers", "0", "--finalists", "0"],
        [*COMPARE, "--seeds", "1", "--workers", "0"],
        [*COMPARE, "--seeds", "1", "--workers", "0", "--sweep", "pairs"],
        [*COMPARE, "--seeds", "5", "--workers", "0"],
    ],
)
def test_no_result_is_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no model today")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attenergy.search.training.train.build_model", fail)
    result = CliRunner().invoke(app, [*words, "--plain"])
    assert result.exit_code == 1
    assert "no model today" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
