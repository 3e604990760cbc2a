"""Curves through accuracies: a power that levels off, and a straight line in doublings.

Against instances, what is missing of a plateau falls as a power of them,

    a = c * (1 - (x / s)^-g),      a: accuracy, c: plateau, s: where it leaves zero, g: power,

the form of fitted laws of loss. Against layers and width few sizes are recorded, so a straight
line in the logarithm says by how much a doubling raises the accuracy. Both by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attenergy.search.results.statistics import t_quantile

Points = Mapping[float, Sequence[float]]  # size -> accuracies over seeds
POWERS = np.geomspace(0.05, 20.0, 301)
PLATEAUS = 1000  # how many between none and the ceiling are tried


@dataclass(frozen=True)
class LevellingOff:
    """A power that levels off.

    Attributes:
        plateau: the accuracy that it goes to.
        low: lower end of its 95 % interval: all plateaus that fit about as well, by an F test.
        high: the upper end, at most the ceiling.
        start: where the curve leaves zero.
        power: by which the rest of the plateau falls.
        residual: root mean square of accuracies minus the curve.
        ceiling: the highest that can be.
    """

    plateau: float
    low: float
    high: float
    start: float
    power: float
    residual: float
    ceiling: float

    def __call__(self, x: float | np.ndarray) -> np.ndarray:
        across = np.maximum(np.asarray(x, dtype=float), self.start)
        result: np.ndarray = self.plateau * (1 - (across / self.start) ** -self.power)
        return result


@dataclass(frozen=True)
class Line:
    """A straight line in the logarithm of the size.

    Attributes:
        doubling: how much the accuracy rises with twice the size.
        low: lower end of its 95 % interval, by Student's t over the runs about the line.
        high: the upper end.
        at_one: the accuracy at size 1.
    """

    doubling: float
    low: float
    high: float
    at_one: float

    def __call__(self, x: float | np.ndarray) -> np.ndarray:
        result: np.ndarray = self.at_one + self.doubling * np.log2(np.asarray(x, dtype=float))
        return result


def levelling_off(points: Points, ceiling: float) -> LevellingOff | None:
    """Fit a power that levels off, by trying plateaus and powers.

    None for fewer than three sizes or four runs, or where nothing grows.

    Args:
        points: size -> accuracies.
        ceiling: the highest plateau that can be.
    """
    x, a = _pairs(points)
    if len(points) < 3 or len(x) < 4 or not _doubling(x, a) > 0:
        return None
    middle = math.exp(float(np.log(x).mean()))
    falls = (x / middle) ** -POWERS[:, None]  # (powers, runs)
    plateaus = np.linspace(0.0, ceiling, PLATEAUS + 1)[1:]
    missing = plateaus[:, None] - a  # (plateaus, runs)
    together, own = missing @ falls.T, (falls**2).sum(-1)  # (plateaus, powers), (powers,)
    scale = np.maximum(together / own, 1e-12)
    squares = (missing**2).sum(-1)[:, None] - 2 * scale * together + scale**2 * own
    p, g = np.unravel_index(int(squares.argmin()), squares.shape)
    least, free = float(squares[p, g]), len(x) - 3
    fits = squares.min(-1) <= least * (1 + t_quantile(free) ** 2 / free) + 1e-12
    power = float(POWERS[g])
    return LevellingOff(
        plateau=float(plateaus[p]),
        low=float(plateaus[fits][0]),
        high=float(plateaus[fits][-1]),
        start=middle * float(scale[p, g] / plateaus[p]) ** (1 / power),
        power=power,
        residual=math.sqrt(max(least, 0.0) / len(x)),
        ceiling=ceiling,
    )


def line(points: Points) -> Line | None:
    """Fit a straight line in doublings; None for fewer than two sizes or three runs."""
    x, a = _pairs(points)
    if len(points) < 2 or len(x) < 3:
        return None
    doubling = _doubling(x, a)
    across = np.log2(x)
    at_one = float(a.mean() - doubling * across.mean())
    left = a - at_one - doubling * across
    spread = float(((across - across.mean()) ** 2).sum())
    free = len(x) - 2
    margin = t_quantile(free) * math.sqrt(float(left @ left) / free / spread)
    return Line(doubling, doubling - margin, doubling + margin, at_one)


def _pairs(points: Points) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(x, a) for x, values in points.items() for a in values]
    x, a = np.array(pairs, dtype=float).reshape(-1, 2).T
    return x, a


def _doubling(x: np.ndarray, a: np.ndarray) -> float:
    """The slope over log2(x), by least squares."""
    centred = np.log2(x) - np.log2(x).mean()
    return float(centred @ a / (centred @ centred))
