"""Runs on a Ray cluster of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace
from typing import Any

import pytest

from attenergy.registry import load_registry
from attenergy.search.engines.base import Resources, run_all
from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.ray import cluster as ray_cluster
from attenergy.search.engines.ray import executor as ray_executor
from attenergy.search.engines.ray.cluster import NoRoom
from attenergy.search.engines.ray.executor import RayExecutor
from attenergy.search.engines.ray.runner import Runner
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.study.run import run_search

ConfigMaker = Callable[..., RunConfig]
PlanMaker = Callable[..., SearchPlan]

DRIVER = """
import sys
from attenergy.registry import load_registry
from attenergy.search.runs.events import Listener
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.study.run import run_search

class Loud(Listener):
    def finished(self, record):
        print("finished", flush=True)

plan = SearchPlan.model_validate_json(sys.argv[1])
run_search(plan, load_registry(sys.argv[2], plugins=False), Loud())
"""


def test_a_missing_ray_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs Ray: pip install attenergy\[ray\]"):
        RayExecutor(Resources(engine="ray"), tmp_path)


class Cluster:
    """As much of Ray as the question of room needs: two nodes of 4 cores, one with 2 GPUs."""

    def nodes(self) -> list[dict[str, Any]]:
        big = {"NodeID": "a", "Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}}
        gone = {"NodeID": "b", "Alive": False, "Resources": {"CPU": 64.0}}
        return [big, {"NodeID": "c", "Alive": True, "Resources": {"CPU": 4.0}}, gone]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="nowhere", get_node_id=lambda: "a")

    def remote(self, **_: Any) -> Any:
        handle = SimpleNamespace(pid=SimpleNamespace(remote=lambda: None))
        return lambda kind: SimpleNamespace(remote=lambda *about: handle)

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
    monkeypatch.setattr(ray_executor, "connected", lambda resources: Cluster())
    resources = Resources(engine="ray", workers=0, **share)
    if room:
        assert RayExecutor(resources, tmp_path).free == room
    more = resources.model_copy(update={"workers": room + 1})
    with pytest.raises(
        NoRoom, match=rf"do not fit .* has 8 CPUs, 2 GPUs on 2 nodes: room for {room}"
    ):
        RayExecutor(more, tmp_path)


class Watch(Listener):
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
        RayExecutor(Resources(engine="ray", gpus_per_trial=0.25), tmp_path)
    with RayExecutor(Resources(engine="ray", cpus_per_trial=0.5), tmp_path) as executor:
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets open
def test_a_run_goes_on_where_its_actor_died(make_config: ConfigMaker, tmp_path: Path) -> None:
    config = make_config(steps=300)
    alone = InProcess(tmp_path / "alone")
    alone.submit(config, "trial")
    whole = alone.wait(Listener())
    resources = Resources(engine="ray", workers=1, checkpoint_seconds=0.01)
    with RayExecutor(resources, tmp_path / "ray") as executor:
        executor.submit(config, "trial")
        record = executor.wait(Watch(executor, kills=1))
    assert record.status == "complete"
    assert len(record.continued) == 1
    paths = [tmp_path / "alone" / whole.weights, tmp_path / "ray" / record.weights]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@contextmanager
def cluster(*nodes: dict[str, Any]) -> Iterator[Any]:
    """A Ray cluster of such nodes on this machine; the first is the head."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster as RealCluster

    small = {"object_store_memory": 100_000_000}
    made = RealCluster(initialize_head=True, head_node_args=small | nodes[0])
    try:
        for node in nodes[1:]:
            made.add_node(**small, **node)
        yield made
    finally:
        made.shutdown()
        Path(get_ray_address_file(None)).unlink(missing_ok=True)


class Remover(Listener):
    """Takes a node away when a run on it has begun."""

    def __init__(self, made: Any, executor: RayExecutor) -> None:
        self.made, self.executor = made, executor
        self.begun: set[str] = set()
        self.messages: list[str] = []

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        self.begun.add(key)
        if len(self.begun) == 2 and self.made.worker_nodes:
            node = next(iter(self.made.worker_nodes))
            self.made.remove_node(node, allow_graceful=False)

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets open
def test_a_node_that_nobody_replaces(
    make_config: ConfigMaker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with cluster({"num_cpus": 1}, {"num_cpus": 1}) as made:
        resources = Resources(engine="ray", workers=2, address=made.address)
        with RayExecutor(resources, tmp_path) as executor:
            listener = Remover(made, executor)
            configs = [make_config(steps=3000, seed=seed) for seed in range(4)]
            store = RunStore(tmp_path)
            run_all(configs, "trial", executor, store, listener)
            assert executor.free == 1
    records = store.all()
    assert {r.key for r in records} == {c.run_key() for c in configs}
    assert {r.status for r in records} == {"complete"}
    (retried,) = (r.reason for r in records if r.reason)
    assert retried.startswith("retried once: the Ray actor died")
    first, *rest = listener.messages
    assert first.endswith("; trying once more")
    assert capfd.readouterr().out == ""
    assert rest == ["the cluster has room for 1 of 2 runs at a time now; going on with these"]


@pytest.mark.slow
def test_a_cluster_that_goes(make_plan: PlanMaker, tiny_file: Path) -> None:
    plan = make_plan(trials=60, workers=1, engine="ray", train_steps=600)
    with cluster({"num_cpus": 1}) as made:
        address = made.address
        plan = plan.model_copy(update={"address": address})
        words = [sys.executable, "-c", DRIVER, plan.model_dump_json(), str(tiny_file)]
        with subprocess.Popen(words, stdout=PIPE, stderr=PIPE, text=True) as driver:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "finished\n"
            made.head_node.kill_gcs_server()
            begin = time.monotonic()
            stderr = driver.communicate(timeout=120)[1]
            assert time.monotonic() - begin < 60
    assert driver.returncode == 1
    error = f"ClusterLost: the Ray cluster at {address} does not answer any more; finished"
    assert (
        stderr.strip().splitlines()[-1].startswith(f"attenergy.search.engines.ray.cluster.{error}")
    )
    before = len(RunStore(plan.folder).all())
    assert before >= 1
    rest = plan.model_copy(update={"trials": before + 1, "engine": "local", "workers": 0})
    registry = load_registry(tiny_file, plugins=False)
    assert len(run_search(rest, registry, Listener(), resume=True)) == before + 1


def test_a_gpu_that_cannot_be_used_is_told_once(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as Ray does for an actor with a share
    for gpus, messages, sees in [(0.25, 1, "1"), (0.0, 0, "")]:
        runner = Runner(gpus)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == sees
        for seed in (0, 1):
            assert runner.run(make_config(steps=6, seed=seed), "trial")[0].status == "complete"
        texts = [values[0] for event, *values in runner.events() if event == "message"]
        assert len(texts) == messages
        assert all("on the CPU" in text for text in texts)
