"""Kills drivers and workers of a discovery at random moments; is anything lost, or done twice?

    python benchmarks/faults/discovering.py --kills 200 --out benchmarks/results/discovering.json

A discovery of tiny runs is killed (SIGKILL: its driver with all workers, or one worker) and goes
on, again and again. After every death of a driver, and at the end, trials and records are held
against each other: each run recorded once, each recorded run asked for by a trial, each trial with
the scores, settings and values that follow from its records alone, and nothing of an earlier
account lost. What the drivers said tells whether a run was begun again that had been recorded. With
one worker and `--kinds driver` the population must also be that of a discovery that nobody killed.

The exit code is 1 if anything does not agree. What the file of `--out` holds already counts: the
same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import selectors
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from batches import kill_in_batches
from discovering_account import Account, account
from faults_processes import Forked, adopt, descendants, left

from attenergy.registry import Registry, load_registry
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.run import run_discovery
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener

#: Seconds between two kills, at most.
_LONGEST = 2.5
TINY = {
    "denoising": {
        "options": {"patterns": 16},
        "training": {"valid_instances": 64, "test_instances": 64},
    },
    "stacked-recall-small": {
        "options": {"vocabulary": 16, "pairs": 4},
        "training": {
            **{"steps": 24, "warmup": 2, "evaluate_every": 6, "batch_size": 8},
            **{"valid_instances": 32, "test_instances": 32},
        },
    },
}


class Events(Listener):
    """Prints a line for every run that begins, and for every one that is recorded."""

    def started(self, config: RunConfig) -> None:
        """Print."""
        print("started", config.run_key(), flush=True)

    def finished(self, record: RunRecord) -> None:
        """Print."""
        print("finished", record.key, flush=True)


def make_registry() -> Registry:
    """The built-in one with runs of a moment."""
    registry = load_registry(plugins=False)
    tasks = dict(registry.tasks)
    for name, changes in TINY.items():
        spec = tasks[name]
        tasks[name] = spec.model_copy(
            update={
                "options": {**spec.options, **changes["options"]},
                "training": spec.training.model_copy(update=changes["training"]),
                "seconds": None,
            }
        )
    return replace(registry, tasks=tasks)


def make_plan(arguments: argparse.Namespace, folder: str, candidates: int) -> DiscoverPlan:
    """A discovery of two or three rungs, each run of which takes a moment."""
    return DiscoverPlan(
        study="faults",
        folder=folder,
        tasks=("stacked-recall-small",),
        candidates=candidates,
        seed=arguments.seed,
        seed_energies=("lse", "sparsemax"),
        finalists=0,
        workers=arguments.workers,
        checkpoint_seconds=0,
    )


class Killer:
    """Has a discovery go on while it kills whoever does it.

    Args:
        plan: of the discovery.
        registry: with its tiny tasks.
        kinds: "driver", "worker" or both.
        draw: of moments and victims.
    """

    def __init__(
        self, plan: DiscoverPlan, registry: Registry, kinds: list[str], draw: random.Random
    ) -> None:
        self.plan, self.registry, self.kinds, self.draw = plan, registry, kinds, draw
        self.kills: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.recorded: set[str] = set()
        self.again: list[str] = []
        self.wrong: Counter[str] = Counter()
        self.accounts = 0
        self.last: Account | None = None

    def run(self, kills: int) -> None:
        """Kill so many times, then let the discovery come to its end."""
        while True:
            driver = Forked(lambda: run_discovery(self.plan, self.registry, Events(), resume=True))
            try:
                ended = self._watch(driver, kills)
            finally:
                driver.kill()
            self._check(ended=ended)
            if ended and self.kills.total() >= kills:
                return
            if ended:  # it came to its end before the killer did
                more = self.plan.candidates or 0
                self.plan = self.plan.model_copy(update={"candidates": more + 10})

    def _watch(self, driver: Forked, kills: int) -> bool:
        """Read what the driver says, and kill; whether it came to its end by itself."""
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(driver.stdout, selectors.EVENT_READ)
            at = time.monotonic() + self.draw.uniform(0.0, _LONGEST)
            while True:
                wait = max(0.0, at - time.monotonic()) if self.kills.total() < kills else None
                if selector.select(timeout=wait):
                    data = os.read(driver.stdout.fileno(), 65536)
                    if not data:
                        if driver.wait() != 0:
                            raise RuntimeError("a driver failed by itself; see its message above")
                        return True
                    *lines, rest = (rest + data).split(b"\n")
                    self._take(lines)
                elif self._kill(driver) == "driver":
                    while data := os.read(driver.stdout.fileno(), 65536):
                        *lines, rest = (rest + data).split(b"\n")
                        self._take(lines)
                    return False
                else:
                    at = time.monotonic() + self.draw.uniform(0.0, _LONGEST)

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            kind, _, key = line.decode().partition(" ")
            if kind == "started":
                self.begun[key] += 1
                if key in self.recorded:
                    self.again.append(key)
            elif kind == "finished":
                self.recorded.add(key)

    def _kill(self, driver: Forked) -> str:
        workers = list(descendants(driver.pid))
        whom = self.draw.choice(self.kinds) if workers else "driver"
        if whom == "driver":
            driver.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.draw.choice(workers), signal.SIGKILL)
        self.kills[whom] += 1
        return whom

    def _check(self, *, ended: bool) -> None:
        counted = account(self.plan, self.registry, self.last, ended=ended)
        self.accounts += 1
        self.last = counted
        self.recorded |= counted.recorded
        self.wrong.update(counted.wrong)
        if counted.wrong:
            print(json.dumps(counted.wrong), flush=True)


def one_batch(arguments: argparse.Namespace, kills: int, seed: int) -> dict[str, Any]:
    """A discovery, so many kills in it, and what became of it."""
    begin, registry = time.perf_counter(), make_registry()
    kinds = arguments.kinds.split(",")
    with tempfile.TemporaryDirectory() as name:
        plan = make_plan(arguments, str(Path(name) / "killed"), arguments.candidates)
        killer = Killer(plan, registry, kinds, random.Random(seed))
        killer.run(kills)
        time.sleep(0.5)  # for orphans to end
        orphans, last = len(left()), killer.last
        assert last is not None
        result: dict[str, Any] = {
            "kills": dict(killer.kills),
            "accounts": killer.accounts,
            "wrong": dict(killer.wrong),
            "begun_again_though_recorded": len(killer.again),
            "left_processes": orphans,
            "candidates": len(last.trials),
            "runs_recorded": len(last.recorded),
            "runs_begun": killer.begun.total(),
            "runs_failed": dict(last.failed),
        }
        if kinds == ["driver"] and arguments.workers == 1:
            whole = killer.plan.model_copy(update={"folder": str(Path(name) / "whole")})
            Forked(lambda: run_discovery(whole, registry, Listener())).wait()
            same = account(whole, registry, None, ended=True)
            result["same_population_as_undisturbed"] = same.trials == last.trials
    result |= {"seed": seed, "workers": arguments.workers, "kinds": arguments.kinds}
    result |= {"seconds": round(time.perf_counter() - begin, 1)}
    return result


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All batches together."""
    total: dict[str, Any] = {}
    for run in runs:
        for name, value in run.items():
            if isinstance(value, dict):
                total[name] = dict(Counter(total.get(name, {})) + Counter(value))
            elif name in {"workers", "kinds", "seed"}:
                continue
            elif isinstance(value, bool):
                total[name] = total.get(name, True) and value
            else:
                total[name] = round(total.get(name, 0) + value, 1)
    return total


def main() -> int:
    """Run, account, print and write; 1 if anything does not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--batch", type=int, default=50, help="kills of one discovery")
    parser.add_argument("--candidates", type=int, default=20, help="at first; more where needed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", default="driver,worker", help="who is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    adopt()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    with tempfile.TemporaryDirectory() as name:  # what is forked from here has imported everything
        plan = make_plan(arguments, str(Path(name) / "warm"), 2)
        run_discovery(plan.model_copy(update={"workers": 0}), make_registry(), Listener())
    total = kill_in_batches(
        arguments.kills,
        lambda number, rest: one_batch(
            arguments, min(rest, arguments.batch), arguments.seed + number
        ),
        summed,
        f"discovering.py --kills {arguments.kills} --batch {arguments.batch} "
        f"--workers {arguments.workers} --kinds {arguments.kinds}",
        arguments.out,
    )
    bad = total["wrong"] or total["begun_again_though_recorded"] or total["left_processes"]
    return int(bool(bad) or not total.get("same_population_as_undisturbed", True))


if __name__ == "__main__":
    sys.exit(main())
