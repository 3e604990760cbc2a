"""The e-process of paired differences: a martingale under the null, by enumeration and by draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attenergy.search.results.sequential import (
    anytime_interval,
    anytime_p,
    evidence,
    least_seeds,
    seeds_to_decide,
    side,
)

SIZES = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=6)


def by_hand(differences: list[float]) -> float:
    """The formula, with products instead of logarithms."""
    total, squares = 0.0, [d * d for d in differences]
    scales = [math.sqrt(sum(squares[: i + 1]) / (i + 1)) for i in range(len(squares))]
    for weight, c in ((0.4, 0.7), (0.6, 3.0)):
        for sign in (1, -1):
            factors = (
                1 + sign * math.tanh(c * d / s) if s else 1.0
                for d, s in zip(differences, scales, strict=True)
            )
            total += weight / 2 * math.prod(factors)
    return total


@given(st.lists(st.floats(-1, 1).map(lambda d: round(d, 3)), min_size=1, max_size=8))
def test_evidence_is_the_formula(differences: list[float]) -> None:
    values = evidence(differences)
    for n in range(1, len(differences) + 1):
        assert values[n - 1] == pytest.approx(by_hand(differences[:n]), rel=1e-9)


@given(SIZES)
def test_over_all_signs_the_mean_is_one(
    sizes: list[float],
) -> None:
    """Given the sizes, all signs are equally likely if neither variant is better."""
    signs = itertools.product((1, -1), repeat=len(sizes))
    ends = [evidence([s * d for s, d in zip(row, sizes, strict=True)])[-1] for row in signs]
    assert np.mean(ends) == pytest.approx(1.0, rel=1e-9)


@given(SIZES, st.integers(0, 5))
def test_whatever_came_before_the_next_step_is_fair(sizes: list[float], pattern: int) -> None:
    past = [d if pattern >> i & 1 else -d for i, d in enumerate(sizes[:-1])]
    before = evidence(past)[-1] if past else 1.0
    after = [evidence([*past, side * sizes[-1]])[-1] for side in (1, -1)]
    assert np.mean(after) == pytest.approx(before, rel=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.01, 100))
def test_neither_scale_nor_direction_matters(differences: list[float], scale: float) -> None:
    p = anytime_p(differences)
    assert anytime_p([-d for d in differences]) == pytest.approx(p)
    assert anytime_p([scale * d for d in differences]) == pytest.approx(p)
    assert 0 < p <= 1


def test_the_least_p_ever_is_what_counts() -> None:
    alike = [0.1] * 8
    assert anytime_p([*alike, -0.1, -0.1]) == anytime_p(alike) < 0.05
    assert anytime_p([]) == 1.0
    assert anytime_p([0.0] * 9) == 1.0


@pytest.mark.parametrize("draw", ["normal", "cauchy", "two values"])
def test_looking_after_every_seed_is_wrong_in_one_of_twenty_at_most(draw: str) -> None:
    """With the share of wrong calls of a test that is asked 40 times without paying: over .2."""
    random = np.random.default_rng(3)
    rows = {
        "normal": random.normal(size=(600, 40)),
        "cauchy": random.standard_cauchy(size=(600, 40)),
        "two values": random.choice([-0.9, -0.01, 0.01, 0.9], size=(600, 40)),
    }[draw]
    wrong = np.mean([anytime_p(row) <= 0.05 for row in rows])
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_a_difference_is_seen_soon_if_it_is_large_and_in_the_end_if_it_is_not() -> None:
    random = np.random.default_rng(4)
    for gap, seeds, power in ((3.3, 7, 0.95), (1.7, 12, 0.8), (0.67, 60, 0.9)):
        rows = gap + random.normal(size=(200, seeds))
        assert np.mean([anytime_p(row) <= 0.05 for row in rows]) >= power


@pytest.mark.long
def test_the_interval_holds_the_centre_at_every_moment() -> None:
    random = np.random.default_rng(5)
    outside = 0
    for row in 0.03 + 0.05 * random.normal(size=(60, 12)):
        intervals = [anytime_interval(row[:n]) for n in (6, 9, 12)]
        outside += any(not low <= 0.03 <= high for low, high in intervals)
    assert outside / 60 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


@given(st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=12))
def test_zero_is_outside_of_the_interval_exactly_if_p_says_so(differences: list[float]) -> None:
    low, high = anytime_interval(differences, bounds=(-1, 1))
    assert -1 <= low <= high <= 1
    p = anytime_p(differences)
    if abs(p - 0.05) > 1e-6 and p <= 0.05:
        assert low > -1e-9 or high < 1e-9


def test_few_pairs_bound_nothing() -> None:
    assert anytime_interval([]) == (-math.inf, math.inf)
    assert anytime_interval([0.1] * 5, bounds=(-2, 2)) == (-2, 2)
    low, high = anytime_interval([0.1, 0.11, 0.12, 0.1, 0.11, 0.12])
    assert 0 < low < 0.11 < high < 0.2


@pytest.mark.parametrize("tests", [1, 2, 3, 5, 20])
def test_least_seeds_is_where_equal_differences_are_first_called(tests: int) -> None:
    n = least_seeds(tests)
    assert anytime_p([0.2] * n) * tests <= 0.05 < anytime_p([0.2] * (n - 1)) * tests


def test_seeds_to_decide() -> None:
    assert seeds_to_decide([0.1] * 7) == 0
    assert seeds_to_decide([0.1]) is None
    assert seeds_to_decide([0.1, -0.1, 0.05, -0.05]) is None
    few, many = [0.05, 0.06, 0.04], [0.05, -0.03, 0.06, 0.0]
    assert seeds_to_decide(few) in (3, 4)
    assert (seeds_to_decide(many) or 0) > 8
    assert (seeds_to_decide(few, tests=10) or 0) > (seeds_to_decide(few) or 0)


def test_the_forecast_comes_true() -> None:
    random = np.random.default_rng(6)
    past = [0.02, 0.05, 0.03, 0.0, 0.04]
    more = seeds_to_decide(past)
    assert more is not None
    mean, sd = np.mean(past), np.std(past, ddof=1)
    rows = mean + sd * random.normal(size=(300, more))
    decided = np.mean([anytime_p([*past, *row]) <= 0.05 for row in rows])
    assert 0.7 < decided < 0.95


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="differences must be finite, got nan"):
        evidence([0.1, math.nan])
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        anytime_interval([0.1], level=1)
    with pytest.raises(ValueError, match="bounds must be in order, got 1 and 0"):
        anytime_interval([0.1], bounds=(1, 0))
    with pytest.raises(ValueError, match="tests must be at least 1, got 0"):
        least_seeds(0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 0"):
        least_seeds(1, 0)


@pytest.mark.parametrize("scale", [1e-6, 0.1, 30.0, 1e9])
@pytest.mark.parametrize("shift", [0.0, -2.0, 3.5])
def test_bounds_move_with_the_scores_whatever_their_size(scale: float, shift: float) -> None:
    """Accuracies lie between 0 and 1; R2, bits and scores of a user's own task lie anywhere."""
    data = np.random.default_rng(3).normal(0.5, 1.0, size=12)
    low, high = anytime_interval(list(data))
    moved = anytime_interval(list(scale * (data + shift)))
    assert moved == pytest.approx((scale * (low + shift), scale * (high + shift)), rel=1e-6)
    assert low < np.median(data) < high


def test_without_enough_pairs_the_centre_may_lie_anywhere() -> None:
    assert anytime_interval([0.1] * 5) == (-math.inf, math.inf)
    assert anytime_interval([0.1] * 5, bounds=(-1, 1)) == (-1, 1)
    low, high = anytime_interval([0.9] * 12, bounds=(-0.5, 0.5))
    assert -0.5 <= low <= high <= 0.5


@given(st.lists(st.floats(-1, 1).map(lambda d: round(d, 3)), min_size=1, max_size=12))
def test_the_side_is_that_of_the_larger_bet(differences: list[float]) -> None:
    """By the formula, where all that is laid on one side is left out."""
    values = evidence(differences)
    most = max(range(len(values)), key=values.__getitem__)
    data = differences[: most + 1]
    scales = [math.sqrt(sum(d * d for d in data[: i + 1]) / (i + 1)) for i in range(len(data))]
    bets = {}
    for sign in (1, -1):
        bets[sign] = sum(
            weight * math.prod(1 + sign * math.tanh(c * d / s) if s else 1.0
                               for d, s in zip(data, scales, strict=True))
            for weight, c in ((0.4, 0.7), (0.6, 3.0))
        )  # fmt: skip
    if abs(bets[1] - bets[-1]) > 1e-9:
        assert side(differences) == (1 if bets[1] > bets[-1] else -1)
    assert side([-d for d in differences]) == -side(differences)
