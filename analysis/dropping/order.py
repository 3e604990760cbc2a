"""In which order sub-layers are dropped: by their scores, and at random as the control."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, get_args

from torch import nn

from attenergy.analysis.dropping.evaluation import Evaluation
from attenergy.analysis.dropping.scores import scores_of
from attenergy.analysis.dropping.sublayers import Structure
from attenergy.analysis.subject import Inputs

Order = Literal["one-shot", "step-by-step"]
ORDERS: tuple[Order, ...] = get_args(Order)
_FEW, _COUNTS = 8, 6  # up to so many drops are all tried at random; of more, so many lengths


@dataclass(frozen=True)
class Step:
    """One more sub-layer or block is dropped.

    Attributes:
        name: which.
        score: by which it was chosen, 1 - cos(x, h).
        value: what the model is worth without it and those before it.
    """

    name: str
    score: float
    value: float


@dataclass(frozen=True)
class RandomDrops:
    """What the model is worth without so many, chosen at random, several times over."""

    count: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the values."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True, eq=False)
class Dropping:
    """A model, its sub-layers, what it is fed, what it is worth, and a call after every value."""

    model: nn.Module
    structure: Structure
    batches: Sequence[Inputs]
    evaluation: Evaluation
    progress: Callable[[], None]


def by_score(
    dropping: Dropping,
    candidates: Sequence[str],
    scores: dict[str, float],
    order: Order,
    count: int,
) -> tuple[Step, ...]:
    """Drop `count` candidates, the lowest score first; of equal ones the first comes first.

    Args:
        dropping: of what.
        candidates: names.
        scores: theirs in the whole model.
        order: whether the scores of the whole model decide, or those of what is left.
        count: how many.
    """
    steps: list[Step] = []
    dropped: list[str] = []
    for _ in range(count):
        if dropped and order == "step-by-step":
            scores = scores_of(dropping.model, dropping.structure, dropping.batches, dropped)
        left = [(scores.get(name, math.inf), name) for name in candidates if name not in dropped]
        name = min(left, key=itemgetter(0))[1]
        dropped.append(name)
        value = dropping.evaluation.value(dropped)
        steps.append(Step(name, scores.get(name, math.nan), value))
        dropping.progress()
    return tuple(steps)


def at_random(
    candidates: Sequence[str],
    counts: Sequence[int],
    orders: int,
    seed: int,
    evaluation: Evaluation,
    progress: Callable[[], None],
) -> tuple[RandomDrops, ...]:
    """What the model is worth without the first of the candidates in several random orders."""
    shuffled = []
    for number in range(orders):
        draw = random.Random(f"{seed}/{number}")
        shuffled.append(draw.sample(list(candidates), len(candidates)))
    drops = []
    for count in counts if orders else ():
        values = []
        for names in shuffled:
            values.append(evaluation.value(names[:count]))
            progress()
        drops.append(RandomDrops(count, tuple(values)))
    return tuple(drops)


def spread(most: int) -> list[int]:
    """1 to `most`, or some of them that are evenly spread, with both ends."""
    if most <= _FEW:
        return list(range(1, most + 1))
    return sorted({1 + round(i * (most - 1) / (_COUNTS - 1)) for i in range(_COUNTS)})
