"""What runs on a node of a Ray cluster: one run at a time, watched from the driver."""

from __future__ import annotations

import os
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

from attenergy.search.engines import worker
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.limits import NO_LIMITS, Limits, memory_in_use
from attenergy.search.runs.provenance import Purpose

_UNREACHED = (
    "a node does not reach the folder {folder}, so its runs have no checkpoints; a folder that all "
    "nodes share is named with --checkpoint-folder"
)
_NO_GPU = "PyTorch cannot use the GPU that a run was given on its node; it goes on on the CPU"


class Runner:
    """A Ray actor: `run` works in one thread while `news` and `stop` answer in others.

    Args:
        gpus: what it was given; a message is sent if PyTorch cannot use it. With none it sees none.
        limits: of every run.
        plugins: modules of the driver's.
        checkpoints: of the runs, if their folder is reached from here.
    """

    def __init__(
        self,
        gpus: float = 0.0,
        limits: Limits = NO_LIMITS,
        plugins: tuple[str, ...] = (),
        checkpoints: Checkpoints | None = None,
    ) -> None:
        worker.use_plugins(plugins)
        self._gpus, self._limits, self._checkpoints = gpus, limits, checkpoints
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # else all such runs would share the first
        self._events: list[tuple[Any, ...]] = []
        self._stops: dict[str, str] = {}
        self._lock = threading.Lock()

    def pid(self) -> int:
        """Number of the process."""
        return os.getpid()

    def run(self, config: RunConfig, purpose: Purpose) -> tuple[RunRecord, bytes]:
        """Train; return the record and the bytes of the weights, which lie on this node."""
        worker.prepare()  # in this thread: the number of threads is each thread's own
        self._check_gpu()
        self._check_checkpoints()
        key = config.run_key()
        self._tell("begun")

        def report(step: int, steps: int, loss: float) -> None:
            self._tell("progress", key, step, steps, loss)

        def evaluated(point: dict[str, float]) -> str:
            self._tell("evaluated", key, point)
            with self._lock:
                return self._stops.pop(key, "")

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record = worker.run_job(
                config,
                purpose,
                folder,
                report,
                evaluated,
                self._limits,
                self._checkpoints,
                notify=partial(self._tell, "noted"),
            )
            weights = (folder / record.weights).read_bytes() if record.weights else b""
        return record, weights

    def events(self) -> list[tuple[Any, ...]]:
        """What has happened since the last call: names of events and their values.

        The last is always the memory that the process uses.
        """
        with self._lock:
            events, self._events = self._events, []
        return [*events, ("memory", memory_in_use())]

    def stop(self, key: str, reason: str) -> None:
        """End the run at its next evaluation."""
        with self._lock:
            self._stops[key] = reason

    def _check_gpu(self) -> None:
        import torch

        if self._gpus and not torch.cuda.is_available():
            self._gpus = 0.0
            self._tell("message", _NO_GPU)

    def _check_checkpoints(self) -> None:
        if self._checkpoints and not self._checkpoints.reachable:
            if self._checkpoints.seconds or self._checkpoints.keep:
                self._tell("message", _UNREACHED.format(folder=self._checkpoints.folder))
            self._checkpoints = None

    def _tell(self, *event: Any) -> None:
        with self._lock:
            self._events.append(event)
