"""A pool of worker processes on this machine, which may be killed."""

from __future__ import annotations

import time
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

from attenergy.registry import ArgumentError
from attenergy.search.engines.retry import Assignment
from attenergy.search.engines.watch import Learned
from attenergy.search.engines.worker_process import WorkerProcess
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.interrupts import check, deferred
from attenergy.search.runs.limits import NO_LIMITS, Limits
from attenergy.search.runs.provenance import Purpose

_SECONDS_BETWEEN_LOOKS = 0.2


class ProcessPool:
    """Persistent worker processes, each with a pipe of its own.

    A worker that dies is noticed at once and replaced, and its run goes on from its checkpoint, or
    begins anew; if that ends in a death too, before another checkpoint, the run is recorded as
    failed. So is a worker that is stopped or hangs as a
    whole, which its missing heartbeats tell. A run that takes more time or memory than it may is
    ended with its worker, and not tried again.

    Args:
        workers: how many.
        folder: the study's folder.
        limits: of every run.
        checkpoints: of the runs; none if None.

    Raises:
        RuntimeError: in `wait`, if a worker cannot even start.
    """

    def __init__(
        self,
        workers: int,
        folder: Path,
        limits: Limits = NO_LIMITS,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        if workers < 1:
            raise ArgumentError(f"a pool needs at least 1 worker, got {workers}")
        self._folder, self._limits, self._learned = folder, limits, Learned()
        self._checkpoints = checkpoints
        self._workers: list[WorkerProcess] = []
        self._looked = time.monotonic()
        try:
            for _ in range(workers):
                with deferred():
                    self._workers.append(self._start())
        except BaseException:
            self._stop()
            raise

    @property
    def free(self) -> int:
        """Number of idle workers."""
        return sum(w.run is None for w in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the living workers."""
        return [w.process.pid for w in self._workers if w.process.pid is not None]

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Hand a run to an idle worker."""
        idle = next((w for w in self._workers if w.run is None), None)
        if idle is None:
            raise RuntimeError("every worker is busy; wait for a run first")
        if self._limits.too_large(idle.memory):  # what earlier runs have left behind
            idle = self._restart(idle)
        idle.run = Assignment(config, purpose)
        idle.send_run()

    def stop(self, key: str, reason: str) -> None:
        """Tell the worker that has the run."""
        for one in self._workers:
            if one.run is not None and one.run.key == key:
                with suppress(OSError):
                    one.pipe.send(("stop", key, reason))

    def wait(self, listener: Listener) -> RunRecord:
        """Wait for the next record; a failed one if a run has cost two workers."""
        if self.free == len(self._workers):
            raise RuntimeError("no run to wait for")
        while True:
            check()
            record = self._look(listener)
            if record is not None:
                return record
            by_handle: dict[Any, WorkerProcess] = {w.pipe: w for w in self._workers}
            by_handle |= {w.process.sentinel: w for w in self._workers}
            for handle in wait(list(by_handle), timeout=_SECONDS_BETWEEN_LOOKS):
                one = by_handle[handle]
                if one not in self._workers:
                    continue  # replaced a moment ago: its pipe and its sentinel fire together
                record = self._listen(one, listener)
                if record is not None:
                    return record

    def _listen(self, one: WorkerProcess, listener: Listener) -> RunRecord | None:
        try:
            while one.pipe.poll():
                kind, *rest = one.pipe.recv()
                one.watch.sign_of_life()
                if kind not in {"ready", "alive"}:
                    one.watch.progressed()
                if kind == "ready":
                    one.ready = True
                elif kind == "alive":
                    one.reported_memory = rest[0]
                elif kind == "begun":
                    one.watch.begin()
                elif kind == "progress" and one.run is not None:
                    listener.progress(one.run.key, *rest)
                elif kind == "evaluated" and one.run is not None:
                    listener.evaluated(one.run.key, *rest)
                elif kind == "done" and one.run is not None:
                    return self._finish(one, one.run, rest[0])
                elif one.run is not None:
                    one.run.note(kind, rest, listener, one.watch)
        except (EOFError, OSError):
            return self._replace(one, listener)
        return None if one.process.is_alive() else self._replace(one, listener)

    def _look(self, listener: Listener) -> RunRecord | None:
        """Now and then: is every worker alive, and no run taking more than it may?"""
        now = time.monotonic()
        passed = now - self._looked
        if passed < _SECONDS_BETWEEN_LOOKS:
            return None
        self._looked = now
        for one in self._workers:
            one.watch.add_time(passed)
        for one in list(self._workers):
            record = self._judge(one, listener)
            if record is not None:
                return record
        return None

    def _judge(self, one: WorkerProcess, listener: Listener) -> RunRecord | None:
        if not one.process.is_alive() or one.pipe.poll():
            return None  # its death, or its message, comes first
        if death := one.watch.death(one.process.pid, ready=one.ready):
            return self._replace(one, listener, death)
        if one.run is None or not one.ready:
            return None
        reason = one.watch.excess(one.memory, self._learned.allowed(one.run.config))
        if not reason:
            return None
        self._restart(one)
        return one.run.failed(reason)

    def _finish(self, one: WorkerProcess, run: Assignment, record: RunRecord) -> RunRecord:
        one.run = None
        self._learned.finished(record)
        return run.finished(record)

    def _replace(
        self, dead: WorkerProcess, listener: Listener, death: str = ""
    ) -> RunRecord | None:
        """Put another worker in the place of one that is dead, or is killed for a reason."""
        if death:
            dead.kill()
        else:
            death = dead.cause_of_death()
        dead.pipe.close()
        if not dead.ready and (dead.process.exitcode or 0) > 0:
            raise RuntimeError(f"a worker process cannot start: {death}; see its message above")
        fresh = self._start_in_place_of(dead)
        if dead.run is None:
            return None
        record = dead.run.worker_died(death, listener)
        if record is None:
            fresh.run = dead.run
            fresh.send_run()
        return record

    def _restart(self, one: WorkerProcess) -> WorkerProcess:
        """Kill a worker, and put another in its place, which has no run."""
        one.kill()
        one.pipe.close()
        return self._start_in_place_of(one)

    def _start_in_place_of(self, dead: WorkerProcess) -> WorkerProcess:
        with deferred():
            fresh = self._start()
            self._workers[self._workers.index(dead)] = fresh
        return fresh

    def _start(self) -> WorkerProcess:
        return WorkerProcess.start(self._folder, self._limits, self._checkpoints)

    def _stop(self) -> None:
        for one in self._workers:
            one.process.terminate()
        for one in self._workers:
            one.stop()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
