"""How well the scores of a rung order those of the next, and whether the rung is worth its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from attenergy.search.discovery.ladder.promotion import goes_on_at_random
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.population.individual import Individual

#: A rung is left out if the interval ends below `_WEAK`, from `_FEW` pairs on, or if it does not
#: lie above 0, from `_MANY` pairs on.
_WEAK, _FEW, _MANY = 0.3, 12, 30
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_FEWEST = 3  # pairs, of which a rank correlation says anything


@dataclass(frozen=True)
class Prediction:
    """Spearman's rank correlation of a rung with the next one, with an interval of 95 %.

    Attributes:
        rung: whose scores predict.
        following: the next rung that is used.
        correlation: from -1 to 1; None for fewer than 3 pairs.
        low: lower end of the interval.
        high: upper end of the interval.
        pairs: individuals that it stands on.
        used: whether candidates still take the rung.
    """

    rung: str
    following: str
    correlation: float | None
    low: float | None
    high: float | None
    pairs: int
    used: bool

    def __str__(self) -> str:
        names = f"{self.rung} -> {self.following}"
        if self.correlation is None:
            return f"{names}: not known, {self.pairs} of at least {_FEWEST} pairs"
        end = "used" if self.used else "does not predict, not used"
        if self.used and self.pairs < _FEW:
            end = f"used, {_FEW - self.pairs} pairs too few to tell"
        return (
            f"{names}: rank correlation {self.correlation:.2f} "
            f"[{self.low:.2f}, {self.high:.2f}], {self.pairs} pairs; {end}"
        )


def predictions(
    ladder: Ladder, population: Iterable[Individual], *, seed: int = 0
) -> tuple[Prediction, ...]:
    """How well every rung but the last predicts the next one that is used.

    Whoever went on because of a good score has a good score: among them a rung orders nothing any
    more, though it chose well (restriction of range). So the pairs are those that were drawn
    beforehand to go on whatever their score (`goes_on_at_random`), and nothing needs to be
    corrected. The entries of the registry go on too, but they are no sample of the formulas that a
    rung has to judge, and do not count. A run that gave no score on the next rung has the lowest
    rank there. The interval is a percentile bootstrap over individuals.

    A rung is left out (`used` is False) if it is known not to predict: the interval ends below 0.3
    with 12 pairs or more, or does not lie above 0 with 30 or more. Then the rung below is held
    against the one above it.

    Args:
        ladder: the rungs.
        population: of all arms.
        seed: that of `next_rung`.

    Example:
        >>> ladder = Ladder.of(["raven-small"], attenergy.load_registry(plugins=False))
        >>> for prediction in predictions(ladder, []):
        ...     print(prediction)
        denoising -> raven-small@400: not known, 0 of at least 3 pairs
        raven-small@400 -> raven-small: not known, 0 of at least 3 pairs
    """
    everybody = list(population)
    result: list[Prediction] = []
    following = ladder.rungs[-1].name
    for rung in reversed(ladder.rungs[:-1]):
        pairs = tuple(
            (one.scores[rung.name], one.scores[following])
            for one in everybody
            if {rung.name, following} <= one.scores.keys()
            and one.arm != "registry"
            and goes_on_at_random(one.number, rung.name, seed)
        )
        result.append(_prediction(rung.name, following, pairs))
        if result[-1].used:
            following = rung.name
    return tuple(reversed(result))


def unused_rungs(measured: Iterable[Prediction]) -> frozenset[str]:
    """Names of the rungs that do not predict; `next_rung` leaves them out."""
    return frozenset(each.rung for each in measured if not each.used)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's: Pearson's correlation of the ranks, equal values sharing theirs.

    0 where all of one side are equal: it orders nothing.

    Example:
        >>> rank_correlation([1.0, 2.0, 30.0], [-5.0, 0.1, 0.2])
        1.0
    """
    return float(_correlations(np.asarray([x], float), np.asarray([y], float))[0])


@lru_cache(maxsize=64)  # it is asked for at every decision, and one in ten brings a pair
def _prediction(rung: str, following: str, pairs: tuple[tuple[float, float], ...]) -> Prediction:
    count = len(pairs)
    if count < _FEWEST:
        return Prediction(rung, following, None, None, None, count, used=True)
    x, y = np.asarray(pairs, float).T
    drawn = np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))
    tail = (1 - _CONFIDENCE) / 2
    low, high = map(float, np.quantile(_correlations(x[drawn], y[drawn]), [tail, 1 - tail]))
    weak = (count >= _FEW and high < _WEAK) or (count >= _MANY and low <= 0)
    return Prediction(rung, following, rank_correlation(x, y), low, high, count, used=not weak)


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rank correlations (R,) of rows (R, n)."""
    a, b = (_centred_ranks(rows) for rows in (x, y))
    spread = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    products = (a * b).sum(1)
    values: np.ndarray = np.divide(products, spread, out=np.zeros_like(spread), where=spread > 0)
    return values.clip(-1, 1)


def _centred_ranks(rows: np.ndarray) -> np.ndarray:
    """Ranks within each row less their mean; equal values share the mean of theirs."""
    ranks = np.empty(rows.shape)
    for row, values in zip(ranks, rows, strict=True):
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = counts.cumsum()
        row[:] = (last - (counts - 1) / 2)[places]
    centred: np.ndarray = ranks - ranks.mean(1, keepdims=True)
    return centred
