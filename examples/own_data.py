"""Two variants on a CSV file of one's own and on scikit-learn's digits, with few steps.

Run it with `python examples/own_data.py`; it takes `pip install attenergy[data]`.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import attenergy
from attenergy.search.comparison.compare import ComparePlan, run_compare
from attenergy.search.runs.events import Listener


def write_table(path: Path) -> None:
    """Houses: a dear one is large or stands by the sea."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["size", "place", "age", "price"])
        for _ in range(300):
            size, place = draw.gauss(100, 30), draw.choice(["sea", "town", "hills"])
            dear = size > 120 or place == "sea"
            rows.writerow([f"{size:.1f}", place, draw.randint(0, 90), "high" if dear else "low"])


def main(steps: int = 60, folder: Path | None = None) -> None:
    """Compare, and print what each scores beside chance."""
    registry = attenergy.load_registry()
    with TemporaryDirectory() as temporary:
        home = folder or Path(temporary)
        write_table(home / "houses.csv")
        houses = {"path": str(home / "houses.csv"), "target": "price"}
        for task, options in (("table", houses), ("digits", {})):
            print(attenergy.make_task(task, registry=registry, **options).describe())
            plan = ComparePlan(
                name=task, folder=str(home / task), task=task, task_options=options,
                variants=("softmax", "rbm"), seeds=1, steps=steps, workers=0,
            )  # fmt: skip
            for record in run_compare(plan, registry, Listener()):
                print(f"{record.config.variant}: {record.metrics['test']['accuracy']:.3f}")


if __name__ == "__main__":
    main()
