from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from itertools import count, islice
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from attenergy.search.discovery.ladder.prediction import (
    predictions,
    rank_correlation,
    unused_rungs,
)
from attenergy.search.discovery.ladder.promotion import goes_on_at_random, next_rung
from attenergy.search.discovery.ladder.rungs import Ladder

ZOO = Path(__file__).parents[4] / "studies" / "records" / "zoo" / "records.jsonl"
RECORDED = 134  # runs, when the ladder was made
FIRST, FEW, FULL = "denoising", "raven-small@400", "raven-small"


def climbed(ladder: Ladder, scored, truth, size: int, seed: int = 0) -> list:
    """A population in which everybody goes as far as the ladder lets it.

    `truth` draws the three scores that an individual has, or would have.
    """
    generator = random.Random(seed)
    population = []
    for number in range(size):
        every = dict(zip(ladder.names, truth(generator), strict=True))
        one = scored(number, {})
        while (rung := next_rung(ladder, one, population)) is not None:
            one = scored(number, {**one.scores, rung.name: every[rung.name]})
        population.append(one)
    return population


def by_quality(first: float, few: float):
    """Scores that follow the quality with such a correlation; the last one is the quality."""

    def draw(generator: random.Random) -> tuple[float, float, float]:
        quality = generator.gauss(0, 1)

        def noisy(rho: float) -> float:
            return rho * quality + math.sqrt(1 - rho * rho) * generator.gauss(0, 1)

        return noisy(first), noisy(few), quality

    return draw


@pytest.fixture(scope="module")
def drawn() -> list[int]:
    """Numbers that go on from the first two rungs whatever their scores."""
    free = (n for n in count() if all(goes_on_at_random(n, rung) for rung in (FIRST, FEW)))
    return list(islice(free, 60))


def test_rank_correlations_that_are_known() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 1e9]) == 1
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4
    assert rank_correlation([0, 1, 1, 2], [0, 1, 2, 3]) == pytest.approx(4.5 / 22.5**0.5)
    assert rank_correlation([-math.inf, 0, 1], [-math.inf, 3, 4]) == 1
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


def test_rank_correlation_agrees_with_pearson_of_ranks() -> None:
    draws = np.random.default_rng(1).integers(0, 6, (2, 50))
    ranks = [
        [sum(v < x for v in row) + (sum(v == x for v in row) + 1) / 2 for x in row] for row in draws
    ]
    assert rank_correlation(*draws.tolist()) == pytest.approx(np.corrcoef(ranks)[0, 1])


def test_a_rung_that_predicts(ladder: Ladder, scored) -> None:
    population = climbed(ladder, scored, by_quality(0.9, 0.95), 600)
    first, few = predictions(ladder, population)
    assert (first.rung, first.following, few.rung, few.following) == (FIRST, FEW, FEW, FULL)
    assert first.low < first.correlation < first.high
    assert first.low > 0.3
    assert first.used
    assert unused_rungs((first, few)) == frozenset()


def test_a_rung_that_does_not_predict_is_left_out(ladder: Ladder, scored) -> None:
    def draw(generator: random.Random) -> tuple[float, float, float]:
        return generator.random(), (quality := generator.random()), quality

    measured = predictions(ladder, climbed(ladder, scored, draw, 600))
    assert unused_rungs(measured) == {FIRST}
    assert measured[0].pairs >= 30
    assert str(measured[0]).endswith(f"{measured[0].pairs} pairs; does not predict, not used")


def test_a_rung_that_says_the_opposite_is_left_out_soon(ladder: Ladder, scored) -> None:
    def draw(generator: random.Random) -> tuple[float, float, float]:
        return -(quality := generator.random()), quality, quality

    measured = predictions(ladder, climbed(ladder, scored, draw, 200))
    assert measured[0].correlation == -1
    assert measured[0].pairs < 30
    assert unused_rungs(measured) == {FIRST}


@pytest.mark.long
def test_who_was_chosen_for_its_score_does_not_count(ladder: Ladder, scored) -> None:
    """Among the best third of a rung that predicts well the rank correlation is much lower."""
    truth = by_quality(0.75, 0.75)
    population = climbed(ladder, scored, truth, 3000)
    generator = random.Random(7)
    everybody = list(zip(*(truth(generator)[:2] for _ in range(3000)), strict=True))
    whole = rank_correlation(*everybody)
    both = [p for p in population if {FIRST, FEW} <= p.scores.keys()]
    chosen = [p for p in both if not goes_on_at_random(p.number, FIRST)]
    biased = rank_correlation(
        *zip(*([p.scores[r] for r in (FIRST, FEW)] for p in chosen), strict=True)
    )
    first = predictions(ladder, population)[0]
    assert first.pairs == len(both) - len(chosen)
    assert biased < whole - 0.15
    assert first.correlation == pytest.approx(whole, abs=0.1)
    assert first.low < whole < first.high


def test_the_registry_does_not_count(ladder: Ladder, scored, drawn: list[int]) -> None:
    entries = [scored(n, {FIRST: n, FEW: -n}, "registry") for n in drawn[:20]]
    others = [
        scored(n, {FIRST: n, FEW: n}, arm)
        for arm, some in (("evolved", drawn[20:30]), ("random", drawn[30:40]))
        for n in some
    ]
    first = predictions(ladder, [*entries, *others])[0]
    assert (first.pairs, first.correlation) == (20, 1)


def test_few_pairs_leave_no_rung_out(ladder: Ladder, scored, drawn: list[int]) -> None:
    some = [scored(n, {FIRST: n, FEW: -n}) for n in drawn[:11]]
    two, eleven = (predictions(ladder, part)[0] for part in (some[:2], some))
    assert (two.correlation, two.low, two.pairs, two.used) == (None, None, 2, True)
    assert str(two) == f"{FIRST} -> {FEW}: not known, 2 of at least 3 pairs"
    assert eleven.correlation == -1
    assert eleven.used
    assert str(eleven).endswith("[-1.00, -1.00], 11 pairs; used, 1 pairs too few to tell")


def test_the_rung_below_is_held_against_the_next_one_that_is_used(
    ladder: Ladder, scored, drawn: list[int]
) -> None:
    generator = random.Random(0)
    some = [scored(n, {FIRST: n, FEW: generator.random(), FULL: n}) for n in drawn]
    first, few = predictions(ladder, some)
    assert not few.used
    assert (first.following, first.correlation, first.used) == (FULL, 1, True)


def test_a_run_without_a_score_is_the_last(ladder: Ladder, scored, drawn: list[int]) -> None:
    some = [
        scored(n, {FIRST: place, FEW: place if place > 4 else -math.inf})
        for place, n in enumerate(drawn[:20])
    ]
    assert 0.9 < predictions(ladder, some)[0].correlation < 1


@pytest.mark.parametrize("seed", range(5))
def test_a_rung_that_predicts_is_not_given_up_on_the_way(
    ladder: Ladder, scored, drawn: list[int], seed: int
) -> None:
    """At every number of pairs on the way the rung is looked at once more."""
    generator = random.Random(seed)
    truth = by_quality(0.8, 0.8)
    some = [scored(n, dict(zip(ladder.names, truth(generator), strict=True))) for n in drawn]
    for pairs in range(12, 61, 6):
        assert unused_rungs(predictions(ladder, some[:pairs])) == frozenset()


@pytest.mark.parametrize(("share", "known"), [(0.125, 0.735), (0.25, 0.81), (0.5, 0.86)])
def test_what_few_steps_say_of_all(share: float, known: float) -> None:
    """Of the variants of the study, after a share of their steps and at the end.

    By the runs that were recorded when the ladder was made; later ones stand below them.
    """
    early, late = defaultdict(list), defaultdict(list)
    for line in ZOO.read_text(encoding="utf-8").splitlines()[:RECORDED]:
        record = json.loads(line)
        points = {point["step"]: point["accuracy"] for point in record["curve"]}
        steps = record["config"]["training"]["steps"]
        if record["status"] == "complete" and {share * steps, steps} <= points.keys():
            variant = record["config"]["variant"]
            early[variant].append(points[share * steps])
            late[variant].append(points[steps])
    scores = [(mean(early[name]), mean(late[name])) for name in early]
    assert len(scores) == 38
    assert rank_correlation(*zip(*scores, strict=True)) == pytest.approx(known, abs=0.005)
