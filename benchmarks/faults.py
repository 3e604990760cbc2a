"""Kills workers, drivers, nodes and connections at random moments of a search; is anything lost?

    python benchmarks/faults.py --kills 50 [--storage URL] [--drivers 2] [--ray-nodes 2]

A driver runs as a process of its own and is started again whenever it was killed; several work on
the study together. After the last kill the search ends undisturbed, and every trial is accounted
for: none lost, none counted twice, none left running. The exit code is 1 otherwise.
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

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, text

from attenergy.registry import load_registry
from attenergy.search import provenance
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Silent
from attenergy.search.plan import SearchPlan
from attenergy.search.records import RunStore
from attenergy.search.storage import latest, open_storage
from attenergy.search.study import run_search


class Loud(Silent):
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


def make_plan(arguments: argparse.Namespace, folder: str, address: str | None) -> SearchPlan:
    """Small real runs of a second or so."""
    return SearchPlan(
        study=f"faults-{os.getpid()}",  # a database may hold those of other days
        folder=folder,
        task="stacked-recall",
        task_options={"vocabulary": 16, "pairs": 4},
        variants=("softmax", "lse", "linear"),
        trials=arguments.trials,
        workers=arguments.workers,
        finalists=1,
        seeds=2,
        train_steps=arguments.train_steps,
        pruner="median",
        storage=arguments.storage,
        engine="ray" if address else "local",
        address=address,
        cpus_per_trial=1.0,
        fix={"valid_instances": 32, "test_instances": 32, "heads": 1, "evaluate_every": 20},
    )


def several(plan: SearchPlan, drivers: int) -> list[SearchPlan]:
    """The plans of so many drivers; more than one join, each with a folder of its own."""
    if drivers == 1:
        return [plan]
    shared = {
        "storage": plan.storage or f"sqlite:///{Path(plan.folder) / 'shared.db'}",
        "join": True,
        "heartbeat": 2,
    }
    folders = [{"folder": str(Path(plan.folder) / f"driver{n}")} for n in range(drivers)]
    return [plan.model_copy(update={**shared, **folder}) for folder in folders]


class Killer:
    """Starts the drivers, kills, starts them again, and counts.

    Args:
        plans: one for each driver; several join.
        seed: of what is killed, and when.
        cluster: of Ray, if the runs go there.
    """

    def __init__(self, plans: list[SearchPlan], seed: int, cluster: Any = None) -> None:
        self.plans, self.cluster, self.random = plans, cluster, random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.cut = -math.inf  # when the server last cut all connections
        self.ears = selectors.DefaultSelector()
        self.drivers = [self._start(plan) for plan in plans]

    def run(self, kills: int) -> None:
        """Kill so many times, then let the search end."""
        while self.kills.total() < kills:
            if not self._hear(self.random.randint(1, 8)):
                self._go_on()
                continue
            time.sleep(self.random.uniform(0, 0.3))
            kinds = ["worker", "driver", "node", "connections"]
            self._kill(self.random.choices(kinds, [6, 4, 1, 1])[0])
        while self._hear(1000):
            pass

    def end(self) -> None:
        """Leave no process behind."""
        for driver in self.drivers:
            driver.kill()
            driver.wait()

    def _start(self, plan: SearchPlan) -> subprocess.Popen[bytes]:
        program = [sys.executable, __file__, "--drive", plan.model_dump_json()]
        driver = subprocess.Popen(program, stdout=subprocess.PIPE)
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

    def _excuse(self, driver: subprocess.Popen[bytes]) -> None:
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
        else:
            found = self._workers(self.drivers[place])
            if not found:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(found), signal.SIGKILL)
        self.kills[whom] += 1

    def _workers(self, driver: subprocess.Popen[bytes]) -> list[int]:
        root = os.getpid() if self.cluster is not None else driver.pid
        word = "ray::Runner" if self.cluster is not None else "spawn_main"
        return [pid for pid in _descendants(root) if word in _command(pid)]


def cut_connections(url: str) -> None:
    """Let a PostgreSQL server end every connection to a database but this one."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    engine.dispose()


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _descendants(child)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def account(plans: list[SearchPlan]) -> dict[str, Any]:
    """Count what the records and the study say, and what does not agree."""
    plan = plans[0]
    known = [{record.key for record in RunStore(each.folder).all()} for each in plans]
    lines = (Path(plan.folder) / "records.jsonl").read_text().splitlines()
    keys = Counter(json.loads(line)["key"] for line in lines)
    store = RunStore(plan.folder)
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        trials = study.get_trials()
        finals: list[FrozenTrial] = []
        if plan.join:
            finals = optuna.load_study(study_name=f"{plan.study}@finals", storage=storage).trials
    by_run = {trial.user_attrs.get("run", ""): trial for trial in trials}
    counted = {run: trial for run, trial in by_run.items() if store.get(run) is not None}
    wrong = [
        run
        for run, trial in counted.items()
        if trial.state == TrialState.COMPLETE
        and [trial.value] != [store.get(run).metrics["valid"]["accuracy"]]  # type: ignore[union-attr]
    ]
    records = store.all()
    shared = {t.user_attrs["run"] for t in (*trials, *finals) if "record" in t.user_attrs}
    return {
        "planned": plan.trials,
        "counted": len(counted),
        "lost": plan.trials - len(counted),
        "not_in_every_folder": len(set.union(*known) - set.intersection(*known)),
        "not_shared": len(set.union(*known) - shared) if plan.join else 0,
        "recorded_twice": sum(count - 1 for count in keys.values()),
        "left_running": sum(not t.state.is_finished() for t in trials),
        "wrong_values": len(wrong),
        "statuses": Counter(r.status for r in records if r.purpose == "trial"),
        "failures": Counter(r.reason.split(";")[0] for r in records if r.status == "failed"),
        "finalists": sum(r.purpose == "final" for r in records),
        "runs_retried": sum("retried once" in r.reason for r in records),
        "trials_interrupted": sum("retry_of" in t.user_attrs for t in trials),
    }


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


def main() -> int:
    """Run, account, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--drivers", type=int, default=1, help="several join")
    parser.add_argument("--workers", type=int, default=2, help="of each driver")
    parser.add_argument("--train-steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", default=None, help="Optuna storage; SQLite if not given")
    parser.add_argument("--ray-nodes", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--drive", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        drive(SearchPlan.model_validate_json(arguments.drive))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, cluster_of(arguments.ray_nodes) as cluster:
        plan = make_plan(arguments, folder, cluster.address if cluster else None)
        killer = Killer(several(plan, arguments.drivers), arguments.seed, cluster)
        try:
            killer.run(arguments.kills)
        finally:
            killer.end()
        result = account(killer.plans)
    kind = (arguments.storage or "sqlite").split(":")[0]
    result |= {"storage": kind, "ray_nodes": arguments.ray_nodes}
    result |= {"drivers": arguments.drivers, "workers": arguments.workers}
    result |= {"kills": killer.kills, "seconds": round(time.perf_counter() - begin, 1)}
    result |= {"versions": provenance.versions(), "machine": provenance.machine()}
    told = json.dumps(result, indent=2)
    print(told)
    if arguments.out is not None:
        arguments.out.write_text(told + "\n")
    # A driver that ended before a late result came has one record less than the storage.
    bad = ("recorded_twice", "left_running", "wrong_values", "not_shared")
    return int(any(result[name] for name in bad) or result["lost"] > 0)


if __name__ == "__main__":
    sys.exit(main())
