"""Runs on a Ray cluster, one actor for each that goes on at a time; the study stays here."""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from attenergy.registry import ArgumentError, carried
from attenergy.registry.files import write_bytes_atomically
from attenergy.search.engines.base import Resources
from attenergy.search.engines.ray.actor import Actor, cause_of_death
from attenergy.search.engines.ray.cluster import (
    answers,
    check_room,
    connected,
    lost,
    places,
    room_message,
)
from attenergy.search.engines.ray.runner import Runner
from attenergy.search.engines.retry import Assignment
from attenergy.search.engines.watch import Learned, Watch
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.interrupts import check
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import weights_path

_SECONDS_BETWEEN_EVENTS = 0.2
_SECONDS_BETWEEN_LOOKS = 5.0  # at the cluster as a whole
_PATIENCE = 30.0  # s with a cluster that does not answer; Ray itself ends this process after 60
_LONG = 60.0  # s for actors to start in
_THREADS = 3  # of an actor: the run, its events, its stop


class RayExecutor:
    """Persistent actors, each with its share of cores and GPUs, on any node that has room.

    An actor that dies, alone or with its node, is replaced as soon as there is room; its run goes
    on from its checkpoint, or begins anew, on whichever actor is idle first, and if that dies too,
    before another checkpoint, it is recorded as failed. So is one that does not answer any more,
    though its process is there. A run that takes more time or memory than it may is ended with its
    actor, and not tried again. The listener is told when the cluster loses room for runs, and when
    it is back. Weights come back to the study's folder.

    Args:
        resources: how many runs at a time (0 for as many as there is room for), the share of each,
            and the cluster's address: `host:port`, `auto` for the one on this machine, None for
            the same or else a new one that ends with this process.
        folder: the study's folder.

    Raises:
        NoRoom: no node, or not enough of them, can give a run its share.
        ClusterLost: in `wait`, if the cluster has not answered for half a minute.
        ValueError: Ray is not installed, or the cluster does not answer; in `wait`, if no actor
            can start.
    """

    def __init__(self, resources: Resources, folder: Path) -> None:
        self._ray, self._resources, self._folder = connected(resources), resources, folder
        self._waiting: deque[Assignment] = deque()
        self._actors: list[Actor] = []
        self._messages: set[str] = set()
        self._learned, self._passed = Learned(), time.monotonic()
        self._looked = self._slow_since = time.monotonic()
        self._silent_since: float | None = None
        self._stack = ExitStack()
        self._checkpoints = self._stack.enter_context(resources.checkpoints(folder).marked())
        try:
            here = self._ray.get_runtime_context()
            self._address, self._node = here.gcs_address, here.get_node_id()
            room = check_room(resources, self._nodes())
            self._size = self._room = resources.workers or room
            self._start_missing()
        except BaseException:
            self._stack.close()
            self._ray.shutdown()
            raise

    @property
    def free(self) -> int:
        """Number of runs that can be taken now, at least 1 if there is none.

        An actor that has yet to start counts: its run goes to whichever is ready first. What the
        cluster is known to have lost does not, so that no trial is asked for long before its turn.
        """
        busy = sum(actor.run is not None for actor in self._actors)
        return max(0, max(1, self._room) - busy - len(self._waiting))

    @property
    def pids(self) -> list[int]:
        """Process numbers of the actors, on their nodes."""
        pids: list[int] = self._ray.get([actor.handle.pid.remote() for actor in self._actors])
        return pids

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        """Hand a run to an actor, the first that is ready."""
        if self.free == 0:
            raise RuntimeError("every actor is busy; wait for a run first")
        self._waiting.append(Assignment(config, purpose))
        self._assign()

    def stop(self, key: str, reason: str) -> None:
        """Tell the actor that has the run."""
        for actor in self._actors:
            if actor.run is not None and actor.run.key == key:
                actor.handle.stop.remote(key, reason)

    def wait(self, listener: Listener) -> RunRecord:
        """Wait for the next record; a failed one if a run has cost two actors."""
        if not self._waiting and all(actor.run is None for actor in self._actors):
            raise RuntimeError("no run to wait for")
        while True:
            check()
            self._look(listener)
            record = self._judge_all(listener)
            if record is not None:
                return record
            self._assign()
            refs = [a.result if a.ready else a.born for a in self._actors if a.run or not a.ready]
            if not refs:
                time.sleep(_SECONDS_BETWEEN_EVENTS)
                continue
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=_SECONDS_BETWEEN_EVENTS)
            for actor in list(self._actors):
                if actor.result in ready or (actor.born in ready and not actor.ready):
                    record = self._settle(actor, listener)
                    if record is not None:
                        return record
                else:
                    self._forward_events(actor, listener)

    def _assign(self) -> None:
        for actor in self._actors:
            if self._waiting and actor.ready and actor.run is None:
                actor.run = self._waiting.popleft()
                actor.result = actor.handle.run.remote(actor.run.config, actor.run.purpose)

    def _forward_events(self, actor: Actor, listener: Listener, patience: float = 0.0) -> None:
        """Pass on what has come from a busy actor, and ask it for more."""
        if actor.run is None:
            return
        if actor.events is None:
            actor.events = actor.handle.events.remote()
        if not self._ray.wait([actor.events], timeout=patience)[0]:
            return  # too busy to answer
        with suppress(self._ray.exceptions.RayError):  # dead, which its result tells
            for event, *values in self._ray.get(actor.events):
                actor.watch.sign_of_life()
                if event == "memory":
                    actor.memory = values[0]
                    continue
                actor.watch.progressed()
                if event == "begun":
                    actor.watch.begin()
                    continue
                if event == "noted":
                    actor.run.note(values[0], values[1:], listener, actor.watch)
                    continue
                if event == "message":  # every actor has the same to say
                    if values[0] in self._messages:
                        continue
                    self._messages.add(values[0])
                getattr(listener, event)(*values)
        actor.events = None

    def _settle(self, actor: Actor, listener: Listener) -> RunRecord | None:
        """Take what an actor's reference holds: that it is ready, a record, or its death."""
        errors = self._ray.exceptions
        try:
            if not actor.ready:
                actor.pid, actor.ready = self._ray.get(actor.born), True
                actor.watch.sign_of_life()
                return None
            record, weights = self._ray.get(actor.result)
        except errors.RayTaskError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RuntimeError(f"a run cannot even begin on the cluster: {reason}") from error
        except errors.RayError as error:  # it is dead, out of memory, or its result is lost
            if getattr(error, "actor_init_failed", False):
                raise ArgumentError(
                    f"no run can begin on the cluster: {str(error).strip().splitlines()[-1]}; is "
                    "the same version of attenergy installed on every node?",
                    topic="cluster",
                ) from error
            unreachable = isinstance(error, errors.ActorUnavailableError)
            death = cause_of_death(error, unreachable=unreachable)
            return self._after_death(actor, death, listener)
        for _ in range(2):  # what was on its way, and the rest
            self._forward_events(actor, listener, patience=5.0)
        if record.weights:
            write_bytes_atomically(weights_path(self._folder, record.key), weights)
        run, actor.run, actor.result = actor.run, None, None
        self._learned.finished(record)
        if self._resources.limits.too_large(actor.memory):
            self._end(actor)  # what it leaves behind is not the next run's
        assert run is not None
        return run.finished(record)

    def _judge_all(self, listener: Listener) -> RunRecord | None:
        """Is every actor alive, and no run taking more than it may?"""
        now = time.monotonic()
        passed, self._passed = now - self._passed, now
        if self._silent_since is not None:  # no actor can be reached
            return None
        for actor in self._actors:
            if actor.run is not None or not actor.ready:
                actor.watch.add_time(passed)
        for actor in list(self._actors):
            record = self._judge(actor, listener)
            if record is not None:
                return record
        return None

    def _judge(self, actor: Actor, listener: Listener) -> RunRecord | None:
        if not actor.ready:  # another one costs nothing: it had no run yet
            if actor.watch.death(None, ready=False):
                self._end(actor)
            return None
        if actor.run is None:
            return None
        if death := actor.watch.death(actor.here()):
            return self._after_death(actor, death, listener)
        reason = actor.watch.excess(actor.memory, self._learned.allowed(actor.run.config))
        if not reason:
            return None
        self._end(actor)
        return actor.run.failed(reason)

    def _end(self, actor: Actor) -> None:
        self._ray.kill(actor.handle)  # it may be alive where it cannot be reached
        actor.kill()
        self._actors.remove(actor)

    def _after_death(self, dead: Actor, death: str, listener: Listener) -> RunRecord | None:
        self._end(dead)
        if dead.run is None:
            listener.message(f"{death}; another is started")
            return None
        record = dead.run.worker_died(death, listener)
        if record is None:
            self._waiting.appendleft(dead.run)
        return record

    def _look(self, listener: Listener) -> None:
        """Now and then: does the cluster answer, what is there room for, is an actor missing?"""
        now = time.monotonic()
        if now - self._looked < _SECONDS_BETWEEN_LOOKS and len(self._actors) == self._size:
            return
        self._looked = now
        if not answers(self._address):  # then Ray's own calls would hang
            if self._silent_since is None:
                self._silent_since = now
                listener.message(
                    f"the Ray cluster at {self._address} does not answer; waiting for it"
                )
            elif now - self._silent_since > _PATIENCE:
                raise lost(f"the Ray cluster at {self._address} does not answer any more")
            return
        if self._silent_since is not None:
            self._silent_since = None
            listener.message("the Ray cluster answers again")
        self._start_missing()
        self._report_room(listener, now)

    def _report_room(self, listener: Listener, now: float) -> None:
        room = self._size
        if any(not actor.ready for actor in self._actors):
            room = min(room, places(self._resources, self._nodes()))
        else:
            self._slow_since = now
        if room != self._room:
            self._room, self._slow_since = room, now
            listener.message(room_message(room, self._size))
        if room == self._size and now - self._slow_since > _LONG:
            self._slow_since = math.inf
            unborn = sum(not actor.ready for actor in self._actors)
            listener.message(
                f"{unborn} of {self._size} runs at a time still wait for their share of the "
                "cluster; another program may hold it"
            )

    def _nodes(self) -> list[dict[str, float]]:
        """What every living node has in all."""
        nodes = self._ray.nodes()
        dead = {node["NodeID"] for node in nodes if not node["Alive"]}
        if self._node in dead:  # Ray ends with it whatever this process has begun
            raise lost("the Ray node of this machine has died")
        return [node["Resources"] for node in nodes if node["Alive"]]

    def _start_missing(self) -> None:
        while len(self._actors) < self._size:
            remote = self._ray.remote(
                num_cpus=self._resources.cpus_per_trial,
                num_gpus=self._resources.gpus_per_trial,
                max_concurrency=_THREADS,
                max_restarts=0,
            )
            limits = self._resources.limits
            handle = remote(Runner).remote(
                self._resources.gpus_per_trial, limits, carried(), self._checkpoints
            )
            watch = Watch(limits, "the Ray actor")
            self._actors.append(Actor(handle, watch, handle.pid.remote()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._stack.close()
        self._ray.shutdown()
