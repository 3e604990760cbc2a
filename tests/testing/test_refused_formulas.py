"""Every law refuses what breaks it: formulas and settings that are wrong in one way alone."""

from __future__ import annotations

import pytest

from attenergy.energies import FormulaError
from attenergy.registry import EnergySpec
from attenergy.testing import LAWS, check_law

TRUTH, MASKS, KNOWN, DESCENT, CROSS_TALK, TRAINS, GRADIENT, _, BOUNDED = LAWS

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # fused softmax under vmap
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch's compiler
]


def entry(formula=None, **changes):
    data = {"title": "test", "quadratic": 1.0, "formula": formula, **changes}
    return EnergySpec.model_validate(data)


LSE = "0.5*|xi|^2 - lse(X @ xi + h)"
BROKEN_FORMULAS = {
    "attention that is not quite softmax": (
        KNOWN,
        {
            "formula": "0.501*|xi|^2 - lse(beta * X @ xi + h)/beta",
            "parameters": {"beta": {"init": 1.0, "constraint": "positive"}},
            "known_answers": ["softmax_attention"],
        },
    ),
    "an answer that is not finite": (
        KNOWN,
        {
            "formula": "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta + 1e-30*log(beta - 100)*(xi @ xi)",
            "parameters": {"beta": {"init": 1.0, "constraint": "positive"}},
            "known_answers": ["softmax_attention"],
            "quadratic": None,
        },
    ),
    "an unknown answer": (KNOWN, {"formula": LSE, "known_answers": ["softmax_atention"]}),
    "an answer about another energy": (
        KNOWN,
        {"formula": LSE, "known_answers": ["mixed_patterns"]},
    ),
    "a quadratic part that is too small": (DESCENT, {"formula": LSE, "quadratic": 0.3}),
    "a searched scalar that breaks the promise": (
        DESCENT,
        {
            "formula": "0.5*scale*|xi|^2 - lse(X @ xi + h)",
            "parameters": {
                "scale": {
                    "init": 0.5,
                    "constraint": "positive",
                    "learnable": "no",
                    "search": {"low": 0.1, "high": 10},
                }
            },
        },
    ),
    "a learned scalar that breaks the promise": (
        DESCENT,
        {
            "formula": "0.5*(1 + c^2)*|xi|^2 - lse(X @ xi + h)",
            "parameters": {"c": {"init": 0.0}},
        },
    ),
    "a promise that breaks inside a search range": (
        DESCENT,
        {
            "formula": "0.5*(1 + 3*exp(-(a - 5)^2))*|xi|^2 - lse(X @ xi + h)",
            "parameters": {"a": {"init": 1.0, "search": {"low": 0.1, "high": 10}}},
        },
    ),
    "a promise that breaks at an odd number": (
        DESCENT,
        {
            "formula": "(1 - 0.5*cos(3.141592653589793*n))*|xi|^2 - lse(X @ xi + h)",
            "parameters": {
                "n": {"init": 2, "learnable": "no", "search": {"low": 2, "high": 4}},
            },
        },
    ),
    "a promise that breaks where two scalars are large": (
        DESCENT,
        {
            "formula": "0.5*(1 + relu(a*b - 4))*|xi|^2 - lse(X @ xi + h)",
            "parameters": {
                name: {"init": 1.0, "constraint": "positive", "search": {"low": 0.1, "high": 3}}
                for name in "ab"
            },
        },
    ),
    "a promise that breaks where a choice meets the end of a range": (
        DESCENT,
        {
            "formula": "0.5*|xi|^2 + 0.5*scale*F(|xi|^2) - lse(X @ xi)",
            "parameters": {
                "scale": {
                    "init": 0.001,
                    "constraint": "positive",
                    "learnable": "no",
                    "search": {"low": 0.001, "high": 10, "log": True},
                }
            },
            "choices": {"F": {"default": "zero", "options": {"zero": "0*z", "same": "z"}}},
            "quadratic": 1.1,
        },
    ),
    "a promise that breaks with the number of components": (
        DESCENT,
        {"formula": "0.5*(count_d()/4)*|xi|^2 - lse(X @ xi)"},
    ),
    "a promise that breaks with the number of patterns": (
        DESCENT,
        {"formula": "0.5*(count_n()/5)*|xi|^2 - lse(X @ xi)"},
    ),
    "a learned vector that breaks the promise": (
        DESCENT,
        {
            "formula": "0.5*|xi|^2 + 0.5*|v*xi|^2 - lse(X @ xi + h)",
            "parameters": {"v": {"init": 0.3, "shape": ["D"]}},
            "quadratic": 1.1,
        },
    ),
    "unbounded, with a promise": (
        BOUNDED,
        {"formula": "0.5*|xi|^2 - sum_n((X @ xi)^4)/4"},
    ),
    "a repulsive part": (DESCENT, {"formula": "0.5*|xi|^2 + 5*lse(2 * X @ xi + h)"}),
    "unbounded below": (DESCENT, {"formula": "0.5*|xi|^2 - sum_n(exp(X @ xi + h))"}),
    "convex on the sphere": (
        DESCENT,
        {"formula": "sum_n(relu(X @ xi + h)^3)", "quadratic": None, "domain": "sphere"},
    ),
    "a root at zero": (TRAINS, {"formula": LSE + " + sqrt(|xi|^2)"}),
    "a logarithm at zero": (TRAINS, {"formula": LSE + " + log(|xi|^2)"}),
    "a root of a negative number": (TRUTH, {"formula": LSE + " + sqrt(-|xi|^2)"}),
}


@pytest.mark.parametrize("name", BROKEN_FORMULAS)
def test_a_broken_formula_is_refused(name):
    law, changes = BROKEN_FORMULAS[name]
    result = check_law(law, entry(**changes))
    assert result.passed is False, str(result)


def test_a_law_that_does_not_apply_says_why():
    silent = entry("|xi|^2 - lse(X @ xi)", quadratic=None)
    assert check_law(DESCENT, silent).passed is None
    assert "nothing is guaranteed" in check_law(DESCENT, silent).note
    assert "names no known answers" in str(check_law(KNOWN, silent))
    assert str(check_law(DESCENT, silent)).startswith("n/a   ")


def test_a_law_names_the_backends_that_it_compared():
    quadratic = entry("|xi - w|^2", quadratic=None, parameters={"w": {"init": 0.0, "shape": ["D"]}})
    result = check_law(TRUTH, quadratic)
    assert result.passed, str(result)
    assert "of chunked, traced from torch.func.grad" in result.note


def test_a_wrong_formula_is_an_error_not_a_result():
    with pytest.raises(FormulaError, match="column 1"):
        check_law(TRUTH, entry("lsee(X @ xi)"))
