"""Text to tree: every wrong or hostile formula is refused in place, quickly, and nothing runs."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import attenergy
from attenergy.energies import FormulaError, formula_tree
from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    PUBLIC,
    XI,
    Expr,
    Number,
    Symbol,
    equivalent,
    parse,
    score_form,
    simplify,
)

# name of a case: formula, offset of the error, a part of the message
WRONG = {
    "dunder import": ("__import__('os').system('touch hacked')", 0, "unexpected character '_'"),
    "open": ("open(xi)", 0, "unknown function 'open'"),
    "eval": ("eval(xi)", 0, "unknown function 'eval'"),
    "attribute": ("xi.data", 2, "there are no attributes"),
    "indexing": ("xi[0]", 2, "there is no indexing"),
    "lambda": ("(lambda x: x)(xi)", 8, "unexpected 'x'"),
    "braces": ("{xi}", 0, "unexpected character '{'"),
    "string": ("'xi'", 0, "unexpected '''; expected a number, a name or '('"),
    "double quotes": ('lse("X")', 4, "unexpected character '\"'"),
    "comparison": ("|xi| < 1", 5, "unexpected character '<'"),
    "equality": ("xi == xi", 3, "there are no assignments"),
    "assignment": ("beta = 1", 5, "there are no assignments"),
    "semicolon": ("|xi|^2; |xi|", 6, "unexpected character ';'"),
    "comment": ("|xi|^2 # fast", 7, "unexpected character '#'"),
    "python power": ("xi**2", 2, "a power is written with ^"),
    "tower of python powers": ("9**9**9", 1, "a power is written with ^"),
    "tower of powers": ("9^9^9", 4, "has no finite value"),
    "huge literal": ("1e999*|xi|", 0, "too large"),
    "many digits": ("9" * 400, 0, "too large"),
    "overflowing product": ("1e308*10", 6, "not finite"),
    "overflowing function": ("exp(1000)", 0, "has no finite value"),
    "parentheses": ("(" * 10_000 + "xi" + ")" * 10_000, 500, "at most 500"),
    "nested parentheses": ("(" * 40 + "beta" + ")" * 40, 32, "nested deeper than 32"),
    "minus signs": ("-" * 10_000 + "beta", 500, "at most 500"),
    "a row of minus signs": ("1 + " + "-" * 32 + "beta", 2, "signs or bars in a row"),
    "spaced minus signs": ("- " * 40 + "beta", 0, "signs or bars in a row"),
    "bars": ("|" * 10_000, 500, "at most 500"),
    "nested bars": ("|" * 240 + "xi" + "|" * 240, 0, "signs or bars in a row"),
    "transposes": ("X" + "'" * 490, 0, "nested deeper than 100"),
    "powers of powers": ("c^" * 200 + "c", 200, "nested deeper than 100"),
    "contractions": ("M @ " * 120 + "M", 400, "too large"),
    "a Greek letter": ("|ξ|^2", 1, "unexpected character 'ξ': write xi"),
    "another Greek letter": ("|xi|^2*Ω", 7, "unexpected character 'Ω': write Omega"),
    "a sign of mathematics": ("|xi|²", 4, "unexpected character '²': write ^2"),
    "a name from elsewhere": ("logsumexp(X @ xi)", 0, "unknown function 'logsumexp'; write lse("),
    "a norm": ("norm(xi)", 0, "unknown function 'norm'; write |...|"),
    "other script": ("\uff38\uff29", 0, "unexpected character '\uff38'"),
    "greek": ("β*|xi|", 0, "unexpected character 'β'"),
    "minus sign of typography": ("beta \u2212 c", 5, "unexpected character '\u2212'"),
    "nul": ("beta\x00", 4, "unexpected character"),
    "line feed, then nothing": ("beta +\n", 7, "ends too soon"),
    "long name": ("a" * 33, 0, "longer than 32"),
    "underscore": ("_x", 0, "names begin with a letter"),
    "empty": ("", 0, "empty"),
    "spaces": (" \t\n ", 0, "empty"),
    "unknown name": ("betta*|xi|", 0, "did you mean 'beta'?"),
    "head width": ("lse(X @ xi)/sqrt(D)", 17, "the head width is written count_d()"),
    "number of patterns": ("log(N)", 4, "the number of visible patterns is written count_n()"),
    "unknown name, known ones": ("zzz", 0, "known: xi, X, h, beta, c, w, M"),
    "unknown function": ("lsee(X @ xi)", 0, "did you mean 'lse'?"),
    "operator as a function": ("matmul(X, xi)", 0, "unknown function 'matmul'"),
    "function without parentheses": ("beta*lse", 5, "write lse(...)"),
    "parameter as a function": ("beta(xi)", 0, "'beta' is not a function"),
    "product without a star": ("2 xi", 2, "unexpected 'xi'"),
    "number after a name": ("xi 2", 3, "unexpected '2'"),
    "no argument": ("lse()", 0, "lse takes 1 argument, got 0"),
    "two arguments": ("c + lse(h, h)", 4, "lse takes 1 argument, got 2"),
    "argument of a count": ("count_n(X)", 0, "count_n takes 0 arguments, got 1"),
    "trailing comma": ("lse(h,)", 6, "expected a number, a name or '('"),
    "open parenthesis": ("lse(h", 5, "ends too soon"),
    "close parenthesis": ("beta)", 4, "unexpected ')'"),
    "open bar": ("|xi", 3, "ends too soon"),
    "two points": ("1.2.3", 3, "unexpected '.3'"),
    "division by zero": ("beta/0", 5, "division by zero"),
    "division by a folded zero": ("beta/(1 - 1)", 10, "division by zero"),
    "zero to a negative power": ("0^(-1)", 3, "has no finite value"),
    "root of a negative number": ("(-1)^0.5", 5, "has no finite value"),
    "logarithm of zero": ("c + log(0)", 4, "has no finite value"),
    "vector plus matrix": ("X + xi", 4, "use X @ xi for scores"),
    "components plus patterns": ("xi + h", 5, "reduce one of them first"),
    "contraction of the wrong axis": ("xi @ X", 5, "swap the sides"),
    "contraction without a transpose": ("X @ h", 4, "swap the sides"),
    "contraction of scalars": ("beta @ c", 7, "use * for scalars"),
    "sum of matrices over patterns": ("X' @ X", 5, "may not sum over N"),
    "transpose of a vector": ("xi'", 0, "only a matrix has a transpose"),
    "patterns are not components": ("sum_n(xi)", 0, "sum_n reduces [N] or [N, D], got [D]"),
    "softmax of components": ("softmax(xi)", 0, "softmax takes [N], got [D]"),
    "distance of scores": ("sqdist(h, xi)", 0, "sqdist takes ([N, D], [D]), got ([N], [D])"),
    "length of a square matrix": ("|M|^2", 1, "takes [D], [N] or [N, D], got [D, D]"),
    "exponent with axes": ("beta^xi", 5, "an exponent must be a scalar"),
    "exponent of the state": ("beta^|xi|", 5, "an exponent may not"),
    "exponent under the mask": ("beta^count_n()", 5, "an exponent may not"),
    "matrix of the state": ("X*|xi|^2", 3, "may not depend on xi"),
    "join with a call": ("tanh(xi) + tanh(X@xi)", 11, "'+' cannot join [D] with [N]"),
    "contraction of calls": ("tanh(xi) @ (X@xi)", 14, "'@' cannot contract [D] with [N]"),
    "exponent from a call": ("(X@xi)^tanh(xi)", 7, "an exponent must be a scalar, got [D]"),
    "matrix under the mask": ("|X/max_n(|X|)|", 3, "a sum over patterns"),
}  # fmt: skip


#: Calls of Python functions, in a tenth of a second or so; the first one reads the grammar.
PARSING, DERIVING = 300_000, 300_000


@pytest.mark.parametrize("name", WRONG)
def test_wrong_formulas_are_refused_where_they_are_wrong(name, symbols, work):
    text, offset, fragment = WRONG[name]
    modules = set(sys.modules)
    with work(PARSING), pytest.raises(FormulaError) as caught:
        parse(text, symbols)
    assert fragment in caught.value.message
    assert caught.value.offset == offset
    assert caught.value.text == text
    assert str(caught.value).startswith(f"formula, column {offset + 1}: ")
    assert set(sys.modules) == modules


def test_the_excerpt_points_at_the_error():
    with pytest.raises(FormulaError) as caught:
        parse("0.5*|xi|^2 -\nlse(X @ xy)", {"xi": XI, "X": PATTERNS})
    shown, caret = caught.value.excerpt().split("\n")
    assert shown == "0.5*|xi|^2 - lse(X @ xy)"
    assert shown[caret.index("^") :] == "xy)"
    long = "beta + " * 60 + "zeta"
    with pytest.raises(FormulaError) as caught:
        parse(long, {"beta": Symbol((), name="beta")})
    shown, caret = caught.value.excerpt().split("\n")
    assert len(shown) <= 72
    assert shown[caret.index("^") :] == "zeta"


# Deep trees. Each formula has at most 500 characters and an honest derivative.
DEEP = {
    "signs in parentheses": "-(" * 32 + "xi @ xi" + ")" * 32,
    "signs and parentheses": "--(" * 32 + "xi @ xi" + ")" * 32,
    "a long sum": "sum_n(" + " + ".join(["X @ xi"] * 54) + ")",
    "a long difference": "xi @ xi" + "-c" * 240,
    "a long product": "xi @ xi" + "*c" * 240,
    "a long quotient": "xi @ xi" + "/c" * 240,
    "nested functions": "tanh(" * 30 + "xi @ xi" + ")" * 30,
    "powers of lengths": "|" * 31 + "xi" + "|^3" * 31,
    "a tower": "(xi @ xi)^beta" + "^beta" * 40,
    "a product of sums": "lse(" + "*".join(f"(c+{i})" for i in range(60)) + "*X@xi)",
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_formulas_are_simplified_and_derived_with_little_work(name, symbols, work):
    assert len(DEEP[name]) <= 500
    with work(DERIVING):
        tree = parse(DEEP[name], symbols)
        assert simplify(simplify(tree)) == simplify(tree)
        score_form(tree)
        assert len(str(tree)) < 2_000


def test_choices_that_multiply_are_stopped(entry, work):
    """Each call doubles the tree: 2^30 nodes from a short text."""
    prior = {"default": "a", "options": {"a": "tanh(z)*tanh(z)"}}
    formula = "sum_n(" + "p(" * 30 + "X @ xi" + ")" * 31
    with work(DERIVING), pytest.raises(FormulaError, match="too large"):
        formula_tree(entry(formula, choices={"p": prior}))


def test_long_sums_may_be_built_in_python(symbols):
    term = PATTERNS @ XI
    total = term
    for index in range(400):
        total = total + float(index) * term
    assert equivalent(total, (1 + sum(range(400))) * term)


SYMBOLS = {"xi": XI, "X": PATTERNS, "h": FIELD, "beta": Symbol((), name="beta", positive=True)}
TOKENS = [*SYMBOLS, *PUBLIC, *"()|+-*/@^',", "0", "2", "0.5", "1e300", ".", "z", "_"]


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_any_text_is_a_tree_or_an_error(text):
    _tree_or_error(text)


@given(st.lists(st.sampled_from(TOKENS), max_size=40), st.sampled_from(["", " "]))
@settings(max_examples=150)
def test_any_tokens_are_a_tree_or_an_error(tokens, between):
    _tree_or_error(between.join(tokens))


@given(st.lists(st.sampled_from(["|", "(", ")", "-", "'", "^", "beta", "xi", "X", "@", "*"])))
@settings(max_examples=150)
def test_any_brackets_are_a_tree_or_an_error(tokens):
    _tree_or_error("".join(tokens))


def _tree_or_error(text):
    error = None
    try:
        tree = parse(text, SYMBOLS)
    except FormulaError as caught:
        error = caught
    if error is None:
        assert isinstance(tree, Expr)
        assert parse(str(tree), SYMBOLS).axes == tree.axes
    else:
        assert error.text == text
        assert 0 <= error.offset <= len(text)
        assert error.excerpt().count("\n") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^3^2", 512.0),
        ("-2^2", -4.0),
        ("(-2)^2", 4.0),
        ("2^-1", 0.5),
        ("8/4/2", 1.0),
        ("8-4-2", 2.0),
        ("+2*-3", -6.0),
        (".5e1 + 1.", 6.0),
        ("|1 - 3|", 2.0),
        ("||-3| - 5|", 2.0),
        ("2*|1 - 4|*|2|", 12.0),
        ("max(1, 2)", None),
        ("relu(-1) + step(2) + sign(-3)", 0.0),
    ],
)
def test_the_rules_of_arithmetic(text, value):
    if value is None:
        with pytest.raises(FormulaError, match="did you mean 'max_n'"):
            parse(text, {})
    else:
        tree = parse(text, {})
        assert isinstance(tree, Number)
        assert tree.value == value


@pytest.mark.parametrize(
    ("doubled", "single"),
    [
        ("0.5*||xi||^2 - lse(X @ xi)", "0.5*|xi|^2 - lse(X @ xi)"),
        ("||xi|| - lse(X @ xi)", "|xi| - lse(X @ xi)"),
        ("|||xi|||^2 - lse(X @ xi)", "|xi|^2 - lse(X @ xi)"),
    ],
)
def test_two_bars_are_one_length(doubled, single):
    """And so is its derivative: that of |xi|^2 is 2 xi at 0 too."""
    one, other = (attenergy.make_energy(text, dim=3) for text in (doubled, single))
    assert str(one.tree) == str(other.tree)
    xi, X = torch.randn(2, 3), torch.randn(4, 3)
    torch.testing.assert_close(one(xi, X), other(xi, X))


def test_a_transpose_is_hinted_at():
    with pytest.raises(ValueError, match=r"unknown name 'T'; a transpose is written with a prime"):
        attenergy.make_energy("lse(X @ xi) + xi^T @ xi", dim=3)
