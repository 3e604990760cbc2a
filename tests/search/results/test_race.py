"""Which runs a race asks for next; scores are made up, nothing is trained."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from attenergy.search.results.race import (
    RaceRules,
    Scores,
    differences,
    next_round,
    p_values,
)
from attenergy.search.results.sequential import least_seeds

Played = dict[str, dict[int, float | None]]


def rules(*challengers: str, **changes: Any) -> RaceRules:
    fields = {"first": 10, "seeds": 3, "slots": 1, "chance": 0.0, "ceiling": 1.0}
    return RaceRules(("base", *challengers), "base", **{**fields, **changes})


def level(seeds: int, **scores: float) -> Played:
    """So many seeds of each, all alike."""
    return {name: dict.fromkeys(range(10, 10 + seeds), score) for name, score in scores.items()}


def pairs_of(runs: tuple[tuple[str, int], ...]) -> Counter[str]:
    return Counter(name for name, _ in runs)


def test_everybody_has_the_first_seeds() -> None:
    scores: Played = {"base": {10: 0.5}, "a": {}}
    coming = next_round(rules("a"), scores, left=0)
    assert coming.runs == (("a", 10), ("base", 11), ("a", 11), ("base", 12), ("a", 12))
    assert (coming.undecided, coming.end) == ((), "")


def test_then_the_undecided_go_at_once_to_where_something_can_be_called() -> None:
    scores = level(3, base=0.5, a=0.5, b=0.9)
    coming = next_round(rules("a", "b"), scores, left=100)
    least = least_seeds(2)
    assert pairs_of(coming.runs) == dict.fromkeys(("base", "a", "b"), least - 3)
    assert coming.undecided == ("a", "b")
    assert coming.runs[:3] == (("base", 13), ("a", 13), ("b", 13)), "pair by pair"


def test_who_is_decided_gets_no_more_seeds() -> None:
    least = least_seeds(2)
    scores = level(least, base=0.5, a=0.5, b=0.9)
    coming = next_round(rules("a", "b"), scores, left=100)
    assert coming.undecided == ("a",)
    assert pairs_of(coming.runs) == {"base": 1, "a": 1}
    scores = level(least, base=0.5, a=0.1, b=0.9)
    assert next_round(rules("a", "b"), scores, left=100).end == "decided"


def test_nobody_learned_and_no_seed_is_added() -> None:
    coming = next_round(rules("a", chance=0.5), level(3, base=0.5, a=0.51), left=100)
    assert (coming.runs, coming.end) == ((), "unlearned")
    one = next_round(rules("a", chance=0.5), level(3, base=0.5, a=0.9), left=100)
    assert one.runs, "one is enough"


def test_without_a_reference_or_a_challenger_there_is_no_race() -> None:
    alone = RaceRules(("a", "b"), None, first=10)
    assert next_round(alone, level(3, a=0.5, b=0.9), left=100).end == "single"
    assert next_round(rules(), level(3, base=0.5), left=100).end == "single"


@pytest.mark.parametrize(("left", "runs"), [(0, 0), (1, 0), (2, 2), (3, 3), (4, 3), (5, 5)])
def test_a_budget_is_not_overrun_nor_spent_on_the_reference_alone(left: int, runs: int) -> None:
    scores = level(3, base=0.5, a=0.5, b=0.5)
    coming = next_round(rules("a", "b"), scores, left)
    assert len(coming.runs) == runs
    assert (coming.end == "spent") == (runs == 0)


#: Differences of eight seeds: of a contender that is near to a decision, and of one that is not.
NEAR = (0.12, 0.0, 0.1, 0.02, 0.13, -0.01, 0.08, 0.04)
FAR = (0.05, -0.05, 0.05, -0.05, 0.05, -0.05, 0.05, -0.05)


def with_differences(**differences_of: tuple[float, ...]) -> Played:
    of_all = {"base": (0.0,) * 8, **differences_of}
    return {
        name: {10 + i: 0.5 + difference for i, difference in enumerate(values)}
        for name, values in of_all.items()
    }


def test_what_is_left_goes_to_the_nearest_to_a_decision() -> None:
    coming = next_round(rules("a", "b"), with_differences(a=FAR, b=NEAR), left=40)
    assert coming.undecided == ("a", "b")
    assert set(pairs_of(coming.runs)) == {"base", "b"}
    # Who cannot be decided comes last: when no other is left, and with what is left.
    coming = next_round(rules("a"), with_differences(a=FAR), left=40)
    assert set(pairs_of(coming.runs)) == {"base", "a"}
    both = next_round(rules("a", "b"), with_differences(a=NEAR, b=NEAR), left=100)
    assert set(pairs_of(both.runs)) == {"base", "a", "b"}


def test_one_who_was_passed_over_goes_on_with_seeds_that_nobody_has_played() -> None:
    """Where the reference is known, the choice to add a seed could depend on it."""
    scores = with_differences(a=FAR)
    scores["base"] |= dict.fromkeys(range(18, 22), 0.5)
    coming = next_round(rules("a"), scores, left=40)
    assert coming.runs == (("base", 22), ("a", 22))
    scores["base"][22], scores["a"][22] = 0.5, 0.6
    assert len(differences(rules("a"), scores, "a")) == 9, "what it has not played is left out"


def test_a_variant_that_comes_later_has_the_first_seeds_of_the_reference() -> None:
    """Up to where something can be called everybody has the same seeds, whatever they show."""
    scores = level(12, base=0.5, a=0.9)
    scores["b"] = {}
    race = rules("a", "b")
    scores["b"] = {seed: 0.5 for _, seed in next_round(race, scores, left=100).runs}
    assert sorted(scores["b"]) == [10, 11, 12]
    coming = next_round(race, scores, left=100)
    assert coming.runs == tuple(("b", seed) for seed in range(13, 10 + least_seeds(2)))


@pytest.mark.parametrize(
    ("slots", "runs"), [(1, 2), (2, 2), (3, 6), (4, 4), (5, 8), (8, 8), (64, 64)]
)
def test_rounds_keep_the_workers_busy(slots: int, runs: int) -> None:
    coming = next_round(rules("a", slots=slots), with_differences(a=FAR), left=1000)
    assert len(coming.runs) == runs


def test_a_gap_of_an_interrupted_round_is_filled_and_nothing_behind_it_is_looked_at() -> None:
    """Else the past would change when it is filled, and the test goes by the order."""
    scores = level(5, base=0.5, a=0.9)
    del scores["base"][13]
    assert len(differences(rules("a"), scores, "a")) == 3
    coming = next_round(rules("a"), scores, left=100)
    assert coming.runs[0] == ("base", 13)
    assert ("a", 14) not in coming.runs


def test_seeds_without_a_score_are_passed_over() -> None:
    scores = level(8, base=0.5, a=0.9, b=0.5)
    scores["a"][11] = None
    scores["b"] = dict.fromkeys(scores["b"])
    assert len(differences(rules("a", "b"), scores, "a")) == 7
    coming = next_round(rules("a", "b"), scores, left=100)
    assert (coming.undecided, coming.end) == ((), "decided"), "nothing can come of `b`"


def play(race: RaceRules, rng: random.Random, shift: float, budget: int) -> Played:
    """A whole race; the first challenger is better by a shift."""
    scores: Played = {name: {} for name in race.contenders}
    first = race.seeds * len(race.contenders)

    def played() -> int:
        return sum(map(len, scores.values()))

    while coming := next_round(race, _read_only(scores), budget - max(played(), first)).runs:
        for name, seed in coming:
            assert seed not in scores[name], "no run twice"
            mean = 0.5 + (shift if name == race.challengers[0] else 0.0)
            scores[name][seed] = min(1.0, max(0.0, rng.gauss(mean, 0.05)))
        assert played() <= max(budget, first)
    return scores


def _read_only(scores: Played) -> Scores:
    return {name: dict(by_seed) for name, by_seed in scores.items()}


@pytest.mark.long
def test_equal_contenders_are_rarely_called_and_a_planted_one_is() -> None:
    """See benchmarks/deciding.py for the same on real scores."""
    race, rng = rules("a", "b", "c", slots=2), random.Random(0)
    wrong = sum(min(p_values(race, play(race, rng, 0.0, 48)).values()) <= 0.05 for _ in range(30))
    assert wrong <= 5, "5 % and three standard deviations"
    planted = [p_values(race, play(race, rng, 0.2, 48)) for _ in range(8)]
    assert sum(p["a"] <= 0.05 for p in planted) >= 7
