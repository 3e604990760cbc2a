"""A worker process, as the driver starts it, watches it and ends it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attenergy.registry import carried
from attenergy.search.engines import worker
from attenergy.search.engines.retry import Assignment
from attenergy.search.engines.watch import Watch
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.limits import Limits, memory_in_use

_SECONDS_TO_DIE = 10.0
_POSIX = hasattr(signal, "pthread_sigmask")


@dataclass(eq=False)
class WorkerProcess:
    """One worker process, and the run that it has."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    watch: Watch
    ready: bool = False
    reported_memory: float = 0.0  # bytes
    run: Assignment | None = None

    @classmethod
    def start(
        cls, folder: Path, limits: Limits, checkpoints: Checkpoints | None = None
    ) -> WorkerProcess:
        """Start a worker for the runs of a study.

        Args:
            folder: the study's.
            limits: of every run.
            checkpoints: of the runs.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        tied = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        arguments = (theirs, str(folder.absolute()), limits, tied, carried(), checkpoints)
        process = context.Process(target=worker.main, args=arguments, daemon=True)
        with _worker_environment(), _without_main():
            process.start()
        theirs.close()
        _never_wait_longer(ours, limits.silence)
        return cls(process, ours, Watch(limits, "the worker process"))

    @property
    def memory(self) -> float:
        """Bytes of memory that it uses."""
        return memory_in_use(self.process.pid or 0) or self.reported_memory

    def send_run(self) -> None:
        """Hand it its run."""
        # A worker that has just died is noticed by the pool, and its successor gets the run.
        if self.run is not None:
            with suppress(OSError):
                self.pipe.send(("run", self.run.config, self.run.purpose))

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join(_SECONDS_TO_DIE)

    def stop(self) -> None:
        """End it, by force if it does not end within two seconds."""
        self.process.join(2.0)
        if self.process.is_alive():
            self.kill()  # it may be stopped
        self.pipe.close()
        with suppress(ValueError):  # nothing kills it: it hangs inside the system
            self.process.close()

    def cause_of_death(self) -> str:
        """What became of it; it is killed if it has closed its pipe and lives."""
        self.process.join(_SECONDS_TO_DIE)
        if self.process.is_alive():  # stopped in the middle of a message
            self.kill()
            return "the worker process did not end its word and was killed"
        code = self.process.exitcode or 0
        if code >= 0:
            return f"the worker process ended with exit code {code}"
        return f"the worker process was killed by signal {-code} ({signal.Signals(-code).name})"


def _never_wait_longer(pipe: Connection, seconds: float) -> None:
    # Else a worker that is stopped in the middle of a message would stop the driver too.
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
    removed: dict[str, Any] = {name: main.pop(name) for name in names if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(removed)
