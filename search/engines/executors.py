"""Who runs the runs: this process, worker processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

from attenergy.search.planning.plan import Crew
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import RunStore


class Executor(Protocol):
    """Runs configurations; used as a context manager, at whose end nothing of it is left."""

    @property
    def free(self) -> int:
        """How many more runs can be submitted now."""

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Begin a run; an error if none is free."""

    def wait(self, listener: Listener) -> RunRecord:
        """Return the record of the next run that ends; progress goes to the listener."""

    def stop(self, key: str, reason: str) -> None:
        """Ask that a run end at its next evaluation as pruned; nothing if it has ended."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def make_executor(crew: Crew, folder: Path) -> Executor:
    """Make the executor that a plan asks for.

    Args:
        crew: the engine and its size.
        folder: the study's folder, where weights are saved.

    Raises:
        ValueError: the cluster lacks what every run is to be given, or Ray is not installed.
    """
    if crew.engine == "ray":
        from attenergy.search.engines.ray.executor import RayExecutor

        return RayExecutor(crew, folder)
    if crew.workers == 0:
        from attenergy.search.engines.in_process import InProcess

        return InProcess(folder, crew.limits)
    from attenergy.search.engines.process_pool import ProcessPool

    return ProcessPool(crew.workers, folder, crew.limits)


def run_all(
    configs: Iterable[RunConfig],
    purpose: Purpose,
    executor: Executor,
    store: RunStore,
    listener: Listener,
) -> None:
    """Run every configuration that the store does not hold yet, and store what comes of it."""
    missing = {c.run_key(): c for c in configs if store.get(c.run_key()) is None}
    waiting, running = deque(missing.values()), 0
    while waiting or running:
        while waiting and executor.free:
            config = waiting.popleft()
            executor.submit(config, purpose)
            listener.started(config)
            running += 1
        record = executor.wait(listener)
        running -= 1
        store.append(record)
        listener.finished(record)
