"""Runs on a Ray cluster, one actor for each that goes on at a time; the study stays here."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from attenergy.search import provenance, worker
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Listener
from attenergy.search.plan import Crew
from attenergy.search.provenance import Purpose
from attenergy.search.ray_runner import Runner
from attenergy.search.records import weights_path, write_bytes_atomically

_SECONDS_BETWEEN_NEWS = 0.2
_THREADS = 3  # of an actor: the run, its news, its stop


class NoRoom(ValueError):
    """The cluster lacks what a run was to be given."""


@dataclass
class _Actor:
    handle: Any
    born: Any  # a reference that is ready once the actor is, and fails once it is dead
    ready: bool = False
    job: worker.Job | None = None
    result: Any = None  # a reference to (record, weights)
    deaths: list[str] = field(default_factory=list)  # of the actors that had this job


class RayExecutor:
    """Persistent actors, each with its share of cores and GPUs, on any node that has room.

    An actor that dies, alone or with its node, is replaced as soon as there is room; its run is
    tried once more, by whichever actor is idle first, and if that dies too, it is recorded as
    failed. Weights come back to the study's folder.

    Args:
        crew: how many runs at a time (0 for as many as there is room for), the share of each, and
            the cluster's address: `host:port`, `auto` for the one on this machine, None for the
            same or else a new one that ends with this process.
        folder: the study's folder.

    Raises:
        NoRoom: no node, or not enough of them, can give a run its share.
        ValueError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, crew: Crew, folder: Path) -> None:
        self._ray, self._crew, self._folder = _connected(crew), crew, folder
        self._waiting: deque[tuple[worker.Job, list[str]]] = deque()
        try:
            places = self._places()
            self._actors = [self._start() for _ in range(crew.workers or places)]
        except BaseException:
            self._ray.shutdown()
            raise

    @property
    def free(self) -> int:
        """Number of runs that can be taken now."""
        busy = sum(actor.job is not None for actor in self._actors)
        return max(0, len(self._actors) - busy - len(self._waiting))

    @property
    def pids(self) -> list[int]:
        """Process numbers of the actors, on their nodes."""
        pids: list[int] = self._ray.get([actor.handle.pid.remote() for actor in self._actors])
        return pids

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Hand a run to an actor, the first that is ready."""
        if self.free == 0:
            raise RuntimeError("every actor is busy; wait for a run first")
        self._waiting.append(((config, purpose), []))
        self._assign()

    def stop(self, key: str, reason: str) -> None:
        """Tell the actor that has the run."""
        for actor in self._actors:
            if actor.job is not None and actor.job[0].run_key() == key:
                actor.handle.stop.remote(key, reason)

    def wait(self, listener: Listener) -> RunRecord:
        """Wait for the next record; a failed one if a run has cost two actors."""
        if not self._waiting and all(actor.job is None for actor in self._actors):
            raise RuntimeError("no run to wait for")
        while True:
            self._assign()
            refs = [a.born for a in self._actors if not a.ready]
            refs += [a.result for a in self._actors if a.result is not None]
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=_SECONDS_BETWEEN_NEWS)
            for actor in list(self._actors):
                self._hear(actor, listener)
                if actor.result in ready or actor.born in ready:
                    record = self._settle(actor, listener)
                    if record is not None:
                        return record

    def _assign(self) -> None:
        for actor in self._actors:
            if self._waiting and actor.ready and actor.job is None:
                actor.job, actor.deaths = self._waiting.popleft()
                actor.result = actor.handle.run.remote(*actor.job)

    def _hear(self, actor: _Actor, listener: Listener) -> None:
        if actor.job is None:
            return
        try:
            for event, *values in self._ray.get(actor.handle.news.remote(), timeout=5.0):
                getattr(listener, event)(*values)
        except self._ray.exceptions.RayError:
            return  # dead, which its result tells, or too busy to answer

    def _settle(self, actor: _Actor, listener: Listener) -> RunRecord | None:
        """Take what an actor's reference holds: that it is ready, a record, or its death."""
        try:
            if not actor.ready:
                self._ray.get(actor.born)
                actor.ready = True
                return None
            record, weights = self._ray.get(actor.result)
        except self._ray.exceptions.RayActorError as error:
            return self._replace(actor, _cause(error), listener)
        except self._ray.exceptions.RayTaskError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RuntimeError(f"a run cannot even begin on the cluster: {reason}") from error
        if record.weights:
            write_bytes_atomically(weights_path(self._folder, record.key), weights)
        deaths, actor.job, actor.result = actor.deaths, None, None
        done: RunRecord = provenance.retried(record, deaths)
        return done

    def _replace(self, dead: _Actor, death: str, listener: Listener) -> RunRecord | None:
        self._actors[self._actors.index(dead)] = self._start()
        if dead.job is None:
            listener.message(f"{death}; another is started")
            return None
        config, purpose = dead.job
        deaths = [*dead.deaths, death]
        if len(deaths) > 1:
            return provenance.lost(config, purpose, deaths)
        listener.message(f"run {config.run_key()}: {death}; trying once more")
        self._waiting.appendleft((dead.job, deaths))
        return None

    def _start(self) -> _Actor:
        remote = self._ray.remote(
            num_cpus=self._crew.cpus_per_trial,
            num_gpus=self._crew.gpus_per_trial,
            max_concurrency=_THREADS,
            max_restarts=0,
        )
        handle = remote(Runner).remote()
        return _Actor(handle, handle.pid.remote())

    def _places(self) -> int:
        """How many runs the cluster's nodes can hold at a time."""
        wanted = {"CPU": self._crew.cpus_per_trial, "GPU": self._crew.gpus_per_trial}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = [
            min(int(node.get(name, 0) / share + 1e-9) for name, share in wanted.items() if share)
            for node in nodes
        ]
        if sum(room) < max(1, self._crew.workers):
            has = ", ".join(
                f"{sum(node.get(name, 0) for node in nodes):g} {name}s" for name in wanted
            )
            asked = " and ".join(f"{share:g} {name}" for name, share in wanted.items() if share)
            raise NoRoom(
                f"{max(1, self._crew.workers)} runs at a time with {asked} each do not fit the Ray "
                f"cluster, which has {has} on {len(nodes)} nodes: room for {sum(room)}"
            )
        return sum(room)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._ray.shutdown()


def _connected(crew: Crew) -> Any:
    """The module `ray`, connected to the cluster."""
    if find_spec("ray") is None:
        raise ValueError("the engine ray needs Ray: pip install attenergy[ray]")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        _check_answers(crew.address)
        ray.init(
            address=crew.address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=None if crew.address else False,
        )
    except (ConnectionError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"cannot reach a Ray cluster at {crew.address}: {reason}") from error
    return ray


def _check_answers(address: str | None) -> None:
    # Ray itself asks for minutes before it gives up.
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "died" in line or "killed" in line), lines[0])
    return f"the Ray actor died ({told[:200]})"
