"""Runs in the driver's own process, one at a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from attenergy.search.engines import worker
from attenergy.search.engines.retry import TRIES, Assignment
from attenergy.search.engines.watch import Learned
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import Outside
from attenergy.search.runs.interrupts import check, listening
from attenergy.search.runs.limits import (
    NO_LIMITS,
    LimitReached,
    Limits,
    alarm,
    stuck,
    timed_out,
)
from attenergy.search.runs.provenance import Purpose

T = TypeVar("T")


class InProcess:
    """Runs one configuration at a time in this process, inside `wait`.

    With one thread, as the worker processes do, so that all give the same bits; the number of
    threads is afterwards what it was.

    What a worker process would be killed for can be noticed here only between training steps, or,
    in the main thread, where Python code or a system call goes on: nothing interrupts a single call
    of a C library. A run in which the process itself ends goes on from its checkpoint, or begins
    anew, when the folder is next used, and is recorded as failed if the process ends again before
    another checkpoint.

    Args:
        folder: the study's folder.
        limits: of every run.
        checkpoints: of the runs; none if None.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits = NO_LIMITS,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._folder, self._limits, self._learned = folder, limits, Learned()
        self._checkpoints = checkpoints
        self._run: Assignment | None = None
        self._stops: dict[str, str] = {}

    @property
    def free(self) -> int:
        """1 until a run is submitted."""
        return 1 if self._run is None else 0

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Keep the run for `wait`."""
        if self._run is not None:
            raise RuntimeError("a run is submitted already; wait for it first")
        self._run = Assignment(config, purpose)

    def wait(self, listener: Listener) -> RunRecord:
        """Train the submitted run."""
        if self._run is None:
            raise RuntimeError("no run to wait for")
        run = self._run
        with self._mark(run.key) as deaths, worker.one_thread(), listening(signal.SIGINT):
            if deaths >= TRIES:
                reason = (
                    f"the process ended {deaths} times during this run, which was in process "
                    "(--workers 1 would have survived it)"
                )
                record = run.failed(reason)
            else:
                record = self._train(run, listener)
        self._learned.finished(record)
        self._run = None
        return record

    def _train(self, run: Assignment, listener: Listener) -> RunRecord:
        key, seconds = run.key, self._limits.seconds
        allowed, begin = self._learned.allowed(run.config), time.monotonic()

        def left() -> float:
            if seconds is None:
                return allowed
            return max(0.001, seconds - (time.monotonic() - begin))

        reason = stuck(allowed) if seconds is None else timed_out(seconds)

        def report(step: int, steps: int, loss: float) -> None:
            wind()
            check()
            _outside(lambda: listener.progress(key, step, steps, loss))

        def evaluated(point: dict[str, float]) -> str:
            wind()
            _outside(lambda: listener.evaluated(key, point))
            return self._stops.pop(key, "")

        def noted(event: str, *values: Any) -> None:
            nonlocal begin
            if event == "saved":
                self._write_mark(key, 1)
            elif event == "continued":
                begin -= values[1]
            wind()
            _outside(lambda: run.note(event, values, listener))

        limits, checkpoints = self._limits, self._checkpoints
        try:
            with alarm(left, reason) as wind:
                return worker.run_job(
                    run.config,
                    run.purpose,
                    self._folder,
                    report,
                    evaluated,
                    limits,
                    checkpoints,
                    notify=noted,
                )
        except LimitReached as error:  # a moment before the run could see to it
            return run.failed(str(error))
        except Outside as error:
            raise error.error from None

    @contextmanager
    def _mark(self, key: str) -> Iterator[int]:
        """Mark a run as under way, for later processes.

        Yields how many have ended during it since its last checkpoint.
        """
        path = self._mark_of(key)
        deaths = 0
        with suppress(OSError, ValueError):
            deaths = int(path.read_text(encoding="ascii"))
        self._write_mark(key, deaths + 1)
        try:
            yield deaths
        finally:
            with suppress(OSError):
                path.unlink()

    def _mark_of(self, key: str) -> Path:
        return self._folder / f".at_work.{key}"

    def _write_mark(self, key: str, deaths: int) -> None:
        with suppress(OSError):
            self._mark_of(key).write_text(f"{deaths}", encoding="ascii")

    def stop(self, key: str, reason: str) -> None:
        """End the run at the evaluation that is being reported."""
        if self._run is not None and self._run.key == key:
            self._stops[key] = reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run = None


def _outside(event: Callable[[], Any]) -> None:
    """Tell a listener; what it raises is not the run's."""
    try:
        event()
    except LimitReached:
        raise
    except BaseException as error:
        raise Outside(error) from error
