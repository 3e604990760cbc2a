"""Runs on a Ray cluster of this machine."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attenergy.search import ray_executor
from attenergy.search.config import RunConfig
from attenergy.search.events import Silent
from attenergy.search.plan import Crew
from attenergy.search.ray_executor import NoRoom, RayExecutor

ConfigMaker = Callable[..., RunConfig]


def test_a_missing_ray_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_executor, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs Ray: pip install attenergy\[ray\]"):
        RayExecutor(Crew(engine="ray"), tmp_path)


class Cluster:
    """As much of Ray as the question of room needs: two nodes of 4 cores, one with 2 GPUs."""

    def nodes(self) -> list[dict[str, Any]]:
        big: dict[str, Any] = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}}
        gone: dict[str, Any] = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [big, {"Alive": True, "Resources": {"CPU": 4.0}}, gone]

    def remote(self, **_: Any) -> Any:
        handle = SimpleNamespace(pid=SimpleNamespace(remote=lambda: None))
        return lambda kind: SimpleNamespace(remote=lambda: handle)

    def shutdown(self) -> None: ...


@pytest.mark.parametrize(
    ("share", "room"),
    [
        ({}, 8),
        ({"cpus_per_trial": 0.5}, 16),
        ({"cpus_per_trial": 3}, 2),
        ({"gpus_per_trial": 0.5}, 4),
        ({"gpus_per_trial": 0.25}, 4),
        ({"gpus_per_trial": 0.25, "cpus_per_trial": 0.1}, 8),
        ({"cpus_per_trial": 5}, 0),
        ({"gpus_per_trial": 3}, 0),
    ],
)
def test_room_is_counted_node_by_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: dict[str, Any], room: int
) -> None:
    monkeypatch.setattr(ray_executor, "_connected", lambda crew: Cluster())
    crew = Crew(engine="ray", workers=0, **share)
    if room:
        assert RayExecutor(crew, tmp_path).free == room
    more = crew.model_copy(update={"workers": room + 1})
    with pytest.raises(
        NoRoom, match=rf"do not fit .* has 8 CPUs, 2 GPUs on 2 nodes: room for {room}"
    ):
        RayExecutor(more, tmp_path)


class Watch(Silent):
    """Kills the actor at its first reports, or stops the run."""

    def __init__(self, executor: RayExecutor, kills: int = 0, stop: bool = False) -> None:
        self.executor, self.kills, self.stop = executor, kills, stop
        self.points: list[float] = []
        self.messages: list[str] = []

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        if self.kills:
            self.kills -= 1
            for pid in self.executor.pids:
                os.kill(pid, signal.SIGKILL)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        self.points.append(point["step"])
        if self.stop:
            self.executor.stop(key, "enough")

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets open
def test_runs_go_out_and_come_back(make_config: ConfigMaker, tmp_path: Path) -> None:
    plain, long = make_config(), make_config(steps=2000, evaluate_every=20)
    with pytest.raises(NoRoom):
        RayExecutor(Crew(engine="ray", gpus_per_trial=0.25), tmp_path)
    with RayExecutor(Crew(engine="ray", cpus_per_trial=0.5), tmp_path) as executor:
        watch = Watch(executor)
        executor.submit(plain, "trial")
        assert executor.free == 0
        record = executor.wait(watch)
        assert (record.status, record.reason, watch.points) == ("complete", "", [6, 12])
        assert (tmp_path / record.weights).stat().st_size > 1000

        executor.submit(long, "trial")
        pruned = executor.wait(Watch(executor, stop=True))
        assert (pruned.status, pruned.reason) == ("pruned", "enough")

        killed = Watch(executor, kills=1)
        executor.submit(make_config(steps=300), "trial")
        retried = executor.wait(killed)
        assert retried.status == "complete"
        assert retried.reason.startswith("retried once: the Ray actor died")
        assert killed.messages[0].endswith("; trying once more")

        executor.submit(make_config(steps=300, seed=5), "final")
        lost = executor.wait(Watch(executor, kills=2))
        assert (lost.status, lost.purpose) == ("failed", "final")
        assert lost.reason.count("the Ray actor died") == 2


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "no-such-host.invalid:6379"])
def test_a_cluster_that_does_not_answer(tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = address.format(port=port)
    with pytest.raises(ValueError, match=f"cannot reach a Ray cluster at {address}: "):
        RayExecutor(Crew(engine="ray", address=address), tmp_path)
