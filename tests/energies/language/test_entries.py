"""Formulas of entries: what is no energy, choices, names of parameters, and all errors at once."""

from __future__ import annotations

import pytest

from attenergy.energies import FormulaError, formula_problems, formula_tree, make_energy
from attenergy.energies.language import PATTERNS, XI, equivalent, parse
from attenergy.registry import EnergySpec, Registry


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("X @ xi", r"must be a scalar, this formula gives \[N\]"),
        ("xi", r"must be a scalar, this formula gives \[D\]"),
        ("lse(h)", "must depend on xi"),
        ("0*|xi|^2 + lse(h)", "must depend on xi"),
        ("3", "must depend on xi"),
    ],
)
def test_formulas_that_are_no_energies(formula, message, entry):
    with pytest.raises(FormulaError, match=message):
        formula_tree(entry(formula))


def test_choices_take_one_argument_and_their_own_errors_name_their_place(entry):
    prior = {"default": "a", "options": {"a": "sum_n(exp(z))", "b": "sum_n(exp(zz))"}}
    right = entry("|xi|^2 - prior(X @ xi)", choices={"prior": prior})
    wanted = parse("|xi|^2 - sum_n(exp(X @ xi))", {"xi": XI, "X": PATTERNS})
    assert equivalent(formula_tree(right), wanted)
    with pytest.raises(FormulaError, match="prior takes 1 argument, got 2"):
        formula_tree(entry("prior(X @ xi, h)", choices={"prior": prior}))
    with pytest.raises(FormulaError, match=r"write prior\(\.\.\.\)"):
        formula_tree(entry("|xi|^2 + prior", choices={"prior": prior}))
    with pytest.raises(FormulaError, match="unknown name 'zz'; did you mean 'z'") as caught:
        formula_tree(right, settings={"prior": "b"})
    assert caught.value.path == ("choices", "prior", "options", "b")
    assert caught.value.offset == 10
    with pytest.raises(ValueError, match=r"'prior' cannot be 'aa'.*options: a, b"):
        formula_tree(right, settings={"prior": "aa"})


def test_formula_problems_lists_all_errors_of_all_entries(entry):
    prior = {"default": "a", "options": {"a": "sum_n(z)", "b": "sum_n(zz)", "c": "sum_n("}}
    energies = {
        "one": entry("|xi|^2 + lsee(X @ xi)"),
        "two": entry("|xi|^2 - prior(X @ xi)", choices={"prior": prior}),
        "three": entry("|xi|^2/beta", beta={"init": "1/sqrt(E)"}),
        "right": entry("|xi|^2"),
        "four": EnergySpec.model_validate({"title": "t", "class": "GraphHopfeld"}),
        "five": entry("|xi|^2").model_copy(update={"domain": "spere"}),
    }
    problems = formula_problems(Registry(energies=energies))
    messages = {p.path: p.message for p in problems}
    assert list(messages) == [
        "energies.one.formula",
        "energies.two.choices.prior.options.b",
        "energies.two.choices.prior.options.c",
        "energies.three.parameters.beta.init",
        "energies.four.class",
        "energies.five.domain",
    ]
    assert "no domain 'spere' (did you mean 'sphere'?)" in messages["energies.five.domain"]
    assert "did you mean 'GraphHopfield'" in messages["energies.four.class"]


@pytest.mark.parametrize("name", ["xi", "X", "h", "s", "q", "mask", "lse"])
def test_parameters_cannot_take_a_name_that_means_something_else(name, entry):
    with pytest.raises(FormulaError, match=f"'{name}' cannot be a name here"):
        formula_tree(entry("|xi|^2", **{name: {"init": 1.0}}))


def test_a_wrong_formula_makes_no_energy(entry):
    with pytest.raises(FormulaError, match="column 10"):
        make_energy(entry("|xi|^2 + lsee(X @ xi)"), dim=4)
