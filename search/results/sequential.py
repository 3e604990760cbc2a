"""Whether one variant beats another, asked after every seed without paying for the asking.

E_n = 1/2 sum_c w_c [prod_i (1 + tanh(c x_i)) + prod_i (1 - tanh(c x_i))]

d_i is the difference of the two scores at seed i, and x_i = d_i / sqrt(mean of d_1^2 ... d_i^2).

If the two do equally well, each d_i could as well have had the other sign: given all |d_i|, the
signs are independent coin tosses. x_i depends on signs through its own alone, and
tanh(-x) = -tanh(x), so each factor has mean one whatever came before it: every product, and so
their average E_n, is a non-negative martingale that begins at one. By Ville's inequality,
P(E_n >= 1/a for any n at all) <= a. Hence min(1, 1/max E_n) is a p value at every moment: one may
look after each seed, stop when it is small, add seeds tomorrow, and be wrong in a share a of cases
at most. Nothing is assumed of the differences but the symmetry. Read as bets: a fortune of one is
laid half on "better" and half on "worse", again and again, at fair odds; it grows only if one of
the two is true.

c says how far a bet follows the size of a difference: 3 nearly counts signs, and decides fast where
all seeds agree; 0.7 weighs large differences more, and decides where some disagree. w = (.6, .4).
The price against a test of one look: differences of 1.7 of their standard deviation are called
after 7 seeds (median), of 0.67 after 22.

Source: Ville 1939; Ramdas, Grunwald, Vovk and Shafer 2023, arXiv:2210.01948 (e-processes); for
sums of symmetric variables de la Pena 1999, Annals of Probability 27.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from attenergy.registry import ArgumentError
from attenergy.search.results.statistics import holm

_FOLLOWS = np.array([0.7, 3.0])
_WEIGHTS = np.array([0.4, 0.6])
_GRID = 400
_BISECTIONS = 40
_REACH = 1000.0  # in spreads of the data, where no bound is nearer
_SIMULATIONS = 400


def evidence(differences: Sequence[float]) -> list[float]:
    """E_1, ..., E_n: how strongly the first n differences speak against "equally good".

    Args:
        differences: one for each pair, in an order that does not depend on their values.

    Raises:
        ValueError: a difference is not finite.

    Example:
        >>> [round(e, 2) for e in evidence([0.1, 0.1, 0.1])]
        [1.0, 1.74, 3.22]
    """
    return [float(e) for e in np.exp(_log_evidence(_checked(differences)[None])[0])]


def anytime_p(differences: Sequence[float]) -> float:
    """Return p = min(1, 1/max_n E_n): P(p <= a, ever) <= a if the two are equally good.

    Args:
        differences: as of `evidence`.

    Returns:
        1 without any difference.

    Example:
        >>> round(anytime_p([0.03, 0.05, 0.02, 0.04, 0.03, 0.05]), 3)
        0.046
    """
    logs = _log_evidence(_checked(differences)[None])[0]
    return float(np.exp(-max(0.0, logs.max(initial=0.0))))


def side(differences: Sequence[float]) -> int:
    """Which of the two bets won where the evidence was strongest: 1 "better", -1 "worse".

    The mean of lopsided differences may lie on the other side: then their centre is not what most
    of them say, and neither direction can be called.

    Args:
        differences: as of `evidence`.

    Returns:
        0 without any difference but zero.

    Example:
        >>> side([0.01] * 11 + [-0.6])
        1
    """
    data = _checked(differences)
    if not data.any():
        return 0
    better, worse = _log_bets(data[None])[:, 0]
    most = int(np.logaddexp(better, worse).argmax())
    return int(np.sign(better[most] - worse[most]))


def anytime_p_values(differences: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """`anytime_p` of every contender, corrected for their number (`holm`), at any moment.

    Args:
        differences: contender -> as of `evidence`; one without any is left out.
    """
    return holm({name: anytime_p(each) for name, each in differences.items() if each})


def anytime_interval(
    differences: Sequence[float],
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """All m for which "the differences are symmetric about m" is not refused at 1 - `level`.

    It holds for all n at once: the chance that it ever leaves out the true centre is 1 - `level`.
    With fewer pairs than `least_seeds(1, 1 - level)` nothing can be refused, and it is `bounds`.

    Args:
        differences: as of `evidence`.
        level: chance that the centre is inside at all times.
        bounds: where the centre can lie; differences of accuracies lie between -1 and 1, those
            of other scores anywhere.

    Raises:
        ValueError: `level` is not between 0 and 1, or the bounds are not in order.

    Example:
        >>> low, high = anytime_interval([3.4, 3.5, 3.6, 3.5, 3.4, 3.6, 3.5, 3.5])
        >>> 3.3 < low < 3.5 < high < 3.6
        True
    """
    data = _checked(differences)
    low, high = bounds
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie between 0 and 1, got {level:g}")
    if not low < high:
        raise ArgumentError(f"bounds must be in order, got {low:g} and {high:g}")
    if data.size < least_seeds(1, 1 - level):
        return low, high
    centre = min(max(float(np.median(data)), low), high)
    return _edge(data, centre, low, level), _edge(data, centre, high, level)


def least_seeds(tests: int = 1, level: float = 0.05) -> int:
    """The number of pairs below which nothing can be called, however alike they are.

    The least n with E_n >= tests/level for n equal differences.

    Args:
        tests: how many variants are held against the baseline; the correction of Holm asks the
            first of them for a p of level/tests.
        level: what p is held against.

    Raises:
        ValueError: the level is not between 0 and 1, or there is no test.

    Example:
        >>> [least_seeds(tests) for tests in (1, 2, 3, 4)]
        [6, 7, 8, 8]
    """
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie between 0 and 1, got {level:g}")
    if tests < 1:
        raise ArgumentError(f"tests must be at least 1, got {tests}")
    number = 1
    while _log_evidence(np.ones((1, number)))[0, -1] < math.log(tests / level):
        number += 1
    return number


def seeds_to_decide(
    differences: Sequence[float],
    tests: int = 1,
    level: float = 0.05,
    power: float = 0.8,
    most: int = 200,
) -> int | None:
    """How many more pairs are likely to decide, if the coming ones are like those at hand.

    The coming differences are drawn from the normal distribution of the same mean and standard
    deviation. A forecast, not a promise: the mean of few differences is itself uncertain.

    Args:
        differences: at least two, as of `evidence`.
        tests: how many variants are held against the baseline.
        level: what p is held against.
        power: share of the drawn futures that must have decided.
        most: the largest answer.

    Returns:
        0 if it is decided, None if more than `most` are needed or fewer than two are given.
    """
    data = _checked(differences)
    enough = math.log(tests / level)
    if data.size and _log_evidence(data[None]).max() >= enough:
        return 0
    if data.size < 2:
        return None
    draws = np.random.default_rng(0).normal(size=(_SIMULATIONS, most))
    coming = data.mean() + data.std(ddof=1) * draws
    past = np.broadcast_to(data, (_SIMULATIONS, data.size))
    logs = _log_evidence(np.concatenate([past, coming], axis=1))[:, data.size :]
    decided = (np.maximum.accumulate(logs, axis=1) >= enough).mean(axis=0)
    reached = np.nonzero(decided >= power)[0]
    return int(reached[0]) + 1 if reached.size else None


def _log_evidence(rows: np.ndarray) -> np.ndarray:
    """Return log E_1, ..., log E_n of every row of differences (R, n)."""
    if not rows.shape[1]:
        return rows
    total: np.ndarray = np.logaddexp.reduce(_log_bets(rows), axis=0)
    return total


def _log_bets(rows: np.ndarray) -> np.ndarray:
    """The logarithms of what the bets on "better" and on "worse" add to it, (2, R, n)."""
    count = np.arange(1, rows.shape[1] + 1)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1.0)  # squares of tiny differences vanish
    size = np.sqrt(np.cumsum(scaled**2, axis=1) / count)
    x = np.divide(scaled, size, out=np.zeros_like(scaled), where=size > 0)
    y = np.array([1.0, -1.0])[:, None, None, None] * _FOLLOWS[:, None, None] * x
    # log(1 + tanh y), written so that it keeps its digits where tanh y nears -1.
    fortunes = np.cumsum(math.log(2) - np.logaddexp(0, -2 * y), axis=3)
    logs = fortunes + np.log(_WEIGHTS / 2)[:, None, None]
    bets: np.ndarray = np.logaddexp.reduce(logs, axis=1)
    return bets


def _edge(data: np.ndarray, inside: float, bound: float, level: float) -> float:
    """How far from `inside` towards `bound` a centre is not refused."""
    limit = math.log(1 / (1 - level))

    def refused(centres: np.ndarray) -> np.ndarray:
        above: np.ndarray = _log_evidence(data[None] - centres[:, None]).max(axis=1) >= limit
        return above

    bound = _far(data, inside, bound)
    # Towards the data the steps are smaller, as there the answer changes.
    grid = inside + (bound - inside) * np.linspace(0, 1, _GRID) ** 4
    open_ = np.nonzero(~refused(grid))[0]
    if not open_.size:  # no centre is accepted: the median stands for the empty set
        return inside
    last = int(open_[-1])
    if last == _GRID - 1:
        return bound
    near, far = float(grid[last]), float(grid[last + 1])
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        if refused(np.array([middle]))[0]:
            far = middle
        else:
            near = middle
    return far


def _far(data: np.ndarray, inside: float, bound: float) -> float:
    """A place towards `bound` that is so far from all data that it is refused if any is.

    Seen from there the differences are equal, but for a thousandth of their spread.
    """
    spread = float(np.ptp(data)) or abs(inside) or 1.0
    reach = _REACH * spread
    return max(bound, inside - reach) if bound < inside else min(bound, inside + reach)


def _checked(differences: Sequence[float]) -> np.ndarray:
    data = np.asarray(differences, dtype=np.float64).reshape(-1)
    if not np.isfinite(data).all():
        raise ArgumentError(f"differences must be finite, got {data[~np.isfinite(data)][0]}")
    return data
