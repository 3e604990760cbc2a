"""A pool of worker processes on this machine, which may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from attenergy.registry import ArgumentError, carried
from attenergy.search.engines import worker
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.interrupts import check, deferred
from attenergy.search.runs.limits import NO_LIMITS, Learned, Limits, Watch, memory_in_use
from attenergy.search.runs.provenance import Purpose

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_DIE = 10.0


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    watch: Watch
    ready: bool = False
    memory: float = 0.0  # bytes, as the worker itself has told
    job: worker.Job | None = None
    deaths: list[str] = field(default_factory=list)  # of the processes that had this job


class ProcessPool:
    """Persistent worker processes, each with a pipe of its own.

    A worker that dies is noticed at once and replaced, and its run is tried once more; if that
    ends in a death too, the run is recorded as failed. So is a worker that is stopped or hangs as a
    whole, which its missing heartbeats tell. A run that takes more time or memory than it may is
    ended with its worker, and not tried again.

    Args:
        workers: how many.
        folder: the study's folder.
        limits: of every run.

    Raises:
        RuntimeError: in `wait`, if a worker cannot even start.
    """

    def __init__(self, workers: int, folder: Path, limits: Limits = NO_LIMITS) -> None:
        if workers < 1:
            raise ArgumentError(f"a pool needs at least 1 worker, got {workers}")
        self._folder, self._limits, self._learned = folder, limits, Learned()
        self._workers: list[_Worker] = []
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
        return sum(w.job is None for w in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the living workers."""
        return [w.process.pid for w in self._workers if w.process.pid is not None]

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Hand a run to an idle worker."""
        idle = next((w for w in self._workers if w.job is None), None)
        if idle is None:
            raise RuntimeError("every worker is busy; wait for a run first")
        if self._limits.too_large(self._memory(idle)):  # what earlier runs have left behind
            idle = self._restart(idle)
        idle.job, idle.deaths = (config, purpose), []
        self._send(idle)

    def stop(self, key: str, reason: str) -> None:
        """Tell the worker that has the run."""
        for one in self._workers:
            if one.job is not None and one.job[0].run_key() == key:
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
            by_handle: dict[Any, _Worker] = {w.pipe: w for w in self._workers}
            by_handle |= {w.process.sentinel: w for w in self._workers}
            for handle in wait(list(by_handle), timeout=_SECONDS_BETWEEN_LOOKS):
                one = by_handle[handle]
                if one not in self._workers:
                    continue  # replaced a moment ago: its pipe and its sentinel fire together
                record = self._listen(one, listener)
                if record is not None:
                    return record

    def _listen(self, one: _Worker, listener: Listener) -> RunRecord | None:
        try:
            while one.pipe.poll():
                kind, *rest = one.pipe.recv()
                one.watch.heard()
                if kind in {"begun", "progress", "evaluated"}:
                    one.watch.moved()
                if kind == "ready":
                    one.ready = True
                elif kind == "alive":
                    one.memory = rest[0]
                elif kind == "begun":
                    one.watch.begin()
                elif kind == "progress" and one.job is not None:
                    listener.progress(one.job[0].run_key(), *rest)
                elif kind == "evaluated" and one.job is not None:
                    listener.evaluated(one.job[0].run_key(), *rest)
                elif kind == "done":
                    return self._finish(one, rest[0])
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
            one.watch.passed(passed)
        for one in list(self._workers):
            record = self._judge(one, listener)
            if record is not None:
                return record
        return None

    def _judge(self, one: _Worker, listener: Listener) -> RunRecord | None:
        if not one.process.is_alive() or one.pipe.poll():
            return None  # its death, or its word, comes first
        if death := one.watch.death(one.process.pid, ready=one.ready):
            return self._replace(one, listener, death)
        if one.job is None or not one.ready:
            return None
        config, purpose = one.job
        reason = one.watch.excess(self._memory(one), self._learned.allowed(config))
        if not reason:
            return None
        self._restart(one)
        return provenance.failed(config, purpose, provenance.with_deaths(reason, one.deaths))

    def _finish(self, one: _Worker, record: RunRecord) -> RunRecord:
        one.job = None
        self._learned.finished(record)
        return provenance.retried(record, one.deaths)

    def _replace(self, dead: _Worker, listener: Listener, death: str = "") -> RunRecord | None:
        """Put another worker in the place of one that is dead, or is killed for a reason."""
        if death:
            dead.process.kill()
            dead.process.join(_SECONDS_TO_DIE)
        else:
            death = _cause(dead)
        dead.pipe.close()
        if not dead.ready and (dead.process.exitcode or 0) > 0:
            raise RuntimeError(f"a worker process cannot start: {death}; see its message above")
        fresh = self._put(dead)
        if dead.job is None:
            return None
        config, purpose = dead.job
        deaths = [*dead.deaths, death]
        if len(deaths) > 1:
            return provenance.lost(config, purpose, deaths)
        listener.message(f"run {config.run_key()}: {death}; trying once more")
        fresh.job, fresh.deaths = dead.job, deaths
        self._send(fresh)
        return None

    def _restart(self, one: _Worker) -> _Worker:
        """Kill a worker, and put another in its place, which has no run."""
        one.process.kill()
        one.process.join(_SECONDS_TO_DIE)
        one.pipe.close()
        return self._put(one)

    def _put(self, dead: _Worker) -> _Worker:
        with deferred():
            fresh = self._workers[self._workers.index(dead)] = self._start()
        return fresh

    def _memory(self, one: _Worker) -> float:
        return memory_in_use(one.process.pid or 0) or one.memory

    def _send(self, one: _Worker) -> None:
        # A worker that has just died is found by `wait`, and its successor gets the job.
        with suppress(OSError):
            one.pipe.send(("run", *(one.job or ())))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        tied = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        arguments = (theirs, str(self._folder.absolute()), self._limits, tied, carried())
        process = context.Process(target=worker.main, args=arguments, daemon=True)
        with _worker_environment(), _without_main():
            process.start()
        theirs.close()
        _never_wait_longer(ours, self._limits.silence)
        return _Worker(process, ours, Watch(self._limits, "the worker process"))

    def _stop(self) -> None:
        for one in self._workers:
            one.process.terminate()
        for one in self._workers:
            one.process.join(2.0)
            if one.process.is_alive():
                one.process.kill()  # it may be stopped
                one.process.join(_SECONDS_TO_DIE)
            one.pipe.close()
            with suppress(ValueError):  # nothing kills it: it hangs inside the system
                one.process.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


def _cause(dead: _Worker) -> str:
    dead.process.join(_SECONDS_TO_DIE)
    if dead.process.is_alive():  # stopped in the middle of a word
        dead.process.kill()
        dead.process.join(_SECONDS_TO_DIE)
        return "the worker process did not end its word and was killed"
    code = dead.process.exitcode or 0
    if code >= 0:
        return f"the worker process ended with exit code {code}"
    return f"the worker process was killed by signal {-code} ({signal.Signals(-code).name})"


def _never_wait_longer(pipe: Connection, seconds: float) -> None:
    # Else a worker that is stopped in the middle of a word would stop the driver too.
    if _POSIX:
        with socket.socket(fileno=os.dup(pipe.fileno())) as line:
            limit = struct.pack("ll", int(seconds), 0)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


@contextmanager
def _worker_environment() -> Iterator[None]:
    # What a child inherits: one thread, and Ctrl-C blocked, which ends the driver alone.
    # The tracker that `multiprocessing` starts before the first child lets Ctrl-C through again, so
    # it is started first.
    if _POSIX:
        resource_tracker.ensure_running()
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else None
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _without_main() -> Iterator[None]:
    # A spawned process would run the program's main script again, for the sake of objects defined
    # there. A worker is sent none, so scripts need no `if __name__ == "__main__":`.
    main = vars(sys.modules["__main__"])
    names = ("__spec__", "__file__")
    kept: dict[str, Any] = {name: main.pop(name) for name in names if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


_POSIX = hasattr(signal, "pthread_sigmask")
