from __future__ import annotations

import itertools
import math

import pytest

from attenergy.search.discovery.ladder.promotion import (
    AT_RANDOM,
    TOP,
    bar_of,
    goes_on_at_random,
    next_rung,
)
from attenergy.search.discovery.ladder.rungs import Ladder

FIRST, FEW, FULL = "denoising", "raven-small@400", "raven-small"


def numbers(count: int, *, drawn: bool, rung: str = FIRST, seed: int = 0) -> list[int]:
    """The first numbers that are, or are not, drawn to go on whatever their score."""
    free = (n for n in itertools.count() if goes_on_at_random(n, rung, seed) == drawn)
    return list(itertools.islice(free, count))


def name_of(rung) -> str | None:
    return None if rung is None else rung.name


def test_a_third_goes_on(ladder: Ladder, scored) -> None:
    ids = numbers(30, drawn=False)
    scores = {n: ((7 * place) % 30) / 30 for place, n in enumerate(ids)}
    population = [scored(n, {FIRST: score}) for n, score in scores.items()]
    on = [p for p in population if next_rung(ladder, p, population) is not None]
    assert sorted(p.scores[FIRST] for p in on) == sorted(scores.values())[-10:]
    assert {next_rung(ladder, p, population).name for p in on} == {FEW}


def test_nobody_waits_for_rivals(ladder: Ladder, scored) -> None:
    """Each is judged by those before it, and never again."""
    population, on = [], []
    for place, n in enumerate(numbers(60, drawn=False)):
        one = scored(n, {FIRST: ((17 * place) % 60) / 60})
        on += [one] if next_rung(ladder, one, population) else []
        population.append(one)
    assert on[0] is population[0]
    assert 0.25 < len(on) / 60 < 0.5  # the early ones had few rivals
    best = sorted(population, key=lambda p: -p.scores[FIRST])[:10]
    assert all(p in on for p in best)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_of_equal_scores_a_third_goes_on(ladder: Ladder, scored, score: float) -> None:
    """As on a task on which all are still at chance, or all at the ceiling, to the second digit."""
    ids = numbers(30, drawn=False)
    population = [scored(n, {FIRST: score + 0.0001 * place}) for place, n in enumerate(ids)]
    assert sum(next_rung(ladder, p, population) is not None for p in population) == 10


def test_late_ones_go_on_as_often_as_early_ones_where_many_reach_the_ceiling(
    ladder: Ladder, scored
) -> None:
    population, on = [], []
    for place, n in enumerate(numbers(600, drawn=False)):
        one = scored(n, {FIRST: 1.0 if place % 3 else 0.5})
        on.append(next_rung(ladder, one, population) is not None)
        population.append(one)
    early, late = on[60:330], on[330:]
    assert sum(late) / len(late) == pytest.approx(TOP, abs=0.08)
    assert sum(early) / len(early) == pytest.approx(TOP, abs=0.08)
    assert not any(on[60::3])  # the lower ones never


def test_lots_are_drawn_anew_on_each_rung_and_for_each_seed(ladder: Ladder, scored) -> None:
    ids = [n for n in numbers(400, drawn=False) if not goes_on_at_random(n, FEW)][:60]
    at_first = [scored(n, {FIRST: 1.0}) for n in ids]
    at_few = [scored(n, {FIRST: 1.0, FEW: 1.0}) for n in ids]
    first = {p.number for p in at_first if next_rung(ladder, p, at_first)}
    few = {p.number for p in at_few if next_rung(ladder, p, at_few)}
    assert len(first) == len(few) == 20
    assert len(first & few) < 15


def test_the_worst_go_on_too_if_they_are_drawn(ladder: Ladder, scored) -> None:
    better = [scored(1000 + n, {FIRST: 0.9, FEW: 0.9}) for n in range(20)]
    for n in numbers(3, drawn=True):
        assert name_of(next_rung(ladder, scored(n, {FIRST: -5.0}), better)) == FEW
    for n in numbers(3, drawn=False):
        assert next_rung(ladder, scored(n, {FIRST: -5.0}), better) is None
    share = sum(goes_on_at_random(n, FIRST, 3) for n in range(4000)) / 4000
    assert share == pytest.approx(AT_RANDOM, abs=0.02)


def test_each_rung_and_seed_draws_for_itself() -> None:
    def drawn(rung: str, seed: int) -> set[int]:
        return {n for n in range(2000) if goes_on_at_random(n, rung, seed)}

    one = drawn(FIRST, 0)
    for other in (drawn(FEW, 0), drawn(FIRST, 1)):
        assert len(one & other) < 50  # 20 of 200 are expected


def test_the_registry_goes_on_whatever_its_score(ladder: Ladder, scored) -> None:
    n = numbers(1, drawn=False)[0]
    better = [scored(1000 + k, {FIRST: 0.9}) for k in range(20)]
    assert name_of(next_rung(ladder, scored(n, {FIRST: -1.0}, "registry"), better)) == FEW
    assert next_rung(ladder, scored(n, {FIRST: -1.0}, "random"), better) is None


def test_without_a_score_nobody_goes_on(ladder: Ladder, scored) -> None:
    for n in (*numbers(1, drawn=True), *numbers(1, drawn=False)):
        for arm in ("evolved", "registry"):
            assert next_rung(ladder, scored(n, {FIRST: -math.inf}, arm), []) is None


def test_the_way_begins_and_ends(ladder: Ladder, scored) -> None:
    assert name_of(next_rung(ladder, scored(1, {}), [])) == FIRST
    assert name_of(next_rung(ladder, scored(1, {FIRST: 0.1}), [])) == FEW
    assert name_of(next_rung(ladder, scored(1, {FIRST: 0.1, FEW: 0.1}), [])) == FULL
    assert next_rung(ladder, scored(1, {FIRST: 0.1, FEW: 0.1, FULL: 1.0}), []) is None


def test_rivals_are_those_on_the_same_rung(ladder: Ladder, scored) -> None:
    n = numbers(1, drawn=False, rung=FEW)[0]
    low = [scored(1000 + k, {FIRST: 0.99}) for k in range(20)]  # never came to the second rung
    one = scored(n, {FIRST: 0.1, FEW: 0.1})
    assert name_of(next_rung(ladder, one, low)) == FULL
    high = [scored(2000 + k, {FIRST: 0.0, FEW: 0.5}) for k in range(20)]
    assert next_rung(ladder, one, [*low, *high]) is None
    assert next_rung(ladder, one, [*high, one]) is None  # itself among them or not


def test_rungs_that_do_not_predict_are_left_out(ladder: Ladder, scored) -> None:
    n = numbers(1, drawn=False)[0]
    better = [scored(1000 + k, {FIRST: 0.9, FEW: 0.9}) for k in range(20)]

    def after(scores: dict[str, float], *unused: str) -> str | None:
        return name_of(next_rung(ladder, scored(n, scores), better, unused=unused))

    assert after({}, FIRST) == FEW
    assert after({FIRST: -1.0}) is None
    assert after({FIRST: -1.0}, FIRST) == FEW  # its score there says nothing
    assert after({FIRST: 0.95}, FEW) == FULL
    assert after({FIRST: 0.95}, FEW, FULL) == FULL


def test_the_bar_is_the_score_that_a_third_reaches(scored) -> None:
    population = [scored(n, {FIRST: n / 10}) for n in range(9)] + [scored(50, {})]
    assert bar_of(FIRST, population) == pytest.approx(0.6)
    assert sum(p.scores.get(FIRST, -1) >= 0.6 for p in population) == 9 * TOP
    assert bar_of(FIRST, population[:1]) == 0.0
    assert bar_of(FEW, population) is None
