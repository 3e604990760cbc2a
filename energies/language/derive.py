"""Derivatives of trees, and the structure that makes a formula fast.

An energy that reads xi only through |xi|^2 and the scores s = X @ xi is a function R(q, s) with
q = |xi|^2. Its gradient is

    grad_xi E = 2 (dR/dq) xi + X' (dR/ds),

so the update is `weights @ X` with weights = -dR/ds, and a softmax as the weights is attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from attenergy.energies.language.algebra import split_factors, split_terms
from attenergy.energies.language.errors import FormulaError, TooLarge
from attenergy.energies.language.nodes import (
    PATTERNS,
    XI,
    Call,
    Expr,
    Number,
    Symbol,
    call,
)
from attenergy.energies.language.simplify import product, simplify
from attenergy.energies.language.table import FUNCTIONS, Axes
from attenergy.energies.rows.kernel import RowKernel
from attenergy.registry import ArgumentError

SCORES = Symbol(("N",), name="s")
SQUARE = Symbol((), name="q")


class NotDerivable(Exception):
    """The tree has a derivative that this language does not write; autograd takes over.

    Example:
        >>> str(NotDerivable("no derivative of entmax"))
        'no derivative of entmax'
    """


@dataclass(frozen=True)
class ScoreForm:
    """R(q, s) and its derivatives: `radial` = 2 dR/dq (scalar), `weights` = -dR/ds ([N]).

    Example:
        >>> form = score_form(parse("0.5*|xi|^2 - lse(X @ xi)", {"X": PATTERNS, "xi": XI}))
        >>> print(form.weights)
        softmax(s)
    """

    readout: Expr
    radial: Expr
    weights: Expr

    @property
    def attention(self) -> tuple[Expr, Expr] | None:
        """`(a, b)` with weights = softmax(a s + b), if they have that form."""
        weights = self.weights
        if not (isinstance(weights, Call) and weights.function == "softmax"):
            return None
        return _affine(weights.args[0])

    @property
    def with_sink(self) -> tuple[Expr, Expr] | None:
        """`(a, b)` with weights = exp(a s + b)/(1 + sum exp(a s + b)), if they have that form."""
        number, factors = split_factors(self.weights)
        calls = {f.function: f for f in factors if isinstance(f, Call)}
        if number != 1.0 or len(factors) != 2 or set(calls) != {"sigmoid", "softmax"}:
            return None
        inner, scores = calls["sigmoid"].args[0], calls["softmax"].args[0]
        return _affine(scores) if inner == simplify(call("lse", scores)) else None

    @property
    def rows(self) -> tuple[RowKernel, Expr, Expr, tuple[Expr, ...]] | None:
        """`(f, a, b, others)` with weights = f(a s + b, *others), if f has a kernel."""
        weights = self.weights
        kernel = FUNCTIONS[weights.function].rows if isinstance(weights, Call) else None
        if kernel is None:
            return None
        assert isinstance(weights, Call)
        scores, *others = weights.args
        form = _affine(scores)
        if form is None or any(o.axes or {"s", "q"} & o.names for o in others):
            return None
        return kernel, *form, tuple(others)


def score_form(energy: Expr) -> ScoreForm | None:
    """The energy as R(q, s), or None if it reads xi in another way or has no written derivative.

    Example:
        >>> form = score_form(parse("0.5*|xi|^2 - lse(X @ xi)", {"X": PATTERNS, "xi": XI}))
        >>> print(form.readout, "|", form.weights)
        0.5*q - lse(s) | softmax(s)
    """
    readout = _in_scores(simplify(energy))
    if "xi" in readout.names:
        return None
    try:
        radial = 2.0 * differentiate(readout, SQUARE)
        weights = -differentiate(readout, SCORES)
        return ScoreForm(readout, simplify(radial), simplify(weights))
    except (NotDerivable, TooLarge):
        return None


def _affine(scores: Expr) -> tuple[Expr, Expr] | None:
    """`(a, b)` with scores = a s + b and a scalar, if they have that form."""
    scale: list[Expr] = []
    bias: list[Expr] = []
    for term in split_terms(scores):
        number, factors = split_factors(term)
        own = [f for f in factors if {"s", "q"} & f.names]
        factor = product([Number(number), *(f for f in factors if f not in own)])
        if not own:
            bias.append(factor)
            continue
        is_sum = isinstance(own[0], Call) and own[0].function == "add"
        inner = (Number(1.0), None) if own[0] == SCORES else _affine(own[0]) if is_sum else None
        if inner is None or len(own) > 1 or factor.axes:
            return None
        scale.append(product([factor, inner[0]]))
        if inner[1] is not None:
            bias.append(product([factor, inner[1]]))
    return (_total(scale), _total(bias)) if scale else None


def _in_scores(expr: Expr) -> Expr:
    for node, symbol in _read_through():
        if expr == node:
            return symbol
    if isinstance(expr, Call) and "xi" in expr.names:
        return call(expr.function, *(_in_scores(a) for a in expr.args))
    return expr


@cache
def _read_through() -> tuple[tuple[Expr, Symbol], ...]:
    """What an energy may read xi through, and the symbol that stands for it."""
    return (simplify(PATTERNS @ XI), SCORES), (simplify(call("sumsq", XI)), SQUARE)


def differentiate(expr: Expr, symbol: Symbol) -> Expr:
    """Gradient of a scalar tree with respect to a symbol, in normal form.

    It has the symbol's axes or, where all entries are the same, is a scalar.

    Raises:
        NotDerivable: a function on the way has no derivative in the table.

    Example:
        >>> print(differentiate(parse("0.5*|xi|^2 - lse(X @ xi)", {"X": PATTERNS, "xi": XI}), XI))
        xi - X' @ softmax(X @ xi)
    """
    if expr.axes:
        raise ArgumentError(
            f"only a scalar can be differentiated, got axes {expr.axes}", topic="formula-type"
        )
    parts: list[Expr] = []
    _pull_back(simplify(expr), Number(1.0), symbol, parts)
    return _total(parts)


def _total(parts: list[Expr]) -> Expr:
    if not parts:
        return Number(0.0)
    return simplify(parts[0] if len(parts) == 1 else call("add", *parts))


def _pull_back(expr: Expr, adjoint: Expr, symbol: Symbol, parts: list[Expr]) -> None:
    """Reverse mode: add to `parts` what `adjoint` at `expr` contributes at `symbol`.

    A scalar adjoint of a vector stands for equal entries.
    """
    if symbol.name not in expr.names:
        return
    if isinstance(expr, Symbol):
        parts.append(adjoint)
        return
    assert isinstance(expr, Call)
    for index, arg in enumerate(expr.args):
        if symbol.name in arg.names:
            pulled = _gathered(_local(expr, index, adjoint), expr.axes, arg.axes)
            _pull_back(arg, simplify(pulled), symbol, parts)


def _gathered(adjoint: Expr, axes: Axes, arg_axes: Axes) -> Expr:
    """Sum the adjoint of a vector over the axis along which a scalar argument was repeated."""
    if arg_axes or not axes:
        return adjoint
    if adjoint.axes:
        return call({"N": "sum_n", "D": "sum_d"}[axes[0]], adjoint)
    return adjoint * call({"N": "count_n", "D": "count_d"}[axes[0]])


def _local(expr: Call, index: int, adjoint: Expr) -> Expr:
    """The adjoint of one argument of a call, given the adjoint of the call."""
    row, arg = FUNCTIONS[expr.function], expr.args[index]
    pulled: Expr | None = None
    if row.pull_back is not None:
        pulled = row.pull_back(expr, index, adjoint)
        if pulled is not None:
            _tree(row.name, pulled)
    elif row.gradient and index == 0:
        gradient = partial(call, row.gradient) if isinstance(row.gradient, str) else row.gradient
        pulled = adjoint * _tree(row.name, gradient(*expr.args))
    elif row.derivative is not None:
        pulled = adjoint * _tree(row.name, row.derivative(arg))
    if pulled is None:
        raise NotDerivable(expr.function)
    return pulled


def _tree(name: str, derivative: Any) -> Any:
    """What the derivative of a function is, by its row, which may be a user's own.

    Raises:
        FormulaError: it is nothing that a formula can be made of.
    """
    if not isinstance(derivative, (Expr, float, int)):
        got = f"{derivative!r:.60}"
        raise FormulaError(
            f"the derivative of '{name}' must be a tree or a number, got {got}",
            topic="formula-type",
        )
    return derivative
