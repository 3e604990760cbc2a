"""Who runs the runs: this process, worker processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from attenergy.search.runs.checkpoints import FOLDER, Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.limits import Limits, read_bytes
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import RunStore

Engine = Literal["local", "ray"]


class Resources(BaseModel):
    """Who does the work, which decides no result.

    `workers` processes on this machine, 0 for the driver's own; with the engine `ray`, so many
    runs at a time on the cluster at `address` (this machine's, or a new one, if None), each with
    its share of cores and GPUs; 0 for as many as there is room for.

    A run that takes longer than `trial_seconds`, or whose worker grows beyond `trial_memory`
    (bytes, or a text such as "4G"), is recorded as failed, without a second try. Without
    `trial_seconds` it may go on for as long as it makes training steps; see `watch.Learned`.
    Workers send heartbeats; one that sends none for six times `heartbeat` seconds is replaced.

    Every `checkpoint_seconds` (0 for never) the state of a run is written to `checkpoint_folder`
    (`checkpoints` in the study's folder, if None); a run that was broken off goes on from there.
    Workers and drivers on other machines need a folder that all of them reach by the same path.
    With `keep_checkpoints` every run with the schedule `constant_tail` leaves its state before the
    tail there, from which a longer one goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: Annotated[int, Field(ge=0)] = 1
    engine: Engine = "local"
    address: str | None = None
    cpus_per_trial: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    trial_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    trial_memory: Annotated[int | None, BeforeValidator(read_bytes)] = None
    heartbeat: Annotated[int, Field(ge=1)] = 10
    checkpoint_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    checkpoint_folder: str | None = None
    keep_checkpoints: bool = False

    @property
    def limits(self) -> Limits:
        """What every run may take."""
        return Limits.of(self.trial_seconds, self.trial_memory, self.heartbeat)

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Where the checkpoints of a study lie, and how often they are written.

        Args:
            folder: the study's.
        """
        place = folder / FOLDER if self.checkpoint_folder is None else Path(self.checkpoint_folder)
        return Checkpoints(place.absolute(), self.checkpoint_seconds, self.keep_checkpoints)


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


def run_all(
    configs: Iterable[RunConfig],
    purpose: Purpose,
    executor: Executor,
    store: RunStore,
    listener: Listener,
    begins: Callable[[RunConfig], bool] | None = None,
) -> None:
    """Run every configuration that the store does not hold yet, and store what comes of it.

    Args:
        configs: what to run.
        purpose: stands in the records.
        executor: does the runs.
        store: of the records.
        listener: is told what happens.
        begins: whether a run is to begin now; the first that is not ends it. None for all.
    """
    missing = {c.run_key(): c for c in configs if store.get(c.run_key()) is None}
    waiting, running = deque(missing.values()), 0
    while waiting or running:
        while waiting and executor.free:
            config = waiting.popleft()
            if begins is not None and not begins(config):
                waiting.clear()
                break
            executor.submit(config, purpose)
            listener.started(config)
            running += 1
        if not running:
            return
        record = executor.wait(listener)
        running -= 1
        store.append(record)
        listener.finished(record)
