"""Which of two searches chose better? Their winners, trained again over seeds that neither saw.

    python benchmarks/searches/choices.py runs/thirty runs/ten --seeds 16 --folder runs/choices

The winner of a study is the first row of its leaderboard. Both winners are trained over the same
fresh seeds, and the report has the paired difference with its 95 % interval, the mean of each, and
what each search cost. A run that the folder holds already is not made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from attenergy.registry.files import write_atomically
from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.engines.base import Resources, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.results.statistics import Interval, mean_interval, paired_difference
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import machine, now
from attenergy.search.runs.records import RunStore

RESULTS = Path(__file__).parents[1] / "results" / "choices.json"
FIRST_SEED = 50_000


class Lines(Listener):
    """One line for every run that ended."""

    def finished(self, record: RunRecord) -> None:
        """Say what it gave."""
        print(record.config.variant, record.config.seed, record.metrics.get("valid"), flush=True)


def winner(study: Study) -> RunConfig:
    """The configuration of the first row of a study's leaderboard."""
    row = study.leaderboard().rows[0]
    return next(r.config for r in study.records if r.key == row.keys[0])


def train(choices: list[RunConfig], seeds: range, folder: Path, workers: int) -> RunStore:
    """Train every choice over every seed; the store holds the records."""
    store = RunStore(folder)
    configs = [choice.model_copy(update={"seed": seed}) for seed in seeds for choice in choices]
    with make_executor(Resources(workers=workers), folder) as executor:
        run_all(configs, "compare", executor, store, Lines())
    return store


def scores(choice: RunConfig, seeds: range, store: RunStore, metric: str) -> dict[int, float]:
    """Seed -> score on valid; a run that diverged has 0."""
    values = {}
    for seed in seeds:
        record = store.get(choice.model_copy(update={"seed": seed}).run_key())
        assert record is not None
        values[seed] = record.metrics["valid"][metric] if record.status == "complete" else 0.0
    return values


def rounded(interval: Interval) -> list[float]:
    """The ends of an interval, or none of a single value."""
    return [round(end, 4) for end in (interval.low, interval.high) if end is not None]


def about(study: Study, values: dict[int, float]) -> dict[str, Any]:
    """What a search cost, what it chose, and how good that is."""
    mean = mean_interval(list(values.values()))
    row = study.leaderboard().rows[0]
    return {
        "study": study.folder.name,
        "runs": len(study.records),
        "seconds_on_runs": round(sum(r.cost.get("seconds", 0.0) for r in study.records), 1),
        "sessions": [session.sentence for session in read_sessions(study.folder).sessions],
        "choice": row.variant,
        "settings": row.settings,
        "mean": round(mean.mean, 4),
        "interval": rounded(mean),
        "scores": [round(value, 4) for value in values.values()],
    }


def main() -> None:
    """Train the winners and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="folder of a study")
    parser.add_argument("second", type=Path, help="folder of another one on the same task")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, required=True, help="where runs are recorded")
    arguments = parser.parse_args()
    studies = [read_study(arguments.first), read_study(arguments.second)]
    choices = [winner(study) for study in studies]
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    store = train(choices, seeds, arguments.folder, arguments.workers)
    metric = studies[0].task.metric
    values = [scores(choice, seeds, store, metric) for choice in choices]
    first, second = values
    difference = paired_difference(first, second)
    assert difference is not None
    report = {
        "task": choices[0].task_spec.title,
        "metric": f"{metric} on valid",
        "seeds": len(seeds),
        "searches": [about(*each) for each in zip(studies, values, strict=True)],
        "second_minus_first": {
            "mean": round(difference.mean, 4),
            "interval": rounded(difference),
        },
        "when": now(),
        "machine": machine(),
    }
    write_atomically(RESULTS, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
