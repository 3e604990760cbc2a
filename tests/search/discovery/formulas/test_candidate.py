"""Candidates: text and tree say the same, and entries of them are what they say."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch

from attenergy import EnergyAttention, load_registry, make_energy
from attenergy.attention import gradient
from attenergy.energies.language import FormulaError, parse, to_text
from attenergy.registry import ArgumentError
from attenergy.search.discovery.formulas import (
    PARAMETERS,
    SYMBOLS,
    Candidate,
    Grammar,
    quadratic_part,
    reason_against,
)

REGISTRY = load_registry(plugins=False)
LSE = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
#: Entries whose quadratic part is known in another way than as a part of the formula.
RADIAL = {"lsr", "log_sum_kernel"}
SAYABLE = [name for name, spec in REGISTRY.energies.items() if Candidate.from_entry(spec)]


def test_the_formula_is_read_as_the_tree_that_it_was_written_from() -> None:
    for text in (LSE, "-2*|xi|^2 + beta*(|X @ xi| - 3)^2/2", "1/|xi|^2 - 2^-beta*(X @ xi) @ |X|"):
        candidate = Candidate.from_formula(text)
        assert parse(candidate.formula, SYMBOLS) == candidate.tree
        assert Candidate.from_formula(candidate.formula) == candidate


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("X @ xi", "scalar"),
        ("sum_n(|X|^2)", "must depend on xi"),
        ("|xi|^2 - |xi|^2", "must depend on xi"),
        ("|xi|^2*gamma", "unknown name 'gamma'"),
    ],
)
def test_what_is_no_energy_is_refused(text: str, part: str) -> None:
    with pytest.raises(FormulaError, match=part):
        Candidate.from_formula(text)


@pytest.mark.long
def test_the_key_is_that_of_the_normal_form_and_the_same_in_another_process() -> None:
    one = Candidate.from_formula(LSE)
    other = Candidate.from_formula("-lse((X*beta) @ xi)/beta + |xi|^2/2")
    assert one != other
    assert one.key == other.key
    assert len(one.key) == 12
    assert one.key != Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)").key
    code = (
        "from attenergy.search.discovery.formulas import Candidate\n"
        f"print(Candidate.from_formula({LSE!r}).key)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == one.key


def test_a_candidate_survives_pickling() -> None:
    candidate = Candidate.from_formula(LSE)
    assert candidate.key == pickle.loads(pickle.dumps(candidate)).key  # noqa: S301


def test_numbers_are_constants_and_exponents_but_no_signs_nor_bars() -> None:
    candidate = Candidate.from_formula("-0.5*exp(|xi|^2)^3 + 1/beta - log(2 + (X @ xi) @ |X|^1.5)")
    assert candidate.numbers == (0.5, 3.0, 2.0)
    assert candidate.with_numbers(candidate.numbers) == candidate
    changed = candidate.with_numbers([0.25, 2.5, -1.0])
    assert changed.numbers == (0.25, 2.5, -1.0)
    with pytest.raises(ArgumentError, match="has 3 numbers, got 1"):
        candidate.with_numbers([1.0])


@pytest.mark.parametrize("name", SAYABLE)
def test_an_entry_of_the_registry_becomes_a_candidate_with_the_same_gradient(name: str) -> None:
    spec = REGISTRY.energies[name]
    candidate = Candidate.from_entry(spec)
    assert candidate is not None
    entry = candidate.entry(title=name)
    assert entry.quadratic == (None if name in RADIAL else spec.quadratic)
    generator = torch.Generator().manual_seed(0)
    xi, X = (torch.randn(2, n, 6, generator=generator, dtype=torch.float64) for n in (3, 5))
    mask = torch.ones(3, 5, dtype=torch.bool).tril(1)
    energies = [make_energy(s, dim=6).double() for s in (spec, entry)]
    one, other = (gradient(energy, xi, X, mask=mask) for energy in energies)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("prior", ["spin", "onehot", "gaussian", "rectified"])
def test_choices_of_an_entry_are_chosen(prior: str) -> None:
    candidate = Candidate.from_entry(REGISTRY.energies["rbm"], {"prior": prior})
    assert candidate is not None
    assert candidate.key != Candidate.from_entry(REGISTRY.energies["rbm"]).key  # type: ignore[union-attr]


def test_every_other_entry_says_why_it_cannot_be_one() -> None:
    for name, spec in REGISTRY.energies.items():
        reason = reason_against(spec)
        assert (reason == "") == (name in SAYABLE)
        if reason:
            known = spec.class_ is not None or spec.domain != "real"
            assert known, f"{name}: {reason}"


def test_the_field_stands_beside_the_scaled_scores() -> None:
    texts = {
        LSE: "0.5*|xi|^2 - lse((beta*X) @ xi + h)/beta",
        "-lse(-0.5*beta*sqdist(X, xi))": "-lse(h - 0.5*beta*(|X|^2 + |xi|^2 - 2*(X @ xi)))",
        "sum_n(exp(X @ xi)*(X @ xi))": "sum_n(exp(X @ xi + h)*(X @ xi + h))",
        "|X' @ softmax(X @ xi) - xi|^2": "|X' @ softmax(X @ xi + h) - xi|^2",
        "|xi|^2": "|xi|^2",
    }
    for text, wanted in texts.items():
        candidate = Candidate.from_formula(text).with_field()
        assert candidate.formula == wanted
        assert candidate.with_field() == candidate


def test_an_entry_is_trained_by_a_layer() -> None:
    candidate = Candidate.from_formula("0.5*alpha*|xi|^2 - kappa*log(sum_n(exp(beta*X @ xi)))")
    entry = candidate.entry(title="Mine", doc="what it is", reference="a run")
    assert (entry.quadratic, entry.descends) == ("alpha", None)
    assert set(entry.parameters) == {"alpha", "beta", "kappa"}
    layer = EnergyAttention(8, 2, entry, steps=2)  # in the last one, weights are read
    value = layer(torch.randn(2, 5, 8))
    value.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (LSE, 1.0),
        ("3*|xi|^2 - |xi|^2 - sum_n(relu(X @ xi)^3)", 4.0),
        ("kappa*count_d()*|xi|^2 - log(sum_n(exp(X @ xi)*exp(2*(X @ xi))^2))", "2*D*kappa"),
        ("alpha*(|xi|^2 - |X @ xi|) - logcosh(|X @ xi|^2)", "2*alpha"),
        ("|xi|^2 - sum_n((X @ xi)^2 + (X @ xi)^4) + sqrt(1 + (xi @ sum_n(X)))", 2.0),
        ("lse(X @ xi)", None),
        ("-|xi|^2 - lse(X @ xi)", None),
        ("|xi|^2 + lse(X @ xi)", None),
        ("|xi|^2 - sum_n((X @ xi)^3)", None),
        ("|xi|^2 - logcosh(sum_n((X @ xi)^3))", None),
        ("|xi|^2 - logcosh(|X @ xi|^2 - 2)", None),
        ("|xi|^2 - log(sum_n((X @ xi)^2))", None),
        ("count_n()*|xi|^2 - lse(X @ xi)", None),
        ("|xi|^2*lse(X @ xi)", None),
        ("|xi|^2 - lse(X @ xi)*(sum_n(tanh(X)) @ xi)", None),
        ("|xi|^2 - max_n(|xi|^2*softmax(X @ xi))", None),
        ("|xi|^2 - exp(-|X @ xi|^2)", None),
    ],
)
def test_a_quadratic_part_is_declared_where_it_is_proven(text: str, part: object) -> None:
    assert quadratic_part(Candidate.from_formula(text).tree) == part


@pytest.mark.parametrize(
    "text", [LSE, "alpha*(|xi|^2 - |X @ xi|)", "|xi|^2 - log(sum_n(exp(X @ xi)^3))"]
)
@pytest.mark.parametrize("step", [0.3, 1.0, 1.95])
def test_a_proven_energy_never_rises(text: str, step: float) -> None:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    xi = 3 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    energy = make_energy(Candidate.from_formula(text).entry(title="t"), dim=4).double()
    curvature = energy.quadratic()
    assert curvature is not None
    after = xi - step / curvature * gradient(energy, xi, X)
    assert (energy(after, X) <= energy(xi, X) + 1e-12).all()


def test_a_grammar_leaves_functions_out_and_what_stands_for_them() -> None:
    grammar = Grammar.of(without=("lse", "count_n"))
    assert not {"lse", "count_n", "mean_n"} & set(grammar.functions)
    assert {"exp", "sum_n", "add", "sqdist"} <= set(grammar.functions)
    assert not grammar.allows(Candidate.from_formula(LSE))
    assert Grammar.of().allows(Candidate.from_formula(LSE))
    assert not Grammar.of().allows(Candidate.from_formula("|xi|^2"))  # no patterns
    assert not Grammar.of(most_nodes=12).allows(Candidate.from_formula(LSE))
    assert not Grammar.of(parameters=["alpha"]).allows(Candidate.from_formula(LSE))
    assert set(Grammar.of().parameters) == set(PARAMETERS)


def test_a_grammar_says_what_it_does_not_know() -> None:
    with pytest.raises(ArgumentError, match="no function 'lsee' to leave out"):
        Grammar.of(without=["lsee"])
    with pytest.raises(ArgumentError, match="no parameter 'gamma'"):
        Grammar.of(parameters=["gamma"])


def test_productions_are_calls_that_can_be_made() -> None:
    productions = Grammar.of().productions
    by_name = {p.function for p in productions}
    assert by_name == set(Grammar.of().functions)
    for production in productions:
        assert all(len(kind.axes) < 2 or kind.fixed for kind in production.arguments)


def test_the_text_of_a_tree_says_the_same_as_the_tree() -> None:
    for name in SAYABLE:
        candidate = Candidate.from_entry(REGISTRY.energies[name])
        assert candidate is not None
        assert to_text(candidate.tree) == candidate.formula


def test_exponents_of_what_is_never_below_0_are_tuned_above_1() -> None:
    text = "0.5*|xi|^2 - sum_n(relu(X @ xi)^2.5) - |X @ xi|^3 - sum_n((X @ xi)^3)"
    assert Candidate.from_formula(text).numbers == (0.5, 2.5)
