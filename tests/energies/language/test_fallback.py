"""Limits of a formula's text, and what happens where a written derivative is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attenergy.attention import gradient
from attenergy.attention.gradients.backends import backends
from attenergy.energies import FormulaError, formula, make_energy, programs
from attenergy.energies.language import TABLE, call, parse, simplify
from attenergy.energies.language.parse import MAX_DEPTH, MAX_LENGTH, MAX_NAME
from attenergy.registry import EnergySpec
from attenergy.testing.cases import float64


def longest(length):
    """A formula of exactly this many characters, of which every one counts."""
    text = "|xi|^2"
    while length - len(text) >= 20:
        text += " + sum_d(xi)*0.5"
    return text + "+" + "1" * (length - len(text) - 1)


def at_limit(kind, extra):
    """Text at a limit, or `extra` beyond it."""
    if kind == "length":
        return longest(MAX_LENGTH + extra)
    if kind == "parentheses":
        return "(" * (MAX_DEPTH + extra) + "sum_d(xi)" + ")" * (MAX_DEPTH + extra)
    if kind == "signs":
        return "|xi|^2 " + "-" * (MAX_DEPTH - 1 + extra) + "2"
    return "|xi|^2*" + "n" * (MAX_NAME + extra)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("length", f"the formula has {MAX_LENGTH + 1} characters, at most {MAX_LENGTH}"),
        ("parentheses", f"nested deeper than {MAX_DEPTH}"),
        ("signs", f"more than {MAX_DEPTH} signs"),
        ("name", f"longer than {MAX_NAME} characters"),
    ],
)
def test_limits_belong_to_what_is_allowed(kind, message, symbols):
    inside = kind == "parentheses"  # `sum_d(` is one level more
    known = {**symbols, "n" * MAX_NAME: symbols["c"], "n" * (MAX_NAME + 1): symbols["c"]}
    text = at_limit(kind, -1 if inside else 0)
    tree = parse(text, known)
    xi = torch.tensor([[1.0, 2.0, 0.0, 1.0]], dtype=torch.float64)
    if kind == "length":
        assert len(text) == MAX_LENGTH
        spec = EnergySpec(title="t", formula=text)
        with float64():
            got = make_energy(spec, dim=4)(xi, xi)
        rest = text.rpartition("+")[2]
        torch.testing.assert_close(got, 6 + 2.0 * text.count("sum_d") + 0 * got + float(rest))
    assert "xi" in simplify(tree).names
    with pytest.raises(FormulaError, match=message):
        parse(at_limit(kind, 0 if inside else 1), known)


@pytest.fixture
def wrong_tanh(monkeypatch):
    """The table says that tanh' = 1 + tanh^2."""
    caches = (programs.make_plan, formula._derivative_holds)
    for cache in caches:
        cache.cache_clear()
    wrong = replace(TABLE["tanh"], derivative=lambda x: 1.0 + call("tanh", x) ** 2)
    monkeypatch.setitem(TABLE, "tanh", wrong)
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(
    "text", ["0.5*|xi|^2 - sum_n(tanh(X @ xi + h))", "tanh(|xi|^2) - lse(X @ xi + h)"]
)
def test_a_wrong_derivative_is_noticed_and_autograd_takes_over(text, wrong_tanh):
    spec = EnergySpec(title="Tanh", formula=text)
    with float64(), pytest.warns(RuntimeWarning, match="derivative of 'Tanh' is not autograd's"):
        energy = make_energy(spec, dim=4)
    assert not energy.has_weights
    assert not energy.is_attention
    assert "scores" not in backends(energy)
    xi, X, h = (torch.randn(3, n, dtype=torch.float64) for n in (4, 4, 3))
    if text.startswith("tanh"):
        q = (xi * xi).sum(-1, keepdim=True)
        wanted = 2 * xi / torch.cosh(q) ** 2 - torch.softmax(xi @ X.T + h, -1) @ X
    else:
        wanted = xi - (torch.cosh(xi @ X.T + h) ** -2) @ X
    torch.testing.assert_close(gradient(energy, xi, X, field=h), wanted)


@pytest.mark.parametrize("size", ["sparsemax(normmax(sin(|X|), 1.31))", "sparsemax(softmax(|X|))"])
def test_a_jump_where_rounding_decides_is_no_wrong_derivative(size):
    """sparsemax gives back what lies on the simplex, but for rounding, of which sign makes much."""
    for dim in range(2, 42):
        energy = make_energy(f"0.96*|xi|^2 - lse((X @ xi)*sign({size}))", dim=dim)
        assert energy.has_weights


def test_right_derivatives_are_used(entry):
    with float64():
        energy = make_energy(entry("0.5*|xi|^2 - sum_n(tanh(X @ xi + h))"), dim=4)
    assert energy.has_weights
