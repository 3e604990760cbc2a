"""What each laptop task learns fastest with: its own recipe, or one that differs in the optimiser.

    python benchmarks/recipes.py [--tasks a,b] [--recipes adamw,muon] [--seeds 1]

Softmax attention is trained on every task with every recipe, for the task's own number of steps.
The table shows, for each, the score on valid at the end and its mean over the curve, which is
higher the sooner a task is learned. A run that is interrupted goes on when it is started again.
Where a task has its preset from this table, that stands in CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from attenergy import load_registry
from attenergy.registry import Registry
from attenergy.search.comparison.compare import ComparePlan, run_compare
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.tasks import make_task

#: What each recipe fixes of a task's own training.
RECIPES: dict[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw"},
    "muon": {"optimizer": "muon", "muon_learning_rate": 0.02, "weight_decay": 0.1},
    "muon-slow": {"optimizer": "muon", "muon_learning_rate": 0.005, "weight_decay": 0.1},
    "muon-free": {"optimizer": "muon", "muon_learning_rate": 0.02, "weight_decay": 0.01},
}
RESULTS = Path(__file__).parent / "results" / "recipes.json"
LONGEST = 150.0  # seconds that a task's entry names; longer ones are named with --tasks


def laptop_tasks(registry: Registry) -> list[str]:
    """Names of the tasks that train, and for minutes at most."""
    return [
        name
        for name, task in registry.tasks.items()
        if task.training.steps and (task.seconds or LONGEST + 1) <= LONGEST
    ]


def train(registry: Registry, task: str, recipe: str, seeds: int, folder: Path) -> list[RunRecord]:
    """Train softmax attention on a task by a recipe, once for every seed."""
    plan = ComparePlan(
        name=f"{task}-{recipe}",
        folder=str(folder / f"{task}-{recipe}"),
        task=task,
        variants=("softmax",),
        seeds=seeds,
        workers=0,
        fix=RECIPES[recipe],
    )
    return run_compare(plan, registry, Listener())


def figures(records: list[RunRecord], metric: str) -> dict[str, Any]:
    """The scores of a recipe on every split, and the mean of its curves on valid."""
    done = [record for record in records if record.status == "complete"]
    splits = done[0].metrics if done else {}
    curves = [[point[metric] for point in record.curve if metric in point] for record in done]
    return {
        "seeds": len(done),
        "scores": {s: [record.metrics[s][metric] for record in done] for s in splits},
        "mean_of_curve": [fmean(curve) for curve in curves if curve],
        "training_seconds": [record.cost.get("seconds") for record in done],
        "training": records[0].config.training.model_dump() if records else {},
    }


def main() -> None:
    """Train what is asked for and not recorded yet; print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help="by default all that take minutes")
    parser.add_argument("--recipes", default="adamw,muon")
    parser.add_argument("--seeds", type=int, default=1)
    default = Path(tempfile.gettempdir()) / "attenergy-recipes"
    parser.add_argument("--folder", type=Path, default=default, help="of the runs")
    given = parser.parse_args()
    registry = load_registry()
    table = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    print(f"{'task':34} {'recipe':10}  valid  curve", flush=True)
    for name in given.tasks.split(",") if given.tasks else laptop_tasks(registry):
        metric = make_task(name, registry=registry).metric
        for recipe in given.recipes.split(","):
            row = figures(train(registry, name, recipe, given.seeds, given.folder), metric)
            table.setdefault(name, {})[recipe] = row
            valid = row["scores"].get("valid", [float("nan")])
            curve = row["mean_of_curve"] or [float("nan")]
            print(f"{name:34} {recipe:10} {fmean(valid):6.3f} {fmean(curve):6.3f}", flush=True)
            RESULTS.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
