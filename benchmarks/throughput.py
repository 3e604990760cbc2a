"""How many trials an hour, and how long until something is learned, beside a plain Optuna loop.

    python benchmarks/throughput.py [--quick]

Three searches of raven-small take turns on the same two cores, round by round: the loop that a
user would write (`searches/plain_optuna_loop.py`) in one process with two threads, the same in two
processes of one thread over one storage, and `attenergy search --workers 2`. All train softmax
attention by AdamW, for as many steps of as many instances, and evaluate it on valid, test and ood.
Trials an hour count from the begin of the first trial to the end of the last, so starting up
counts for neither side; medians over rounds.

Then the computing until the accuracy on valid is .45, with evaluations left out: seconds of one
core, one thread each. Ours is a search of one trial with Muon, .02 and decay .1; the loop has
AdamW 3e-3, and its cosine is as long as 8.5 times our seconds allow. If it has not arrived by
then, its seconds are a lower bound.

Every measurement is written to `--out` as soon as it is made, and made once: after a break give
the command again, to measure anew add `--again`. About 15 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import optuna

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.engines.worker import one_thread
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs import provenance
from attenergy.search.runs.events import Listener
from attenergy.search.study.run import run_search
from attenergy.search.training.train import train

LOOP = Path(__file__).parent / "searches" / "plain_optuna_loop.py"
RESULT = Path(__file__).parent / "results" / "throughput.json"
CORES = 2
TRIALS_TARGET, LEVEL_TARGET = 2.2, 8.0
BUDGET = 8.5  # times our seconds, that the loop has to reach the level
Figures = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    trials: int = 6  # an even number: two processes share them
    steps: int = 600
    level: float = 0.45
    level_steps: int = 1600  # of ours
    every: int = 100  # steps between two evaluations until the level


FULL = Size()
QUICK = Size(rounds=1, trials=2, steps=40, level=0.02, level_steps=40, every=20)


def one_loop(size: Size) -> Figures:
    """The plain loop, one process with two threads."""
    return _rate(_loops([_loop(size, size.trials, CORES)]))


def two_loops(size: Size) -> Figures:
    """The plain loop in two processes with one thread, over one storage."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/plain.db"  # made first, or both would make its tables
        optuna.create_study(study_name="plain", storage=storage, direction="maximize")
        command = [*_loop(size, size.trials // CORES, 1), "--storage", storage]
        return _rate(_loops([command] * CORES))


def search_two_workers(size: Size) -> Figures:
    """`attenergy search --workers 2`."""
    fixed = {"heads": 8, "optimizer": "adamw", "evaluate_every": size.steps}
    plan = _plan("throughput", size.trials, size.steps, fixed, CORES)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan.model_copy(update={"folder": folder})
        records = run_search(plan, load_registry(plugins=False), Listener())
    if any(record.status != "complete" for record in records):
        raise RuntimeError("; ".join(record.reason for record in records if record.reason))
    begins = [datetime.fromisoformat(record.started).timestamp() for record in records]
    ends = [b + r.cost["seconds"] for b, r in zip(begins, records, strict=True)]
    return _rate([{"trials": len(records), "begin": min(begins), "end": max(ends)}])


def search_until(size: Size) -> Figures:
    """A trial of ours as a worker trains it; seconds of one core until the level."""
    muon = {"optimizer": "muon", "muon_learning_rate": 0.02, "learning_rate": 3e-3}
    fixed = {"heads": 8, "weight_decay": 0.1, "evaluate_every": size.every, **muon}
    plan = _plan("until", 1, size.level_steps, fixed, 0)
    (config,) = Space(load_registry(plugins=False), plan).each()
    clock = StepClock(size.level)
    with one_thread():
        train(config, report=clock.report, evaluated=clock.evaluated)
    return clock.figures()


class StepClock:
    """Seconds of the processor between evaluations, until the accuracy reaches a level."""

    def __init__(self, level: float) -> None:
        self._level, self._seconds, self._steps, self._best = level, 0.0, 0, 0.0
        self._since = time.process_time()

    def report(self, step: int, steps: int, loss: float) -> None:
        """A step has been made."""
        now = time.process_time()
        self._seconds, self._since, self._steps = self._seconds + now - self._since, now, step

    def evaluated(self, point: dict[str, float]) -> str:
        """Whether to go on: a text ends the run."""
        self._best = max(self._best, point["accuracy"])
        self._since = time.process_time()
        return "the level is reached" if self._best >= self._level else ""

    def figures(self) -> Figures:
        """What was measured."""
        reached = self._best >= self._level
        return {
            "seconds": self._seconds,
            "steps": self._steps,
            "valid": self._best,
            "reached": reached,
        }


def loop_until(size: Size, seconds: float, per_step: float) -> Figures:
    """The plain loop, one thread; as many steps as `BUDGET` times `seconds` allow."""
    steps = math.ceil(BUDGET * seconds / per_step)
    options = ["--until", f"{size.level}", "--evaluate-every", f"{size.every}"]
    (figures,) = _loops([[*_loop(size, 1, 1), *options, "--steps", f"{steps}"]])
    return figures


RATES: dict[str, Callable[[Size], Figures]] = {
    "plain loop, one process": one_loop,
    "plain loop, two processes": two_loops,
    "attenergy search, two workers": search_two_workers,
}
OURS_UNTIL, LOOP_UNTIL = "attenergy search, until", "plain loop, until"


def measure(size: Size, result: Figures, save: Callable[[], None]) -> None:
    """Make the measurements that are missing in `result`."""
    rounds: list[dict[str, Figures]] = result.setdefault("rounds", [])
    while len(rounds) < size.rounds:
        rounds.append({})
    for number, row in enumerate(rounds, 1):
        for name, side in RATES.items():
            if name not in row:
                row[name] = side(size)
                save()
            print(f"round {number}: {name} {row[name]['per_hour']:.0f} trials an hour", flush=True)
    if OURS_UNTIL not in result:
        result[OURS_UNTIL] = search_until(size)
        save()
    if LOOP_UNTIL not in result:
        per_step = median(row["plain loop, two processes"]["cpu_per_step"] for row in rounds)
        result[LOOP_UNTIL] = loop_until(size, result[OURS_UNTIL]["seconds"], per_step)
        save()
    for name in (OURS_UNTIL, LOOP_UNTIL):
        row = result[name]
        reached = f"valid {row['valid']:.3f} after {row['steps']} steps"
        print(f"{name} {size.level:g}: {row['seconds']:.1f} s of one core, {reached}", flush=True)


def targets(result: Figures) -> list[tuple[str, str, str, str]]:
    """name, target, measured, verdict."""

    def ratio(name: str) -> float:
        ours = "attenergy search, two workers"
        return median(row[ours]["per_hour"] / row[name]["per_hour"] for row in result["rounds"])

    one, two = ratio("plain loop, one process"), ratio("plain loop, two processes")
    ours, loop = result[OURS_UNTIL], result[LOOP_UNTIL]
    faster = loop["seconds"] / ours["seconds"]
    least = "" if loop["reached"] else "more than "
    met = ours["reached"] and faster >= LEVEL_TARGET
    return [
        (
            "trials an hour / plain loop in one process",
            f">= {TRIALS_TARGET:g}",
            f"{one:.2f}",
            "met" if one >= TRIALS_TARGET else "missed",
        ),
        ("trials an hour / plain loop in two processes", "none", f"{two:.2f}", "for comparison"),
        (
            "computing until the level, plain loop / ours",
            f">= {LEVEL_TARGET:g}",
            f"{least}{faster:.1f}",
            "met" if met else "missed",
        ),
    ]


def _plan(study: str, trials: int, steps: int, fixed: dict[str, Any], workers: int) -> SearchPlan:
    return SearchPlan(
        study=study,
        folder="",
        task="raven-small",
        variants=("softmax",),
        trials=trials,
        workers=workers,
        finalists=0,
        control=0,
        train_steps=steps,
        fix=fixed,
    )


def _loop(size: Size, trials: int, threads: int) -> list[str]:
    words = {"--trials": trials, "--steps": size.steps, "--threads": threads}
    return [sys.executable, str(LOOP), *(f"{x}" for pair in words.items() for x in pair)]


def _loops(commands: list[list[str]]) -> list[Figures]:
    """Run loops side by side; what each wrote on its last line."""
    environment = {name: x for name, x in os.environ.items() if name != "OMP_NUM_THREADS"}
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            )
            for command in commands
        ]
        outputs = [process.communicate()[0] for process in running]
    for process in running:
        if process.returncode:
            raise RuntimeError(f"the plain loop ended with exit code {process.returncode}")
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def _rate(parts: list[Figures]) -> Figures:
    """Trials an hour of searches side by side."""
    trials = sum(part["trials"] for part in parts)
    seconds = max(part["end"] for part in parts) - min(part["begin"] for part in parts)
    rate: Figures = {"trials": trials, "seconds": seconds, "per_hour": 3600 * trials / seconds}
    if "cpu_per_step" in parts[0]:
        rate["cpu_per_step"] = median(part["cpu_per_step"] for part in parts)
    return rate


def main() -> None:
    """Measure what is missing, and print the targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    if arguments.rounds is not None:
        size = replace(size, rounds=arguments.rounds)
    quick = Path(tempfile.gettempdir()) / "throughput_quick.json"
    path = arguments.out or (quick if arguments.quick else RESULT)
    result: Figures = {}
    if path.exists() and not (arguments.again or (arguments.quick and arguments.out is None)):
        before = json.loads(path.read_text())
        same = replace(Size(**before["size"]), rounds=size.rounds) == size
        result = before if same and before["versions"] == provenance.versions() else {}
    result |= {
        "size": asdict(size),
        "machine": provenance.machine(),
        "versions": provenance.versions(),
    }

    def save() -> None:
        write_atomically(path, json.dumps(result, indent=2) + "\n")

    measure(size, result, save)
    result["targets"] = targets(result)
    save()
    print("name, target, measured, verdict")
    for row in result["targets"]:
        print(", ".join(row))


if __name__ == "__main__":
    main()
