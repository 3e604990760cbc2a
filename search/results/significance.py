"""Whether a difference between variants is more than luck: paired permutations, many at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from attenergy.registry import ArgumentError

#: Up to this many pairs every sign is tried (2^16 of them); above, `_DRAWS` random ones.
_EXACT_PAIRS = 16
_DRAWS = 100_000
# Sums of the same numbers in another order differ by rounding; they count as equal.
_TIE = 1e-9


def paired_permutation(
    first: Mapping[int, float], second: Mapping[int, float], *, seed: int = 0
) -> float | None:
    """Share p of the sign patterns s with |sum_i s_i d_i| >= |sum_i d_i|, d = second - first.

    If the two variants do equally well, each difference could as well have had the other sign;
    nothing is assumed about its distribution but that. Two-sided. Up to 16 pairs all 2^n patterns
    are counted, so p is exact and never below 2/2^n: five seeds cannot give less than .0625. For
    more pairs 100 000 random patterns and the observed one are counted.

    Args:
        first: seed -> score.
        second: seed -> score; only seeds in both are used.
        seed: of the random patterns.

    Returns:
        p in (0, 1], or None without any pair.

    Source: Fisher 1935, The Design of Experiments.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    differences = np.array([second[s] - first[s] for s in shared], dtype=np.float64)
    observed = abs(differences.sum())
    limit = observed - _TIE * max(np.abs(differences).sum(), 1e-300)
    if len(shared) <= _EXACT_PAIRS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(shared))))
        return float((np.abs(signs @ differences) >= limit).mean())
    random = np.random.default_rng(seed)
    hits = 1  # the observed pattern itself
    for _ in range(10):
        signs = random.integers(0, 2, size=(_DRAWS // 10, len(shared))) * 2.0 - 1.0
        hits += int((np.abs(signs @ differences) >= limit).sum())
    return hits / (_DRAWS + 1)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Correct p values for being m: adjusted_(k) = max_{j <= k} min(1, (m - j + 1) p_(j)).

    p_(1) <= ... <= p_(m). Calling a difference real where the adjusted value is below a makes the
    chance of one or more wrong calls at most a, whatever the tests share. That holds for the values
    given at once, here those of one column of a leaderboard, not for several columns together.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    ordered = sorted(values, key=values.__getitem__)
    adjusted: dict[str, float] = {}
    highest = 0.0
    for position, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - position) * values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in values}


def least_pairs(level: float, tests: int = 1) -> int:
    """The number n of pairs from which p <= level can be reached: m 2/2^n <= level.

    Args:
        level: what p is held against.
        tests: m, the number of tests that `holm` corrects for. With fewer pairs not even m tests in
            which all pairs agree are called real.

    Raises:
        ValueError: the level is not between 0 and 1, or there is no test.
    """
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie between 0 and 1, got {level:g}")
    if tests < 1:
        raise ArgumentError(f"tests must be at least 1, got {tests}")
    return max(1, math.ceil(math.log2(2 * tests / level)))
