from __future__ import annotations

import math

from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.order import (
    ancestry,
    at_equal_seconds,
    best,
    best_so_far,
    front,
    last_score,
    top_rung,
)


def test_the_highest_rung_counts_before_the_score(discovery: Discovery) -> None:
    by = discovery.by_number
    assert last_score(by[5], discovery.rungs) == (2, 0.6)
    assert last_score(by[1], discovery.rungs) == (0, 0.3)
    assert last_score(by[6], discovery.rungs) == (-1, -math.inf)
    assert [f.number for f in best(discovery)] == [5, 0, 3, 2, 1, 4]
    assert [f.number for f in best(discovery, "random")] == [2, 4]


def test_the_top_rung_is_one_that_several_have_reached(discovery: Discovery) -> None:
    assert top_rung(discovery) == "mqar"
    assert top_rung(discovery, least=5) == "denoising"
    assert top_rung(discovery.model_copy(update={"population": ()})) == ""


def test_nothing_on_a_front_is_both_worse_and_dearer(discovery: Discovery) -> None:
    assert [f.number for f in front(discovery.population, "mqar", lambda f: f.cost)] == [0, 5]
    by_length = front(discovery.population, "denoising", lambda f: float(f.length))
    assert [f.number for f in by_length] == [0, 3, 5]


def test_the_best_so_far_rises_with_the_seconds_of_its_arm(discovery: Discovery) -> None:
    assert best_so_far(discovery, "evolved", "mqar") == [(10.0, 0.35), (20.0, 0.6)]
    assert best_so_far(discovery, "random", "denoising") == [(10.0, 0.35)]


def test_arms_are_compared_when_both_have_spent_the_same(discovery: Discovery) -> None:
    rows = at_equal_seconds(discovery)
    assert [row.rung for row in rows] == list(discovery.rungs)
    assert rows[0].seconds == 20.0
    assert (rows[0].evolved, rows[0].random) == (0.7, 0.35)
    assert rows[2].counts == (2, 1)
    # With half of the time only the first formula of each arm is counted.
    cheap = [f.model_copy(update={"seconds": 5.0 if f.arm == "random" else 10.0})
             for f in discovery.population]  # fmt: skip
    rows = at_equal_seconds(discovery.model_copy(update={"population": tuple(cheap)}))
    assert rows[0].evolved == 0.65


def test_ancestors_come_each_once_the_youngest_first(discovery: Discovery) -> None:
    assert [f.number for f in ancestry(discovery, discovery.by_number[6])] == [6, 5, 3, 1, 0]
