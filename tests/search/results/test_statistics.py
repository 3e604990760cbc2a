from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attenergy.search.results.statistics import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    t_probability,
    t_quantile,
    within,
)

# Two-sided 95 % points of Student's t as printed in statistical tables.
TABLE = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 30: 2.0423, 100: 1.9840}


@pytest.mark.parametrize(("freedom", "expected"), TABLE.items())
def test_t_quantile_agrees_with_printed_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, abs=5e-5)


def test_t_quantile_at_other_confidences() -> None:
    assert t_quantile(4, 0.99) == pytest.approx(4.6041, abs=5e-5)
    assert t_quantile(2, 0.5) == pytest.approx(0.8165, abs=5e-5)


@given(st.integers(1, 40), st.floats(0.01, 8))
def test_t_probability_is_the_integral_of_the_density(freedom: int, t: float) -> None:
    x = np.linspace(-t, t, 4001)
    constant = math.gamma((freedom + 1) / 2) / (
        math.sqrt(freedom * math.pi) * math.gamma(freedom / 2)
    )
    density = constant * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    assert t_probability(t, freedom) == pytest.approx(np.trapezoid(density, x), abs=1e-5)


def test_mean_interval_of_three_values_by_hand() -> None:
    # Mean 2, s = 1, so the half width is 4.3027 / sqrt(3).
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.count == 3
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)


def test_one_value_has_no_interval() -> None:
    for interval in (mean_interval([0.7]), bootstrap_interval([0.7])):
        assert (interval.mean, interval.low, interval.high, interval.count) == (0.7, None, None, 1)


def test_the_t_interval_covers_the_truth_95_times_in_100() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        interval = mean_interval(generator.normal(3.0, 2.0, size=4).tolist())
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 3.0 <= interval.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_bootstrap_repeats_exactly_and_equals_its_normal_limit() -> None:
    values = np.random.default_rng(2).normal(size=400).tolist()
    first, again = bootstrap_interval(values), bootstrap_interval(values)
    assert first == again
    assert first != bootstrap_interval(values, seed=1)
    # With many values the bootstrap tends to mean -+ 1.96 s / sqrt(n).
    half = 1.96 * np.std(values, ddof=1) / math.sqrt(400)
    assert first.high == pytest.approx(np.mean(values) + half, abs=0.01)
    assert first.low == pytest.approx(np.mean(values) - half, abs=0.01)


def test_bootstrap_of_two_values_by_enumeration() -> None:
    # Means of resamples of {0, 1} are 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    interval = bootstrap_interval([0.0, 1.0])
    assert (interval.low, interval.high) == (0.0, 1.0)
    narrow = bootstrap_interval([0.0, 1.0], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("count", "mean", "middle"), [(3, 0.75, 0.75), (5, 0.84, 0.90), (10, 0.90, 0.92)]
)
def test_the_bootstrap_of_few_values_covers_less_than_it_says(
    count: int, mean: float, middle: float
) -> None:
    """As much as its docstring says, and no more."""
    rows = np.random.default_rng(4).normal(size=(800, count)).tolist()
    for wanted, choice in ((mean, False), (middle, True)):
        intervals = [bootstrap_interval(row, middle=choice, resamples=400) for row in rows]
        assert np.mean([i.low <= 0 <= i.high for i in intervals]) == pytest.approx(wanted, abs=0.04)


def test_paired_difference_uses_common_seeds_only() -> None:
    first = {0: 0.1, 1: 0.5, 2: 0.9, 7: 100.0}
    second = {0: 0.2, 1: 0.6, 2: 1.0, 9: -50.0}
    interval = paired_difference(first, second)
    assert interval is not None
    assert interval.count == 3
    # Seeds differ widely but the difference is 0.1 for each: pairing removes that spread.
    assert interval.low == pytest.approx(0.1)
    assert interval.high == pytest.approx(0.1)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_bad_arguments_say_what_was_got() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval([])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        t_quantile(0)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 95"):
        t_quantile(3, 95)


def test_intervals_end_at_the_bounds_of_a_metric() -> None:
    wide = Interval(0.9, 0.7, 1.1, 3)
    assert within(wide, 0.0, 1.0) == Interval(0.9, 0.7, 1.0, 3)
    assert within(wide, 0.8, None) == Interval(0.9, 0.8, 1.1, 3)
    assert within(Interval(0.9, None, None, 1), 0.0, 1.0).high is None
