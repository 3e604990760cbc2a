"""Symbolic Raven matrices: how many are ambiguous, and how many an exact solver gets right.

Three counts: matrices with two or more possible last panels; those the paper's check finds (every
feature of the last panel wrong at once, its Table A2); and the answers of the solver, with a prior
over all combinations of rules or over those of the split.
"""

from __future__ import annotations

from typing import Any

import torch
from curves import Data, mean_and_error, run

from attenergy.tasks import Raven
from attenergy.tasks.raven.ceiling import wholly_ambiguous

PAPER = {4: [0.0642, 0.0038], 8: [0.0032, 0.0009], 16: [0.0005, 0.0003]}  # values: Table A2


def measure(quick: bool) -> Data:
    counted, solved = (512, 512) if quick else (4096, 20_480)
    full = Raven()
    return {
        "paper_check": {
            "instances": counted,
            "paper": PAPER,
            "measured": {values: paper_check(values, counted) for values in PAPER},
        },
        "paper_size": {"instances": solved}
        | {split: solve(full, split, solved) for split in ("test", "ood")},
        "by_features": {
            features: {
                split: solve(Raven(features=features), split, counted) for split in ("test", "ood")
            }
            for features in (1, 2, 3, 4)
        },
    }


def paper_check(values: int, count: int) -> tuple[float, float]:
    task = Raven(values=values)
    panels = task.instances("test", 0, count)["panels"]
    return mean_and_error(wholly_ambiguous(panels, task.rules, values, permute=True))


def solve(task: Raven, split: str, count: int) -> dict[str, tuple[float, float]]:
    truth = task.instances(split, 0, count)["panels"][:, -1, -1]
    every = task.solve_many(split, 0, count, prior="all")
    own = task.solve_many(split, 0, count)

    def right(answer: torch.Tensor) -> torch.Tensor:
        return (answer == truth).double()

    return {
        "ambiguous": mean_and_error(every.answers > 1),
        "accuracy, prior over all": mean_and_error(right(every.answer).prod(-1)),
        "confidence, prior over all": mean_and_error(every.confidence),
        "features right, prior over all": mean_and_error(right(every.answer).mean(-1)),
        "accuracy, prior over own split": mean_and_error(right(own.answer).prod(-1)),
        "confidence, prior over own split": mean_and_error(own.confidence),
    }


def draw(axes: Any, data: Data) -> None:
    axis, shares = axes[0], data["by_features"]
    for name, style in (("confidence, prior over own split", "o-"), ("ambiguous", "s--")):
        for split, colour in (("test", "C0"), ("ood", "C1")):
            means, errors = zip(*(shares[k][split][name] for k in shares), strict=True)
            label = f"{name.split(',')[0].replace('confidence', 'ceiling')}, {split}"
            axis.errorbar(list(shares), means, errors, fmt=style, color=colour, label=label)
    axis.set(xlabel="features K", ylabel="share of matrices", xticks=list(shares), ylim=(0, 1.03))
    axis.legend(frameon=False)


if __name__ == "__main__":
    run("raven_ceiling", __doc__, measure, draw)
