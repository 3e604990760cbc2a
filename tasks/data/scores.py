"""Chance levels and scores of answers to a finite set of data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attenergy.tasks.core.base import IGNORE


def class_chance(train: Tensor, test: Tensor, classes: int) -> dict[str, float]:
    """What the class that is most frequent in training scores on test.

    Args:
        train: classes, any shape, `IGNORE` where there is none.
        test: the same.
        classes: how many.
    """
    seen = train[train != IGNORE].bincount(minlength=classes)
    scored = test != IGNORE
    hits = (test == seen.argmax()) & scored
    each = hits.flatten(1).sum(1) / scored.flatten(1).sum(1) if test.ndim > 1 else hits.double()
    occurs = torch.unique(test[scored])
    return {
        "accuracy": each.double().mean().item(),
        "balanced_accuracy": float(seen.argmax() in occurs) / max(1, len(occurs)),
    }


def number_chance(train: Tensor, test: Tensor) -> dict[str, float]:
    """`r2` on test of answering the mean in training, at most 0.

    Args:
        train: (..., T), NaN where there is none.
        test: the same.
    """
    known = train.flatten(0, -2)
    known = known[~known.isnan().any(-1)]
    spread, mean = known.std(0, correction=0), known.mean(0)
    answers = mean.expand_as(test)
    return {"r2": r_squared(sums_of_numbers(answers / spread, test / spread, spread))["r2"]}


def sums_of_numbers(answers: Tensor, targets: Tensor, spread: Tensor) -> dict[str, Tensor]:
    """Sums over scored positions: how many, of y, y^2, (y - z)^2, and of that in the units of y.

    Args:
        answers: z (..., T), standardised.
        targets: y (..., T), standardised, NaN where not scored.
        spread: (T,), the units.
    """
    scored = ~targets.isnan().any(-1)
    y, z = targets[scored].double().cpu(), answers[scored].double().cpu()
    squares = (y - z).square()
    return {
        "count": torch.tensor(len(y), dtype=torch.float64),
        "y": y.sum(0),
        "y2": y.square().sum(0),
        "squares": squares.sum(0),
        "units": (squares * spread.double().square()).sum(),
    }


def r_squared(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """`r2` = 1 - sum (y - z)^2 / sum (y - mean y)^2 over all numbers, and `rmse`.

    Where y does not vary, `r2` is 0, as in what guesses the mean.
    """
    count = sums["count"].item()
    around = (sums["y2"] - sums["y"].square() / count).sum().item()
    r2 = 1 - sums["squares"].sum().item() / around if around > 1e-12 * count else 0.0
    return {"r2": r2, "rmse": (sums["units"].item() / (count * sums["y"].numel())) ** 0.5}
