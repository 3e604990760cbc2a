"""A pool of worker processes on this machine, which may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from attenergy.search import provenance, worker
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Listener
from attenergy.search.provenance import Purpose


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    ready: bool = False
    job: worker.Job | None = None
    deaths: list[str] = field(default_factory=list)  # of the processes that had this job


class ProcessPool:
    """Persistent worker processes, each with a pipe of its own.

    A worker that dies is noticed at once and replaced, and its run is tried once more; if that
    ends in a death too, the run is recorded as failed.

    Raises:
        RuntimeError: in `wait`, if a worker cannot even start.
    """

    def __init__(self, workers: int, folder: Path) -> None:
        if workers < 1:
            raise ValueError(f"a pool needs at least 1 worker, got {workers}")
        self._folder = folder
        self._workers: list[_Worker] = []
        try:
            for _ in range(workers):
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
            by_handle: dict[Any, _Worker] = {w.pipe: w for w in self._workers}
            by_handle |= {w.process.sentinel: w for w in self._workers}
            for handle in wait(list(by_handle)):
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
                if kind == "ready":
                    one.ready = True
                elif kind == "progress" and one.job is not None:
                    listener.progress(one.job[0].run_key(), *rest)
                elif kind == "evaluated" and one.job is not None:
                    listener.evaluated(one.job[0].run_key(), *rest)
                elif kind == "done":
                    return self._finish(one, rest[0])
        except (EOFError, OSError):
            return self._replace(one, listener)
        return None if one.process.is_alive() else self._replace(one, listener)

    def _finish(self, one: _Worker, record: RunRecord) -> RunRecord:
        one.job = None
        return provenance.retried(record, one.deaths)

    def _replace(self, dead: _Worker, listener: Listener) -> RunRecord | None:
        death = _cause(dead)
        dead.pipe.close()
        if not dead.ready and (dead.process.exitcode or 0) > 0:
            raise RuntimeError(f"a worker process cannot start: {death}; see its message above")
        fresh = self._start()
        self._workers[self._workers.index(dead)] = fresh
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

    def _send(self, one: _Worker) -> None:
        # A worker that has just died is found by `wait`, and its successor gets the job.
        with suppress(OSError):
            one.pipe.send(("run", *(one.job or ())))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, str(self._folder.absolute()))
        process = context.Process(target=worker.main, args=arguments, daemon=True)
        with _worker_environment(), _without_main():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _stop(self) -> None:
        for one in self._workers:
            one.process.terminate()
        for one in self._workers:
            one.process.join(2.0)
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.pipe.close()
            one.process.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


def _cause(dead: _Worker) -> str:
    dead.process.join()
    code = dead.process.exitcode or 0
    if code >= 0:
        return f"the worker process ended with exit code {code}"
    return f"the worker process was killed by signal {-code} ({signal.Signals(-code).name})"


@contextmanager
def _worker_environment() -> Iterator[None]:
    # What a child inherits: one thread, and Ctrl-C blocked, which ends the driver alone.
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
