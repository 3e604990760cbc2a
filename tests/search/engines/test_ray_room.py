"""What a search on Ray does when the cluster shrinks, comes back or goes: Ray plays a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attenergy.search.engines.base import Resources
from attenergy.search.engines.ray import executor as ray_executor
from attenergy.search.engines.ray.cluster import ClusterLost
from attenergy.search.engines.ray.executor import RayExecutor
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig

ConfigMaker = Callable[..., RunConfig]


class RayError(Exception): ...


class RayTaskError(RayError): ...


class ActorUnavailableError(RayError): ...


class ActorDiedError(RayError):
    def __init__(self, text: str, failed: bool = False) -> None:
        super().__init__(text)
        self.actor_init_failed = failed


class Ref:
    """Ready once it has a value; raises it if that is an exception."""

    value: Any = None


class Handle:
    """An actor that does what the script says, and has the same events every time."""

    says: tuple[Any, ...] = (("progress", "a run", 1, 2, 0.5),)

    def __init__(self) -> None:
        self.born, self.result, self.job = Ref(), Ref(), None
        self.killed = False
        self.pid = SimpleNamespace(remote=lambda: self.born)
        self.run = SimpleNamespace(remote=self._run)
        self.events = SimpleNamespace(remote=self._events)

    def _run(self, *job: Any) -> Ref:
        self.job, self.result = job, Ref()
        return self.result

    def _events(self) -> Ref:
        events = Ref()
        events.value = list(self.says)
        return events

    def dies(self, error: Exception | None = None) -> None:
        error = error or ActorDiedError("The actor died\nbecause its node has died.")
        self.born.value = self.result.value = error


class Played:
    """Nodes of one core each; every wait of the executor plays one more step of the script."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, ActorUnavailableError=ActorUnavailableError
    )

    def __init__(self, nodes: int) -> None:
        self.alive = [True] * nodes
        self.actors: list[Handle] = []
        self.script: list[Callable[[], Any]] = []

    def play(self, *steps: Callable[[], Any]) -> None:
        self.script += steps

    def born(self, actor: int) -> None:
        self.actors[actor].born.value = 1

    def finishes(self, actor: int) -> None:
        job = self.actors[actor].job
        assert job is not None
        self.actors[actor].result.value = (provenance.failed(*job, ""), b"")

    def lose(self, node: int, actor: int) -> None:
        self.alive[node] = False
        self.actors[actor].dies()

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": number, "Alive": alive, "Resources": {"CPU": 1.0}}
            for number, alive in enumerate(self.alive)
        ]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="there:1", get_node_id=lambda: "the driver's")

    def remote(self, **_: Any) -> Any:
        def start(*_: object) -> Handle:
            self.actors.append(Handle())
            return self.actors[-1]

        return lambda kind: SimpleNamespace(remote=start)

    def wait(
        self, refs: list[Ref], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Ref], list[Ref]]:
        if timeout == ray_executor._SECONDS_BETWEEN_EVENTS:
            self.script.pop(0)()
        ready = [ref for ref in refs if ref.value is not None][:num_returns]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: Ref) -> Any:
        if isinstance(ref.value, Exception):
            raise ref.value
        return ref.value

    def kill(self, handle: Handle) -> None:
        handle.killed = True

    def shutdown(self) -> None: ...


Maker = Callable[[int], tuple[Played, RayExecutor]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Executors of a cluster of so many nodes, all of whose actors are born at once."""

    def start(nodes: int) -> tuple[Played, RayExecutor]:
        played = Played(nodes)
        monkeypatch.setattr(ray_executor, "connected", lambda resources: played)
        monkeypatch.setattr(ray_executor, "answers", lambda address: True)
        monkeypatch.setattr(ray_executor, "_SECONDS_BETWEEN_LOOKS", 0.0)
        executor = RayExecutor(Resources(engine="ray", workers=nodes), tmp_path)
        for actor in range(nodes):
            played.born(actor)
        return played, executor

    return start


def nothing() -> None: ...


def test_a_smaller_cluster_does_the_work(
    make: Maker, make_config: ConfigMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handle, "says", (*Handle.says, ("message", "old")))
    played, executor = make(2)
    a, b, c = (make_config(seed=seed) for seed in range(3))
    executor.submit(a, "trial")
    executor.submit(b, "trial")
    # Both actors are born in one step, and get their runs in the next.
    played.play(nothing, nothing, lambda: played.lose(1, actor=1), nothing, nothing)
    played.play(lambda: played.finishes(0))
    assert executor.wait(watcher).key == a.run_key()
    assert executor.free == 0  # one place is left, and a run waits for it
    first, died, *rest = watcher.messages
    assert first == "old"
    assert ("a run", 1, 2) in watcher.steps
    assert died.endswith("trying once more")
    assert rest == ["the cluster has room for 1 of 2 runs at a time now; going on with these"]
    assert played.actors[1].killed

    played.play(nothing, lambda: played.finishes(0))
    record = executor.wait(watcher)
    assert record.key == b.run_key()
    assert record.reason.startswith("retried once: the Ray actor died (The actor died)")
    assert executor.free == 1

    executor.submit(c, "trial")
    played.play(lambda: played.alive.append(True), lambda: played.born(2), nothing)
    played.play(lambda: played.finishes(0))
    assert executor.wait(watcher).key == c.run_key()
    assert watcher.messages[3:] == ["the cluster has room for all 2 runs at a time again"]
    assert executor.free == 2


def test_no_room_at_all_is_told_once_and_waited_out(
    make: Maker, make_config: ConfigMaker, watcher: Any
) -> None:
    played, executor = make(1)
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: played.lose(0, actor=0), *[nothing] * 5)
    played.play(lambda: played.alive.append(True), lambda: played.born(1), nothing)
    played.play(lambda: played.finishes(1))
    assert executor.wait(watcher).reason.startswith("retried once: the Ray actor died")
    assert [text[:49] for text in watcher.messages[1:]] == [
        "the cluster has no room for any run now; waiting ",
        "the cluster has room for all 1 runs at a time aga",
    ]
    assert "--resume" in watcher.messages[1]
    assert executor.free == 1


def test_a_driver_without_runs_may_always_take_one(
    make: Maker, make_config: ConfigMaker, watcher: Any
) -> None:
    # Else a search would take itself for finished while the cluster is away.
    played, executor = make(2)
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: played.lose(1, actor=1), played.alive.clear, nothing)
    played.play(lambda: played.finishes(0))
    executor.wait(watcher)
    assert "no room for any run" in watcher.messages[-1]
    assert executor.free == 1


def test_an_actor_out_of_reach_is_ended(
    make: Maker, make_config: ConfigMaker, watcher: Any
) -> None:
    played, executor = make(1)
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: played.actors[0].dies(ActorUnavailableError("10.0.0.1:77 ...")))
    played.play(lambda: played.born(1), nothing, lambda: played.finishes(1))
    record = executor.wait(watcher)
    assert record.reason == "retried once: the Ray actor died (it cannot be reached)"
    assert [actor.killed for actor in played.actors] == [True, False]


def test_a_silent_cluster_is_given_time(
    make: Maker, make_config: ConfigMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    played, executor = make(1)

    def answer(yes: bool) -> None:
        monkeypatch.setattr(ray_executor, "answers", lambda address: yes)

    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: answer(False), nothing, lambda: answer(True), nothing)
    played.play(lambda: played.finishes(0))
    executor.wait(watcher)
    assert watcher.messages == [
        "the Ray cluster at there:1 does not answer; waiting for it",
        "the Ray cluster answers again",
    ]
    monkeypatch.setattr(ray_executor, "_PATIENCE", 0.0)
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: answer(False), *[nothing] * 9)
    with pytest.raises(ClusterLost, match=r"there:1 does not answer any more; .* --resume"):
        executor.wait(watcher)
    assert len(played.actors) == 1  # asking for another would hang


def test_a_silent_cluster_whose_actors_are_all_dead(
    make: Maker, make_config: ConfigMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    played, executor = make(1)

    def dies() -> None:
        played.actors[0].dies()
        monkeypatch.setattr(ray_executor, "answers", lambda address: False)

    monkeypatch.setattr(ray_executor, "_PATIENCE", 0.5)
    executor.submit(make_config(), "trial")
    played.play(nothing, dies)
    with pytest.raises(ClusterLost):
        executor.wait(watcher)


def test_the_drivers_own_node_must_live(
    make: Maker, make_config: ConfigMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Played,
        "get_runtime_context",
        lambda self: SimpleNamespace(gcs_address="there:1", get_node_id=lambda: 0),
    )
    played, executor = make(2)
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: played.lose(0, actor=0), nothing, nothing)
    with pytest.raises(ClusterLost, match="the Ray node of this machine has died; finished runs"):
        executor.wait(watcher)


def test_actors_that_cannot_start_are_no_loop(
    make: Maker, make_config: ConfigMaker, watcher: Any
) -> None:
    played, executor = make(2)
    error = ActorDiedError("died\nModuleNotFoundError: No module named 'attenergy'", failed=True)
    executor.submit(make_config(), "trial")
    played.play(lambda: played.actors[1].dies(error), nothing)
    with pytest.raises(ValueError, match="named 'attenergy'; is the same version of attenergy"):
        executor.wait(watcher)


def test_places_that_others_hold_are_told_once(
    make: Maker, make_config: ConfigMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    played, executor = make(2)
    played.actors[1].born.value = None
    executor.submit(make_config(), "trial")
    played.play(nothing, lambda: monkeypatch.setattr(ray_executor, "_LONG", -1.0), *[nothing] * 5)
    played.play(lambda: played.finishes(0))
    executor.wait(watcher)
    assert watcher.messages == [
        "1 of 2 runs at a time still wait for their share of the cluster; "
        "another program may hold it"
    ]
