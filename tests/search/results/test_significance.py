"""Permutation tests, corrections and robust means against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attenergy.search.results.statistics import (
    bootstrap_interval,
    holm,
    interquartile_mean,
    least_pairs,
    paired_permutation,
    profile,
)


def seeded(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_all_pairs_of_one_sign_give_the_least_p() -> None:
    zeros = seeded([0.0] * 5)
    assert paired_permutation(zeros, seeded([0.1, 0.2, 0.3, 0.4, 0.5])) == 2 / 32
    assert paired_permutation(zeros, zeros) == 1.0
    assert paired_permutation(zeros, {9: 1.0}) is None


def test_three_pairs_by_hand() -> None:
    # |+-1 +-2 +-4|: sums 7, 5, 3, 1; observed 1 + 2 - 4 = -1, so every pattern reaches it.
    assert paired_permutation(seeded([0, 0, 0]), seeded([1, 2, -4])) == 1.0
    # Observed 5 = -1 + 2 + 4: the patterns with 7 and with 5, of either sign.
    assert paired_permutation(seeded([0, 0, 0]), seeded([-1, 2, 4])) == 4 / 8


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_p_by_counting_every_sign_in_whole_numbers(values: list[int]) -> None:
    """Scores of 512 instances; small differences tie, and some are zero."""
    first = seeded([300 / 512] * len(values))
    second = seeded([(300 + value) / 512 for value in values])
    sums = [
        abs(sum(v if signs >> i & 1 else -v for i, v in enumerate(values)))
        for signs in range(2 ** len(values))
    ]
    reached = sum(total >= abs(sum(values)) for total in sums)
    assert paired_permutation(first, second) == reached / 2 ** len(values)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.randoms())
def test_p_does_not_depend_on_the_order_or_on_which_is_first(values: list[float], random) -> None:
    first, second = seeded([0.0] * len(values)), seeded(values)
    p = paired_permutation(first, second)
    shuffled = values[:]
    random.shuffle(shuffled)
    assert p == paired_permutation(first, seeded(shuffled)) == paired_permutation(second, first)
    assert 2 / 2 ** len(values) <= p <= 1


def test_many_pairs_are_sampled_and_agree_with_the_normal_limit() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.3, 1, size=60)
    p = paired_permutation(seeded([0.0] * 60), seeded(list(values)))
    z = abs(values.sum()) / np.sqrt((values**2).sum())
    normal = math.erfc(z / 2**0.5)
    assert p == pytest.approx(float(normal), abs=0.01)


def test_p_of_many_pairs_is_never_zero() -> None:
    zeros, ones = seeded([0.0] * 40), seeded([1.0] * 40)
    assert paired_permutation(zeros, ones) == 1 / 100_001
    assert paired_permutation(zeros, zeros) == 1.0


def test_null_comparisons_are_called_real_no_more_often_than_promised() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(0.5, 0.1, size=(200, 2, 8))
    p = [paired_permutation(seeded(list(a)), seeded(list(b))) for a, b in scores]
    rate = np.mean([value <= 0.05 for value in p])
    # A rate of .05 over 200 comparisons has a standard deviation of .0154.
    assert 0.0 < rate <= 0.05 + 3 * 0.0154


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(("level", "pairs"), [(0.05, 6), (0.0625, 5), (0.5, 2), (0.01, 8)])
def test_pairs_needed_for_a_level(level: float, pairs: int) -> None:
    assert least_pairs(level) == pairs
    assert paired_permutation(seeded([0.0] * pairs), seeded([1.0] * pairs)) <= level
    assert paired_permutation(seeded([0.0] * (pairs - 1)), seeded([1.0] * (pairs - 1))) > level


@pytest.mark.parametrize("tests", [1, 2, 3, 14])
def test_pairs_needed_where_several_tests_are_corrected(tests: int) -> None:
    def least(pairs: int) -> float:
        p = paired_permutation(seeded([0.0] * pairs), seeded([1.0] * pairs))
        return max(holm({f"{number}": p for number in range(tests)}).values())

    needed = least_pairs(0.05, tests)
    assert least(needed) <= 0.05 < least(needed - 1)


def test_some_test_is_needed() -> None:
    with pytest.raises(ValueError, match="tests must be at least 1, got 0"):
        least_pairs(0.05, 0)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        least_pairs(level)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([1, 2, 3, 100]) == 2.5
    assert interquartile_mean([7.0]) == 7.0
    # n = 3: (1/4, 3/4) covers 1/12 of the first, 1/3 of the second and 1/12 of the third.
    assert interquartile_mean([0, 6, 90]) == pytest.approx((0 / 12 + 6 / 3 + 90 / 12) * 2)
    assert interquartile_mean(list(range(8))) == 3.5


def test_bootstrap_of_the_middle_ignores_one_wild_run() -> None:
    values = [0.9] * 19 + [0.0]
    assert bootstrap_interval(values, middle=True).mean == 0.9
    assert bootstrap_interval(values, middle=True).low == pytest.approx(0.9)
    assert bootstrap_interval(values).low < 0.87


def test_profile_is_the_share_above() -> None:
    assert profile([0.1, 0.5, 0.5, 0.9], [0.0, 0.1, 0.5, 0.9]) == [1.0, 0.75, 0.25, 0.0]
