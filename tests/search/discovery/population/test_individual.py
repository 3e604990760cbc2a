"""What individuals are called, and in which order they stand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.population.finalists import Finalist, choose_finalists
from attenergy.search.discovery.population.individual import Individual, by_merit

RUNGS = ("cheap", "dear")
SHORT = Candidate.from_formula("0.5*|xi|^2 - lse(X @ xi)")
LONG = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")


def one(
    number: int, *scores: float, arm: Any = "evolved", niche: int = 0, **rest: Any
) -> Individual:
    values: dict[str, Any] = {
        "candidate": LONG,
        "fingerprint": Fingerprint((float(number),), (niche,)),
        "scores": dict(zip(RUNGS, scores, strict=False)),
    }
    return Individual(number, arm, **{**values, **rest})


@pytest.mark.parametrize(
    ("arm", "name"), [("registry", "lse"), ("evolved", "discovered_3"), ("random", "random_3")]
)
def test_the_registrys_keep_their_names(arm: Any, name: str) -> None:
    assert one(3, arm=arm, operation="lse").name == name


def test_the_highest_rung_counts_first_and_a_rung_without_a_score_does_not() -> None:
    population = [one(0, 0.9), one(1, 0.5, 0.1), one(2, 0.6, -math.inf), one(3), one(4, 0.5, 0.2)]
    assert [each.number for each in by_merit(population, RUNGS)] == [4, 1, 0, 2, 3]
    assert population[2].rung == "cheap"
    assert not population[3].rung


def test_who_is_poor_on_a_high_rung_stands_on_a_lower_one() -> None:
    drawn = one(9, 0.1, 0.05, niche=9)  # at random: to see how well the first rung predicts
    population = [one(0, 0.9, 0.8), one(1, 0.8, 0.7), one(2, 0.85, 0.6), one(3, 0.7), drawn]
    assert [each.number for each in by_merit(population, RUNGS)] == [0, 1, 2, 3, 9]
    assert names(choose_finalists(population, RUNGS, 2)) == [
        *("softmax", "discovered_0", "discovered_1")
    ]
    # Another arm is no rival: the control's best is its best on the highest rung.
    control = [one(10, 0.9, 0.1, arm="random"), one(11, 0.95, 0.05, arm="random")]
    assert names(choose_finalists([*population, *control], RUNGS, 1))[-1] == "random_10"


def test_among_equals_the_shorter_comes_first() -> None:
    population = [one(0, 0.5), one(1, 0.5, candidate=SHORT)]
    assert [each.number for each in by_merit(population, RUNGS)] == [1, 0]


def names(finalists: tuple[Finalist, ...]) -> list[str]:
    return [each.name for each in finalists]


def test_finalists_are_the_best_of_each_arm_and_of_different_niches() -> None:
    population = [
        *(one(0, 0.5, 0.6, arm="registry", operation="lse"), one(1, 0.9, arm="registry")),
        *(one(2, 0.5, 0.9), one(3, 0.5, 0.8), one(4, 0.5, 0.7, niche=1), one(5, 0.99, niche=2)),
        *(one(8, 0.5, 0.1), one(9, 0.5, 0.2)),
        *(one(6, 0.5, 0.3, arm="random"), one(7, 0.5, 0.4, arm="random")),
    ]
    finalists = choose_finalists(population, RUNGS, 2)
    assert names(finalists) == ["softmax", "lse", "discovered_2", "discovered_4", "random_7"]
    assert [each.role for each in finalists] == [
        *("softmax", "registry", "evolved", "evolved", "random")
    ]
    # A second one of a niche comes before one that has not climbed as high.
    more = names(choose_finalists(population, RUNGS, 3))
    assert more == ["softmax", "lse", "discovered_2", "discovered_3", "discovered_4", "random_7"]


@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_all_is_a_finalist_and_so_is_the_best_of_the_next_niches(seed: int) -> None:
    draw = random.Random(seed)
    scores = draw.sample(range(20), 8)  # all above the half of those that follow
    stand = [one(n, 0.5, 1 + s, niche=draw.randrange(4)) for n, s in enumerate(scores)]
    behind = [one(n, 0.5, 0.0, niche=9) for n in range(8, 16)]
    population = draw.sample([*stand, *behind], 16)
    bests: dict[tuple[int, ...], str] = {}
    for each in sorted(stand, key=lambda each: -each.scores[RUNGS[1]]):
        bests.setdefault(each.fingerprint.niche, each.name)
    for count in range(1, 5):
        chosen = names(choose_finalists(population, RUNGS, count))[1:]
        assert set(list(bests.values())[:count]) <= set(chosen)
        assert len(chosen) == count


def test_an_arm_without_scores_has_no_finalist() -> None:
    population = [one(0), one(1, 0.5, arm="random")]
    assert names(choose_finalists(population, RUNGS, 3)) == ["softmax", "random_1"]
    assert choose_finalists(population, RUNGS, 0) == ()
