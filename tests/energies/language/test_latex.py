"""Trees as LaTeX."""

from __future__ import annotations

import re

import pytest

from attenergy.energies import CLASSES, describe, formula_tree
from attenergy.energies.language import PATTERNS, XI, Symbol, parse, to_latex
from attenergy.registry import load_registry

SPECS = load_registry(plugins=False).energies
FORMULAS = [name for name, spec in SPECS.items() if spec.formula is not None]


@pytest.mark.parametrize("name", FORMULAS)
def test_latex_of_built_in_entries_is_balanced(name):
    shown = to_latex(formula_tree(SPECS[name]))
    assert shown.count("{") == shown.count("}") > 0
    assert shown.count(r"\left") == shown.count(r"\right")
    assert (r"\beta" in shown) == ("beta" in SPECS[name].parameters)
    assert "*" not in shown
    assert "@" not in shown


@pytest.mark.parametrize("name", SPECS)
def test_every_entry_has_latex(name):
    shown = describe(SPECS[name])["latex"]
    assert shown.strip()
    depth = 0
    for sign in shown.replace(r"\{", "").replace(r"\}", ""):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"\\left\b", shown)) == len(re.findall(r"\\right\b", shown))
    assert "\n" not in shown


def test_every_class_has_latex_of_its_own():
    own = [cls.latex for cls in CLASSES.values()]
    assert all(own)
    assert len(set(own)) == len(own)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("0.5*|xi|^2", r"\tfrac{1}{2}\,\left\lVert \xi \right\rVert^{2}"),
        (
            "-lse(beta * X @ xi + h)/beta",
            r"-\frac{\operatorname{lse}\left(\beta\,X\,\xi + h\right)}{\beta}",
        ),
        ("-(beta + c)/c", r"-\frac{\beta + c}{c}"),
        ("1.4426950408889634*c", r"1.4427\,c"),
        ("sqrt(c)", r"\sqrt{c}"),
        ("exp(c)", r"\exp\left(c\right)"),
        ("sparsemax_conj(h)", r"\operatorname{sparsemax}_{\mathrm{conj}}\left(h\right)"),
        ("c^-2", r"\frac{1}{c^{2}}"),
        ("xi @ (M @ xi)", r"\xi^{\top}\,M\,\xi"),
        ("X' @ softmax(h)", r"X^{\top}\,\operatorname{softmax}\left(h\right)"),
        ("(beta + c)*w", r"\left(\beta + c\right)\,w"),
        ("sigmoid(c)", r"\sigma\left(c\right)"),
        ("count_n()", "N"),
    ],
)
def test_latex(text, latex, symbols):
    assert to_latex(parse(text, symbols)) == latex


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("(|xi|^2)^1.5", r"\left(\left\lVert \xi \right\rVert^{2}\right)^{\tfrac{3}{2}}"),
        ("|(X')^2 @ softmax(X @ xi)|", r"\left(X^{\top}\right)^{2}"),
        ("(1/|xi|)^3", r"\left(\frac{1}{\left\lVert \xi \right\rVert}\right)^{3}"),
        ("0.5^beta*|xi|", r"\left(\tfrac{1}{2}\right)^{\beta}"),
        ("1.5e-20*|xi|", r"1.5 \cdot 10^{-20}"),
    ],
)
def test_what_has_an_exponent_or_a_bar_is_bracketed_before_it_is_raised(
    text: str, latex: str
) -> None:
    symbols = {"xi": XI, "X": PATTERNS, "beta": Symbol((), "beta", positive=True)}
    assert latex in to_latex(parse(text, symbols))
