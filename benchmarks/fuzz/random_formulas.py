"""Random formulas over the whole language: each rule turns axes into text that has these axes."""

from __future__ import annotations

import random
from collections.abc import Callable

from attenergy.energies.language import FIELD, FUNCTIONS, PUBLIC, FormulaError, elementwise
from attenergy.registry import EnergySpec

Axes = str  # "" a scalar, "D", "N", "ND", "DD"
Sub = Callable[[Axes], str]
Rule = Callable[["random.Random", Sub], str]

ELEMENTWISE = tuple(name for name in PUBLIC if FUNCTIONS[name].typing is elementwise)
EXPONENTS = ("2", "3", "-1", "-2", "0.5", "1.5", "beta", "(1 + beta)")
CONJUGATES = ("sparsemax{}({})", "entmax{}({}, 1.5)", "entmax{}({}, 1 + mixing)",
              "normmax{}({}, 2)", "normmax{}({}, 1.5 + beta)", "ksubsets{}({}, 2)",
              "ksubsets{}({}, 1.5)")  # fmt: skip
#: Names that ask for trouble: keywords, attributes of modules and globals of generated code.
PARAMETERS = {
    "beta": {"init": 0.8, "constraint": "positive"},
    "lambda": {"init": -0.6},
    "mixing": {"init": 0.3, "constraint": "unit"},
    "inf": {"init": 1.3, "learnable": "no"},
    "type": {"init": 0.5, "shape": ["D"]},
    "v": {"init": 0.4, "shape": ["D"], "constraint": "positive"},
    "torch": {"init": 0.7, "shape": ["D", "D"]},
}
LEAVES: dict[Axes, tuple[str, ...]] = {
    "": ("beta", "lambda", "mixing", "inf", "0.5", "2", "3.7", "|xi|^2", "count_n()", "count_d()",
         "|xi|", "lse(X @ xi)", "lse(X @ xi + h)", "xi @ type"),
    "D": ("xi", "xi", "xi", "type", "v"),
    "N": ("X @ xi", "X @ xi", "X @ xi + h", "h", "sqdist(X, xi)", "X @ v", "|X|", "|X|^2"),
    "ND": ("X",),
    "DD": ("torch",),
}  # fmt: skip


def _function(random: random.Random, value: str) -> str:
    name = random.choice(ELEMENTWISE)
    if name in ("log", "sqrt") and random.random() < 0.8:
        value = random.choice(("1 + softplus({})", "0.1 + ({})^2", "exp({})")).format(value)
    return f"{name}({value})"


def _power(random: random.Random, value: str) -> str:
    exponent = random.choice(EXPONENTS)
    base = f"({value})" if exponent in ("2", "3") else f"(0.2 + softplus({value}))"
    return f"{base}^{exponent}"


def _joined(axes: Axes) -> Rule:
    def rule(random: random.Random, sub: Sub) -> str:
        sign = random.choice("++-**/")
        other = sub(random.choice((axes, "")) if axes else "")
        if sign == "/" and random.random() < 0.7:
            other = f"0.3 + softplus({other})"
        return f"({sub(axes)}) {sign} ({other})"

    return rule


def _conjugate(suffix: str) -> Rule:
    return lambda random, sub: random.choice(CONJUGATES).format(suffix, sub("N"))


def _one(*texts: str, of: Axes) -> Rule:
    return lambda random, sub: random.choice(texts).format(sub(of))


def _reductions() -> tuple[str, ...]:
    """Functions of one vector over patterns that give a scalar."""
    names = []
    for name in PUBLIC:
        row = FUNCTIONS[name]
        if row.arity == 1 and row.typing is not elementwise:
            try:
                scalar = row.typing(name, (FIELD,), None) == ()
            except FormulaError:  # it takes other axes
                continue
            if scalar and not name.endswith("_conj"):
                names.append(f"{name}({{}})")
    return tuple(names)


RULES: dict[Axes, tuple[Rule, ...]] = {
    "": (
        _one(*_reductions(), "|{}|", "|{}|^2", of="N"),
        _one("lse({})", "sum_n({})", "sum_n({})", of="N"),
        _one("sum_d({})", "mean_d({})", "|{}|", "|{}|^2", of="D"),
        _conjugate("_conj"),
        lambda random, sub: f"({sub('N')}) @ ({sub('N')})",
        lambda random, sub: f"({sub('D')}) @ ({sub('D')})",
    ),
    "D": (
        lambda random, sub: f"({sub('DD')}) @ ({sub('D')})",
        lambda random, sub: f"({sub('D')}) @ ({sub('DD')})",
        lambda random, sub: f"({sub('ND')})' @ ({sub('N')})",
        lambda random, sub: f"({sub('N')}) @ ({sub('ND')})",
        _one("sum_n({})", "mean_n({})", of="ND"),
    ),
    "N": (
        lambda random, sub: f"({sub('ND')}) @ ({sub('D')})",
        lambda random, sub: f"sqdist({sub('ND')}, {sub('D')})",
        _conjugate(""),
        _one("softmax({})", of="N"),
        _one("|{}|", "|{}|^2", "sum_d({})", "mean_d({})", of="ND"),
        lambda random, sub: "(X @ X') @ h",
    ),
    "ND": (
        lambda random, sub: f"X @ ({sub('DD')})",
        lambda random, sub: f"X*{random.choice(('beta', 'lambda', 'mixing', '0.5'))}",
        lambda random, sub: random.choice(
            ("tanh(X)", "X^2", "exp(X)", "1/(2 + X^2)", "log(1 + X^2)")
        ),
    ),
    "DD": (
        lambda random, sub: "torch'",
        lambda random, sub: "torch @ torch'",
        lambda random, sub: f"{random.choice(('sin', 'tanh', 'softplus'))}(torch)",
    ),
}


def random_formula(random: random.Random, depth: int = 5) -> str:
    """A scalar formula; most have a quadratic term and a sum over patterns."""

    def text(axes: Axes, left: int) -> str:
        if left <= 0 or random.random() < 0.15:
            return random.choice(LEAVES[axes])

        def sub(other: Axes) -> str:
            return text(other, left - 1)

        kind = random.random()
        if axes in ("ND", "DD") or kind < 0.5:
            return random.choice(RULES[axes])(random, sub)
        if kind < 0.7:
            return _function(random, sub(axes))
        return _power(random, sub(axes)) if kind < 0.8 else _joined(axes)(random, sub)

    start = random.choice(("", "0.5*|xi|^2 - ", "0.5*beta*|xi|^2 + "))
    return start + text("", random.randint(2, depth))


def entry(formula: str) -> EnergySpec:
    """An entry with the parameters that the formula names."""
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in formula).split())
    declared = {name: p for name, p in PARAMETERS.items() if name in words}
    return EnergySpec.model_validate(
        {"title": "random", "formula": formula, "parameters": declared}
    )
