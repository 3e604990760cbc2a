"""What the driver of a search costs per trial, and how much two workers gain over one.

    python benchmarks/driver_overhead.py --trials 100 [--out results/driver_overhead.json]

A search of small real runs over a conditional space of six quantities. The overhead of a trial is
workers * wall time / trials, less the mean time inside the runs, less what Optuna spends on
sampling. Medians of several rounds. Run it on an idle machine: the gain of a second worker means
nothing on a busy one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import fmean, median
from typing import Any

import optuna

from attenergy.registry import load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.study.run import run_search


class Stopwatch:
    """Adds up the time inside functions that it wraps, the outermost call only."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed."""

        @wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            if self._inside:
                return function(*args, **options)
            self._inside, begin = True, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self._inside, self.seconds = False, self.seconds + time.perf_counter() - begin

        return timed


class FromFirst(Listener):
    """Notes when the first run ended: starting the workers is no cost of a trial."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def finished(self, record: RunRecord) -> None:
        """Note the time."""
        self.ended.append(time.perf_counter())


def measure(trials: int, workers: int, train_steps: int) -> dict[str, float]:
    """One search; milliseconds per trial."""
    watch, listener = Stopwatch(), FromFirst()
    ask, suggest = optuna.Study.ask, Space.suggest
    with tempfile.TemporaryDirectory() as folder:
        plan = SearchPlan(
            study="overhead",
            folder=folder,
            task="stacked-recall",
            task_options={"vocabulary": 16, "pairs": 4},
            variants=("softmax", "lse", "linear"),
            trials=trials,
            workers=workers,
            finalists=0,
            control=0,
            train_steps=train_steps,
            fix={"valid_instances": 32, "test_instances": 32, "heads": 1},
        )
        optuna.Study.ask = watch.wrap(ask)  # type: ignore[method-assign]
        Space.suggest = watch.wrap(suggest)  # type: ignore[method-assign]
        try:
            records = run_search(plan, load_registry(plugins=False), listener)
        finally:
            optuna.Study.ask, Space.suggest = ask, suggest  # type: ignore[method-assign]
    wall = listener.ended[-1] - listener.ended[0]
    inside = fmean(record.cost["seconds"] for record in records)
    sampling = watch.seconds / trials
    per_trial = workers * wall / (len(records) - 1)
    return {
        "workers": workers,
        "trials": len(records),
        "trials_per_second": (len(records) - 1) / wall,
        "run_ms": 1000 * inside,
        "ask_ms": 1000 * sampling,
        "overhead_ms": 1000 * (per_trial - inside),
        "overhead_beyond_asking_ms": 1000 * (per_trial - inside - workers * sampling),
    }


def main() -> None:
    """Measure with one worker and with two, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--train-steps", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    workers = arguments.workers
    rounds = []
    for _ in range(arguments.repeats):  # in turn, so that a slow minute slows all alike
        rounds.append([measure(arguments.trials, n, arguments.train_steps) for n in workers])
        for row in rounds[-1]:
            print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    medians = [
        {name: median(rows[place][name] for rows in rounds) for name in rounds[0][place]}
        for place in range(len(workers))
    ]
    result: dict[str, Any] = {"medians": medians, "rounds": rounds}
    result |= {"machine": provenance.machine(), "versions": provenance.versions()}
    if len(workers) > 1:
        gains = [rows[-1]["trials_per_second"] / rows[0]["trials_per_second"] for rows in rounds]
        result["gain"] = median(gains)
        print(f"{workers[-1]} workers run {result['gain']:.2f} x the trials of one (median)")
    for row in medians[:1]:
        print(f"{row['overhead_beyond_asking_ms']:.1f} ms beyond asking, {row['workers']:g} worker")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
