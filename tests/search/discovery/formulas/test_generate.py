"""Random trees: well typed, within their limits, the same for the same seed, and not all alike."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from attenergy import make_energy
from attenergy.energies.language import FUNCTIONS, Function, elementwise, register_function
from attenergy.registry import ArgumentError
from attenergy.search.discovery.formulas import Candidate, Grammar, random_candidate
from attenergy.search.discovery.formulas.grammar import SCORES, called_in

COUNT = 40


def drawn(grammar: Grammar, count: int = COUNT) -> list[Candidate]:
    return [random_candidate(grammar, random.Random(seed)) for seed in range(count)]


def test_the_same_seed_gives_the_same_candidate() -> None:
    assert drawn(Grammar.of(), 5) == drawn(Grammar.of(), 5)


@pytest.mark.parametrize("most_nodes", [12, 40])
def test_every_drawn_tree_is_an_energy_of_states_and_patterns(most_nodes: int) -> None:
    grammar = Grammar.of(most_nodes=most_nodes)
    for candidate in drawn(grammar):
        assert candidate.length <= most_nodes
        assert grammar.allows(candidate)
        assert Candidate.from_formula(candidate.formula) == candidate


def test_drawn_trees_become_energies() -> None:
    X, xi = torch.randn(5, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    for candidate in drawn(Grammar.of(), 8):
        energy = make_energy(candidate.entry(title="drawn"), dim=4).double()
        assert energy(xi, X).shape == (3,)


@pytest.mark.long
def test_many_functions_are_drawn_and_few_candidates_twice() -> None:
    candidates = drawn(Grammar.of(), 150)
    calls = Counter(name for c in candidates for name in called_in(c.tree))
    assert {"add", "mul", "matmul", "sumsq", "lse", "sum_n", "max_n", "exp", "pow"} <= set(calls)
    assert len(calls) > 25
    assert len({c.key for c in candidates}) > 100
    quadratic = [c for c in candidates if c.entry(title="").quadratic is not None]
    assert 30 < len(quadratic) < 140


def test_functions_that_are_left_out_are_not_drawn() -> None:
    without = ("lse", "softmax", "softplus", "exp")
    calls = {n for c in drawn(Grammar.of(without=without), 60) for n in called_in(c.tree)}
    assert not calls & set(without)


def test_nothing_can_be_written_with_nothing() -> None:
    with pytest.raises(ArgumentError, match="no energy was written"):
        random_candidate(Grammar(("exp", "log"), most_nodes=10), random.Random(0))


@pytest.mark.long
def test_a_registered_function_takes_part() -> None:
    def halved(z: torch.Tensor) -> torch.Tensor:
        return z / 2

    register_function(
        Function("halved", 1, elementwise, "z/2", torch=halved, derivative=lambda z: 0.5, tame=True)
    )
    try:
        grammar = Grammar.of()
        assert "halved" in grammar.functions
        assert any(p.function == "halved" and p.kind == SCORES for p in grammar.productions)
        assert any("halved" in called_in(c.tree) for c in drawn(grammar, 100))
    finally:
        del FUNCTIONS["halved"]
    assert "halved" not in Grammar.of().functions
