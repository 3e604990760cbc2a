"""Halving whose survivors go on: what do short runs say of long ones, and what is saved?

    python benchmarks/growing.py --out benchmarks/results/growing.json

Configurations are drawn at random (variant, learning rates, weight decay, heads), and each is
trained to every rung with the schedule `constant_tail`: a rung is a whole run with a tail of its
own, which goes on from where the tail of the rung before began. The same with the schedule
`cosine`, where every rung is a training from the first step. For both it tells the rank correlation
(Spearman) of every rung with the last, and what successive halving (the better half goes on) would
have chosen, and spent: with survivors that go on, with survivors that begin anew, and with every
configuration trained to the end. A score is the negative loss on valid, which still tells
configurations apart where all are right. What the file of `--out` holds already counts.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attenergy.registry import load_registry
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs import provenance
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training.checkpoint import Saver
from attenergy.search.training.train import train

VARIANTS = ("softmax", "lse", "linear", "rbm", "hyla", "sparsemax")
SCHEDULES = ("constant_tail", "cosine")


def draw(number: int, schedule: str, steps: int, arguments: argparse.Namespace) -> RunConfig:
    """The configuration of a number, trained for so many steps."""
    chance = random.Random(number)
    variant = VARIANTS[number % len(VARIANTS)]
    fix = {
        "heads": chance.choice((2, 4, 8)),
        "learning_rate": 10 ** chance.uniform(-3.3, -2),
        "muon_learning_rate": 10 ** chance.uniform(-2.3, -1.3),
        "weight_decay": chance.choice((0.0, 0.03, 0.1, 0.3)),
    }
    fix |= {"width": arguments.width, "batch_size": arguments.batch, "warmup": 5}
    fix |= {"valid_instances": 256, "test_instances": 64, "evaluate_every": 50}
    plan = ComparePlan(
        name="growing", folder="unused", task=arguments.task, variants=(variant,), steps=steps,
        fix={**fix, "schedule": schedule},
    )  # fmt: skip
    return configure(plan, load_registry(plugins=False), variant)


def climb(number: int, schedule: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One configuration at every rung: scores, and the steps that were made for each."""
    result: dict[str, Any] = {"number": number, "schedule": schedule, "scores": [], "made": []}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), seconds=0, keep=True)
        for steps in arguments.rungs:
            config = draw(number, schedule, steps, arguments)
            saver = Saver(checkpoints, config, lambda *_: None)
            record = train(config, saver=saver if schedule == "constant_tail" else None)
            result["scores"].append(_score(record))
            result["made"].append(steps - sum(record.continued[-1:]))
            result["variant"] = config.variant
    return result


def _score(record: RunRecord) -> float | None:
    return -record.metrics["valid"]["loss"] if record.status == "complete" else None


def halving(runs: list[dict[str, Any]], rungs: list[int]) -> dict[str, Any]:
    """What successive halving chooses from runs of one schedule, and the steps that it takes."""
    scores = np.array([[-1e9 if s is None else s for s in run["scores"]] for run in runs])
    alive, going_on, anew = np.arange(len(runs)), 0, 0
    for place, steps in enumerate(rungs):
        going_on += sum(runs[one]["made"][place] for one in alive)
        anew += steps * len(alive)
        if place + 1 < len(rungs):
            order = np.argsort(-scores[alive, place], kind="stable")
            alive = alive[order[: max(1, len(alive) // 2)]]
    chosen = alive[np.argmax(scores[alive, -1])]
    return {
        "chosen": float(scores[chosen, -1]),
        "best": float(scores[:, -1].max()),
        "rank_of_chosen": int((scores[:, -1] > scores[chosen, -1]).sum()) + 1,
        "steps_going_on": int(going_on),
        "steps_anew": int(anew),
        "steps_of_all": len(runs) * rungs[-1],
        "correlation_with_end": [
            round(spearman(scores[:, place], scores[:, -1]), 3) for place in range(len(rungs))
        ],
        "mean_at_end": round(float(scores[:, -1].mean()), 4),
    }


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of ranks; equal values have the mean of their ranks."""
    if min(np.ptp(x), np.ptp(y)) == 0:  # nothing to order
        return 0.0
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(x: np.ndarray) -> np.ndarray:
    less, equal = x[None, :] < x[:, None], x[None, :] == x[:, None]
    ranks: np.ndarray = less.sum(1) + (equal.sum(1) - 1) / 2
    return ranks


def main() -> None:
    """Train, tell and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="stacked-recall-small")
    parser.add_argument("--configurations", type=int, default=16)
    parser.add_argument("--rungs", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    if arguments.out is not None and arguments.out.exists():
        runs = json.loads(arguments.out.read_text())["runs"]
    done = {(run["number"], run["schedule"]) for run in runs}
    for number in range(arguments.configurations):
        for schedule in SCHEDULES:
            if (number, schedule) in done:
                continue
            runs.append(climb(number, schedule, arguments))
            print(json.dumps(runs[-1]), flush=True)
            about = {n: v for n, v in vars(arguments).items() if n != "out"}
            by_schedule = {s: [run for run in runs if run["schedule"] == s] for s in SCHEDULES}
            report = {
                "command": "python benchmarks/growing.py --out benchmarks/results/growing.json",
                "about": about,
                "halving": {s: halving(r, arguments.rungs) for s, r in by_schedule.items() if r},
                "versions": provenance.versions(),
                "machine": provenance.machine(),
                "runs": runs,
            }
            if arguments.out is not None:
                arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    if runs:
        print(json.dumps(report["halving"], indent=2))


if __name__ == "__main__":
    main()
