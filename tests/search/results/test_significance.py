"""Corrections and robust means against values worked out by hand."""

from __future__ import annotations

import pytest

from attenergy.search.results.statistics import (
    bootstrap_interval,
    holm,
    interquartile_mean,
    profile,
)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


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
