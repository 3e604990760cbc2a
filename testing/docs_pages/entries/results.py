"""Scores of variants on tasks that are recorded in `benchmarks/results`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class Score:
    """The mean of a variant's scores on one split of a task, over seeds."""

    variant: str
    task: str
    metric: str
    split: str
    mean: float
    seeds: int
    how: str  # what was trained: steps or recipe
    file: str


def scores(folder: Path) -> list[Score]:
    """All scores that the files of a folder hold; a file that is not there holds none."""
    out: list[Score] = []
    for name, read in _READERS.items():
        path = folder / name
        if path.exists():
            out += read(json.loads(path.read_text(encoding="utf-8")), name)
    return out


def _smoke(data: Any, file: str) -> Iterator[Score]:
    for column in data["columns"]:
        for variant, score in column["scores"].items():
            yield Score(
                variant, column["task"], column["metric"], column["split"], score["mean"],
                score["count"], "the task's own recipe", file,
            )  # fmt: skip


def _pools(data: Any, file: str) -> Iterator[Score]:
    for pool in data:
        steps = re.search(r"--steps (\d+)", pool["command"])
        how = f"{steps.group(1)} steps" if steps else "the task's own recipe"
        values = list(pool["scores"].values())
        yield Score(
            pool["variant"], pool["task"], "accuracy", "valid", fmean(values), len(values), how,
            file,
        )  # fmt: skip


def _energy_loss(data: Any, file: str) -> Iterator[Score]:
    for name, result in data["results"].items():
        task, _, variant = name.partition("/")
        values = list(result["terms"]["none"]["test"].values())
        yield Score(
            variant, task, result["metric"], "test", fmean(values), len(values),
            "the task's own recipe", file,
        )  # fmt: skip


def _recipes(data: Any, file: str) -> Iterator[Score]:
    for task, recipes in data.items():
        for recipe, result in recipes.items():
            values = result["scores"].get("valid", [])
            training = result["training"]
            how = f"{training['steps']} steps, recipe {recipe}"
            if values:
                yield Score(
                    "softmax", task, "", "valid", fmean(values), len(values), how, file
                )  # fmt: skip


def _study(data: Any, file: str) -> Iterator[Score]:
    for row in data:
        yield Score(**{key: row[key] for key in row if key != "interval"}, file=file)


#: A file of scores -> how it is read. What a study writes later is one more row.
_READERS: dict[str, Callable[[Any, str], Iterator[Score]]] = {
    "smoke.json": _smoke,
    "deciding_pools.json": _pools,
    "energy_loss.json": _energy_loss,
    "recipes.json": _recipes,
    "study.json": _study,
}
