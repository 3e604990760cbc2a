"""Names of parameters and choices that would shadow something or that do nothing."""

from __future__ import annotations

import pytest

from attenergy.energies import formula_problems, make_energy
from attenergy.energies.language import FormulaError
from attenergy.registry import EnergySpec, Registry

PRIOR = {"default": "a", "options": {"a": "lse(z)", "b": "sum_n(z)"}}


def entry(**changes: object) -> EnergySpec:
    fields: dict[str, object] = {"title": "test", "formula": "|xi|^2 - lse(b*X @ xi)"}
    fields["parameters"] = {"b": {"init": 1.0, "constraint": "positive"}}
    return EnergySpec.model_validate({**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"formula": "|xi|^2 - lse(X @ xi)"}, "parameters.b", "never uses 'b'"),
        ({"parameters": {"lse": {"init": 1.0}}}, "parameters.lse", "something else: a function"),
        (
            {"parameters": {"b": {"init": 1.0}, "q": {"init": 1.0}}},
            "parameters.q",
            "symbols of formulas, X, ",
        ),
        ({"choices": {"lse": PRIOR}}, "choices.lse", "means something else"),
        ({"choices": {"prior": PRIOR}}, "choices.prior", "never uses 'prior'"),
        (
            {"formula": "|xi|^2 - p(b*X @ xi)", "choices": {"p": {**PRIOR, "argument": "xi"}}},
            "choices.p.argument",
            "'xi' means something else",
        ),
        (
            {"formula": "|xi|^2 - p(b*X @ xi)", "choices": {"p": {**PRIOR, "argument": "b"}}},
            "choices.p.argument",
            "'b' means something else",
        ),
        ({"quadratic": "1 + c"}, "quadratic", "unknown name 'c'"),
        ({"quadratic": "b*count_d()"}, "quadratic", "only use the entry's parameters and D"),
    ],
)
def test_names_are_checked(changes: dict[str, object], path: str, message: str) -> None:
    spec = entry(**changes)
    problems = formula_problems(Registry(energies={"test": spec}))
    assert [p.path for p in problems] == [f"energies.test.{path}"]
    assert message in problems[0].message
    if "never uses" in message:
        make_energy(spec, dim=4)  # harmless outside a registry
        return
    with pytest.raises(FormulaError, match=message):
        make_energy(spec, dim=4)


def test_a_quadratic_part_may_use_the_width() -> None:
    energy = make_energy(entry(quadratic="b*D"), dim=6)
    assert energy.quadratic().item() == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"formula": "|xi|^2 - lse(b*X @ xi"}, "formula, column 22"),
        ({"formula": "|xi|^2 - lse(b*X @ x)"}, "formula, column 20"),
        ({"formula": "b*X @ xi"}, "formula, column 1"),
        (
            {
                "formula": "|xi|^2 - p(b*X @ xi)",
                "choices": {"p": {"default": "a", "options": {"a": "lse(z) + y"}}},
            },
            "choices.p.options.a, column 10",
        ),
    ],
)
def test_an_error_of_a_formula_names_the_entry_that_it_is_from(
    changes: dict[str, object], place: str
) -> None:
    spec = entry(**changes)
    with pytest.raises(FormulaError) as named:
        make_energy("test", dim=4, registry=Registry(energies={"test": spec}))
    assert str(named.value).startswith(f"energies.test.{place}: ")
    with pytest.raises(FormulaError) as alone:
        make_energy(spec, dim=4)
    assert str(alone.value).startswith(f"{place}: ")
