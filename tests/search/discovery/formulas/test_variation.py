"""Variations: well typed, within their limits, decided by the seed, and enough of them."""

from __future__ import annotations

import random

import pytest

from attenergy.energies.language import FormulaError
from attenergy.registry import ArgumentError
from attenergy.search.discovery.formulas import (
    OPERATIONS,
    Candidate,
    Grammar,
    random_candidate,
    vary,
)
from attenergy.search.discovery.formulas.positions import node_at, replaced, walk

GRAMMAR = Grammar.of()
LSE = Candidate.from_formula("0.5*|xi|^2 - lse(beta*(X @ xi))/beta")
OTHER = Candidate.from_formula("|xi|^2 - sum_n(softplus(X @ xi)^2)")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_valid_candidates_that_the_seed_decides(name: str) -> None:
    operation = OPERATIONS[name]
    made = []
    for seed in range(30):
        parents = [LSE, OTHER, random_candidate(GRAMMAR, random.Random(seed))]
        random.Random(seed).shuffle(parents)
        parents = parents[: operation.parents]
        child = vary(name, parents, GRAMMAR, random.Random(seed))
        assert child == vary(operation, parents, GRAMMAR, random.Random(seed))
        if child is not None:
            assert GRAMMAR.allows(child)
            assert child.key not in {p.key for p in parents}
            assert Candidate.from_formula(child.formula) == child
            made.append(child.key)
    assert len(set(made)) > 10


@pytest.mark.long
def test_the_size_limit_holds() -> None:
    grammar = Grammar.of(most_nodes=16)
    for seed in range(40):
        for name in ("insert", "replace", "term", "factor"):
            child = vary(name, [LSE], grammar, random.Random(seed))
            assert child is None or child.length <= 16


def test_what_cannot_be_varied_gives_nothing() -> None:
    plain = Candidate.from_formula("lse(X @ xi)")
    assert vary("number", [plain], GRAMMAR, random.Random(0)) is None


def test_a_wrong_name_or_number_of_parents_is_said() -> None:
    with pytest.raises(ArgumentError, match="no operation 'crosover'"):
        vary("crosover", [LSE], GRAMMAR, random.Random(0))
    with pytest.raises(ArgumentError, match="takes 2 candidates, got 1"):
        vary("crossover", [LSE], GRAMMAR, random.Random(0))


def test_positions_lead_to_their_nodes() -> None:
    for path, node in walk(LSE.tree):
        assert node_at(LSE.tree, path) is node
        assert replaced(LSE.tree, path, node) == LSE.tree
    with pytest.raises(IndexError):
        node_at(LSE.tree, (0, 1, 0, 0))
    with pytest.raises(FormulaError):
        replaced(
            LSE.tree, next(p for p, n in walk(LSE.tree) if str(n) == "xi"), node_at(LSE.tree, ())
        )


def chance_of(name: str, parent: Candidate, wanted: str, grammar: Grammar) -> float:
    """How often an operation gives a candidate."""
    key, rng, count = Candidate.from_formula(wanted).key, random.Random(0), 400
    children = (vary(name, [parent], grammar, rng) for _ in range(count))
    return sum(child is not None and child.key == key for child in children) / count


@pytest.mark.long
@pytest.mark.parametrize(
    ("without", "steps"),
    [
        (
            (),
            [
                ("point", "0.5*|xi|^2 - lse(X @ xi)"),
                ("temperature", "0.5*|xi|^2 - lse(beta*(X @ xi))/beta"),
            ],
        ),
        (
            ("lse", "softmax", "softplus", "logcosh"),
            [
                ("insert", "0.5*|xi|^2 - sum_n(exp(X @ xi))"),
                ("insert", "0.5*|xi|^2 - log(sum_n(exp(X @ xi)))"),
                ("temperature", "0.5*|xi|^2 - log(sum_n(exp(beta*(X @ xi))))/beta"),
            ],
        ),
    ],
)
def test_log_sum_exp_is_reached_from_nothing(
    without: tuple[str, ...], steps: list[tuple[str, str]]
) -> None:
    grammar = Grammar.of(without=without)
    small = Grammar.of(without=without, most_nodes=14)
    start = "0.5*|xi|^2 - sum_n(X @ xi)"
    key = Candidate.from_formula(start).key
    assert any(random_candidate(small, random.Random(s)).key == key for s in range(1000))
    tree = Candidate.from_formula(start)
    for operation, wanted in steps:
        assert chance_of(operation, tree, wanted, grammar) >= 0.002, wanted
        tree = Candidate.from_formula(wanted)


def test_a_function_is_exchanged_for_one_that_takes_less() -> None:
    parent = Candidate.from_formula("0.5*|xi|^2 - entmax_conj(beta*(X @ xi), 1.5)/beta")
    assert chance_of("point", parent, "0.5*|xi|^2 - lse(beta*(X @ xi))/beta", GRAMMAR) > 0.005


def test_a_call_without_arguments_may_stand_in_a_formula_that_varies() -> None:
    parent = Candidate.from_formula("0.5*|xi|^2 - |X @ xi|^2/(count_n() + count_d())")
    children = [vary("point", [parent], GRAMMAR, random.Random(seed)) for seed in range(60)]
    assert any(children)
