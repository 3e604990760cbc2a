"""Kills workers, drivers, nodes and connections at random moments of a search; is anything lost?

    python benchmarks/faults/faults.py --kills 50 [--storage URL] [--drivers 2] [--ray-nodes 2]

Workers are killed, stopped (SIGSTOP), or made to use more memory than they may. A driver runs as a
process of its own and is started again whenever it was killed; several work on the study together.
After the last kill the search ends undisturbed, and every trial is accounted for: none lost, none
counted twice, none left running, no process left. The exit code is 1 otherwise.

Many kills are dealt out in batches, each a search of its own; what the file of `--out` holds
already counts, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults_account import account, cut_connections, make_plan, several, summed
from faults_processes import (
    FOLDER,
    Forked,
    Process,
    adopt,
    command,
    descendants,
    left,
    let_eat,
    make_hook,
)

from attenergy.registry import load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.study.run import run_search

#: How often each kind of fault comes.
KINDS = {"worker": 6, "driver": 3, "stopped": 3, "memory": 3, "node": 1, "connections": 1}


class Loud(Listener):
    """Prints a line for every event, so that the killer can choose its moment."""

    def started(self, config: RunConfig) -> None:
        """Print."""
        print("started", flush=True)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Print."""
        print("evaluated", flush=True)

    def finished(self, record: RunRecord) -> None:
        """Print."""
        print("finished", flush=True)


def drive(plan: SearchPlan) -> None:
    """The search itself, from wherever it has come to."""
    run_search(plan, load_registry(plugins=False), Loud(), resume=True)


class Killer:
    """Starts the drivers, kills, starts them again, and counts.

    Args:
        plans: one for each driver; several join.
        seed: of what is killed, and when.
        kinds: of faults, as in `KINDS`.
        cluster: of Ray, if the runs go there.
        fork: whether drivers and workers are forked instead of started anew.
    """

    def __init__(
        self,
        plans: list[SearchPlan],
        seed: int,
        kinds: list[str],
        cluster: Any = None,
        fork: bool = False,
    ) -> None:
        self.fork = fork
        self.plans, self.cluster, self.random = plans, cluster, random.Random(seed)
        self.kinds = kinds
        self.kills: Counter[str] = Counter()
        self.cut = -math.inf  # when the server last cut all connections
        self.ears = selectors.DefaultSelector()
        self.drivers = [self._start(plan) for plan in plans]

    def run(self, kills: int) -> None:
        """Kill so many times, then let the search end."""
        while self.kills.total() < kills:
            if not self._hear(self.random.randint(1, 6)):
                self._go_on()
                continue
            time.sleep(self.random.uniform(0, 0.3))
            for kind in self.random.choices(self.kinds, [KINDS[kind] for kind in self.kinds], k=2):
                if self.kills.total() < kills:  # two at a moment: nothing waits for the first
                    self._kill(kind)
        while self._hear(1000):
            pass

    def end(self) -> None:
        """Leave no process behind."""
        for driver in self.drivers:
            driver.kill()
            driver.wait()

    def _start(self, plan: SearchPlan) -> Process:
        program = [sys.executable, __file__, "--drive", plan.model_dump_json()]
        driver: Process
        if self.fork:
            driver = Forked(lambda: drive(plan))
        else:
            driver = subprocess.Popen(program, stdout=subprocess.PIPE, start_new_session=True)
        assert driver.stdout is not None
        self.ears.register(driver.stdout, selectors.EVENT_READ, driver)
        return driver

    def _hear(self, events: int) -> bool:
        """Wait for so many events; False if the drivers have ended."""
        while events > 0 and self.ears.get_map():
            for key, _ in self.ears.select():
                data = os.read(key.fd, 4096)
                events -= data.count(b"\n")
                if not data:
                    self.ears.unregister(key.fileobj)
                    if key.data.wait() != 0:
                        self._excuse(key.data)
        return events <= 0

    def _excuse(self, driver: Process) -> None:
        # To open a study the server has to be there: a driver that was starting ends with an error.
        if time.monotonic() - self.cut > 30:
            raise RuntimeError("a driver failed by itself; see its message above")
        place = self.drivers.index(driver)
        self.drivers[place] = self._start(self.plans[place])

    def _go_on(self) -> None:
        # The search came to its end before the killer did: it gets more trials.
        self.plans = [p.model_copy(update={"trials": p.trials + 10}) for p in self.plans]
        self.drivers = [self._start(plan) for plan in self.plans]

    def _kill(self, whom: str) -> None:
        place = self.random.randrange(len(self.drivers))
        if whom == "driver":
            driver = self.drivers[place]
            driver.kill()
            driver.wait()
            with contextlib.suppress(KeyError):  # it had ended by itself
                self.ears.unregister(driver.stdout)  # type: ignore[arg-type]
            self.drivers[place] = self._start(self.plans[place])
        elif whom == "node":
            if self.cluster is None:
                return
            self.cluster.remove_node(self.cluster.worker_nodes.copy().pop(), allow_graceful=False)
            self.cluster.add_node(num_cpus=1)
        elif whom == "connections":
            if not (self.plans[0].storage or "").startswith("postgresql"):
                return
            cut_connections(str(self.plans[0].storage))
            self.cut = time.monotonic()
        elif not self._strike(whom, self._workers(self.drivers[place])):
            return
        self.kills[whom] += 1

    def _strike(self, how: str, workers: list[int]) -> bool:
        """Kill or stop one of these workers, or let it eat; False if there is none."""
        if not workers:
            return False
        pid = self.random.choice(workers)
        try:
            if how == "memory":
                let_eat(pid)
            else:
                os.kill(pid, signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _workers(self, driver: Process) -> list[int]:
        root = os.getpid() if self.cluster is not None else driver.pid
        if self.fork:
            return list(descendants(root))
        word = "ray::Runner" if self.cluster is not None else "spawn_main"
        return [pid for pid in descendants(root) if word in command(pid)]


@contextlib.contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """A Ray cluster of so many nodes on this machine, each of one core; None for 0."""
    if nodes == 0:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1, **memory)
        yield cluster
    finally:
        cluster.shutdown()


def warm_up(arguments: argparse.Namespace) -> None:
    """A small search here, so that what is forked from here has imported everything."""
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(arguments, folder, None)
        drive(plan.model_copy(update={"storage": None, "workers": 0, "trials": 2, "finalists": 0}))


def one_batch(arguments: argparse.Namespace, kills: int, seed: int) -> dict[str, Any]:
    """A search, so many kills in it, and what became of it."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        make_hook(folder)
        with cluster_of(arguments.ray_nodes) as cluster:
            plan = make_plan(arguments, folder, cluster.address if cluster else None)
            plans, kinds = several(plan, arguments.drivers), arguments.kinds.split(",")
            killer = Killer(plans, seed, kinds, cluster, arguments.fork)
            try:
                killer.run(kills)
            finally:
                killer.end()
            result = account(killer.plans)
        time.sleep(1.0)  # for the orphans to end
        result["left_processes"] = len(left())
    kind = (arguments.storage or "sqlite").split(":")[0]
    result |= {"storage": kind, "ray_nodes": arguments.ray_nodes, "seed": seed}
    result |= {"start": "fork" if arguments.fork else "anew"}
    result |= {"drivers": arguments.drivers, "workers": arguments.workers}
    result |= {"kills": killer.kills, "seconds": round(time.perf_counter() - begin, 1)}
    return result | {"versions": provenance.versions(), "machine": provenance.machine()}


def main() -> int:
    """Run, account, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--batch", type=int, default=50, help="kills in one search")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--drivers", type=int, default=1, help="several join")
    parser.add_argument("--workers", type=int, default=2, help="of each driver")
    parser.add_argument("--train-steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", default=None, help="Optuna storage; SQLite if not given")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of faults")
    parser.add_argument(
        "--fork", action="store_true", help="start processes in a moment, without Ray; denser kills"
    )
    parser.add_argument("--ray-nodes", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--drive", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        drive(SearchPlan.model_validate_json(arguments.drive))
        return 0
    adopt()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    if arguments.fork:
        with contextlib.redirect_stdout(None):
            warm_up(arguments)
    out, runs = arguments.out, []
    if out is not None and out.exists():
        runs = json.loads(out.read_text())["runs"]
    while (rest := arguments.kills - sum(sum(run["kills"].values()) for run in runs)) > 0:
        runs.append(one_batch(arguments, min(rest, arguments.batch), arguments.seed + len(runs)))
        report = json.dumps({"total": summed(runs), "runs": runs}, indent=2)
        print(json.dumps(runs[-1], indent=2), flush=True)
        if out is not None:
            out.write_text(report + "\n")
    total = summed(runs)
    # A driver that ended before a late result came has one record less than the storage.
    bad = ("recorded_twice", "left_running", "wrong_values", "not_shared", "left_processes")
    return int(any(total[name] for name in bad) or total["lost"] > 0)


if __name__ == "__main__":
    sys.exit(main())
