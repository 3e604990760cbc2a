"""Whose turn it is, who may be a parent, and what is proposed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.formulas.grammar import Grammar
from attenergy.search.discovery.formulas.variation import OPERATIONS
from attenergy.search.discovery.population.individual import Arm, Individual
from attenergy.search.discovery.population.proposals import FOUNDERS, next_arm, propose
from attenergy.search.discovery.population.selection import Selection, front, operation_weights

RUNGS = ("only",)
HALVES: dict[Arm, float] = {"evolved": 0.5, "random": 0.5}
LSE = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
SHORT = Candidate.from_formula("0.5*|xi|^2 - |X @ xi|^2")


def one(number: int, score: float | None, arm: Any = "evolved", **rest: Any) -> Individual:
    values: dict[str, Any] = {
        "candidate": LSE,
        "fingerprint": Fingerprint((float(number),), (number % 3,)),
        "scores": {} if score is None else {"only": score},
    }
    return Individual(number, arm, **{**values, **rest})


def test_the_registry_is_first_and_then_the_arm_that_has_spent_less() -> None:
    spent = [one(0, 0.1, seconds=3.0), one(1, 0.1, "random", seconds=2.0)]
    assert next_arm(spent, HALVES, waiting=1) == "registry"
    assert next_arm(spent, HALVES) == "random"
    assert next_arm(spent, {"evolved": 0.75, "random": 0.25}) == "evolved"


def test_one_arm_alone_has_every_turn() -> None:
    spent = [one(0, 0.1, seconds=3.0)]
    assert next_arm(spent, {"evolved": 1.0, "random": 0.0}) == "evolved"


def test_what_runs_counts_as_much_as_the_mean_of_its_arm() -> None:
    spent = [one(0, 0.1, seconds=2.0), one(1, 0.1, "random", seconds=3.0)]
    assert next_arm(spent, HALVES) == "evolved"
    assert next_arm([*spent, one(2, None)], HALVES) == "random"


def test_counting_candidates_asks_no_clock() -> None:
    spent = [one(0, 0.1, seconds=9.0), one(1, 0.1, "random"), one(2, 0.1, "random")]
    assert next_arm(spent, HALVES, unit="candidates") == "evolved"


def test_two_arms_end_with_equal_seconds_however_dear_each_of_their_candidates_is() -> None:
    population: list[Individual] = []
    for number in range(200):
        arm = next_arm(population, HALVES)
        seconds = {"evolved": 5.0, "random": 1.0}[arm]
        population.append(one(number, 0.1, arm, seconds=seconds))
    totals = Counter[str]()
    for each in population:
        totals[each.arm] += int(each.seconds)
    assert abs(totals["evolved"] - totals["random"]) <= 5


def test_the_control_neither_gives_parents_nor_knows_what_evolution_met() -> None:
    population = [one(0, 0.5, "registry"), one(1, 0.9), one(2, 0.8, "random")]
    keys = [each.fingerprint.key for each in population]
    evolved = Selection.of(population, "evolved", RUNGS)
    assert evolved.known == {keys[0], keys[1]}
    assert {each.number for members in evolved.niches.values() for each in members} == {0, 1}
    control = Selection.of(population, "random", RUNGS)
    assert control.known == {keys[0], keys[2]}
    assert not control.niches


def test_who_has_no_score_is_no_parent() -> None:
    selection = Selection.of([one(0, None), one(1, float("-inf")), one(2, 0.1)], "evolved", RUNGS)
    assert [each.number for each in selection.front] == [2]


def test_of_those_with_one_score_the_shortest_is_a_parent() -> None:
    population = [one(0, 0.5), one(1, 0.5, candidate=SHORT), one(2, 0.4)]
    selection = Selection.of(population, "evolved", RUNGS)
    parents = {each.number for members in selection.niches.values() for each in members}
    assert parents == {1, 2}
    assert len(selection.known) == 3


def test_the_front_is_of_score_cost_and_length() -> None:
    best, same, cheap = one(0, 0.9), one(1, 0.8), one(2, 0.8, cost=0.5)
    short = one(3, 0.1, candidate=SHORT)
    assert front([best, cheap, same, short]) == (best, cheap, short)


def test_a_small_niche_has_parents_as_well_as_a_large_one() -> None:
    crowd = [one(3 * n, 0.5 + n / 1000) for n in range(200)]
    selection = Selection.of([*crowd, one(1, 0.4), one(2, 0.3)], "evolved", RUNGS)
    rng = random.Random(0)
    niches = Counter(selection.parent(rng).fingerprint.niche for _ in range(2000))
    assert niches[1,] > 200
    assert niches[2,] > 30
    assert niches[0,] > niches[1,] > niches[2,]


def test_an_operation_that_improves_is_tried_more_often_and_none_is_given_up() -> None:
    good, bad = "replace", "insert"
    children = [
        one(n, 0.6 if n % 2 else 0.4, operation=good if n % 2 else bad, parents=(0,))
        for n in range(1, 121)
    ]
    weights = operation_weights([one(0, 0.5), *children])
    assert set(weights) == set(OPERATIONS)
    assert weights[good] > 0.9
    assert 0.1 < weights[bad] < weights[good] / 3
    assert weights["point"] > weights["crossover"] > weights["number"] > 0


def test_proposals_depend_on_population_and_generator_alone() -> None:
    population = [one(n, n / 40) for n in range(FOUNDERS + 4)]
    grammar = Grammar.of()

    def proposals() -> list[Any]:
        selection, rng = Selection.of(population, "evolved", RUNGS), random.Random("7 3")
        return [propose(selection, grammar, rng) for _ in range(20)]

    first = proposals()
    assert first == proposals()
    made = [each for each in first if each.parents]
    assert len(made) > 10
    assert all(each.operation in OPERATIONS for each in made)
    assert all(each.candidate.key != LSE.key for each in made)
    assert len({each.candidate.key for each in made}) > len(made) / 2


@pytest.mark.parametrize("arm", ["evolved", "random"])
def test_without_parents_formulas_are_random(arm: Arm) -> None:
    population = [one(n, 0.5, "random") for n in range(FOUNDERS + 4)]
    selection, rng = Selection.of(population, arm, RUNGS), random.Random(1)
    for _ in range(5):
        proposal = propose(selection, Grammar.of(), rng)
        assert (proposal.operation, proposal.parents) == ("random", ())


@pytest.mark.long
@pytest.mark.parametrize(("formula", "often"), [(SHORT, True), (LSE, False)])
def test_a_parent_without_parameters_is_often_given_one(formula: Candidate, often: bool) -> None:
    population = [one(n, n / 100, candidate=formula) for n in range(FOUNDERS)]
    selection = Selection.of(population, "evolved", RUNGS)
    rng = random.Random(0)
    operations = Counter(propose(selection, Grammar.of(), rng).operation for _ in range(200))
    assert (operations["temperature"] > 0.35 * operations.total()) == often
