"""The functions and operators of the formula language: one table.

Each row says which axes a function takes and gives, how a constant is folded, how it is derived,
how it becomes torch code and how it is written in LaTeX. A new function is a new row.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from attenergy.energies.language.errors import FormulaError, TooLarge
from attenergy.energies.language.nodes import ALLOWED, Call, Expr, Number, call, show_axes
from attenergy.energies.language.typing_rules import (
    Typing,
    contraction,
    distances,
    elementwise,
    length,
    parametrised,
    power,
    reduces,
    takes,
    transposed,
)

Derivative = Callable[[Expr], Expr]

#: Most nodes and levels of a tree; each level costs a few frames of Python's stack.
MAX_SIZE = 20_000
MAX_LEVELS = 100


@dataclass(frozen=True)
class Function:
    """One row: name, number of arguments (None: two or more), and what is known of it."""

    name: str
    arity: int | None
    typing: Typing
    doc: str
    fold: Callable[..., float] | None = None
    derivative: Derivative | None = None  # of an elementwise function, at its argument
    smooth: bool = True
    public: bool = True
    latex: str = ""
    macro: Callable[..., Expr] | None = None  # written as other functions instead
    gradient: str = ""  # of a reduction over patterns: the function that is its gradient

    @property
    def reads_axes(self) -> bool:
        """Whether the meaning depends on the argument's axes (reductions and contractions)."""
        return self.typing not in (elementwise, power)

    def apply(self, args: tuple[Expr, ...], offset: int | None) -> Expr:
        """A checked node, or a folded constant.

        Raises:
            FormulaError: wrong number of arguments or axes that do not fit.
        """
        if self.associative:
            args = tuple(part for arg in args for part in self._parts(arg))
        if self.arity is not None and len(args) != self.arity:
            plural = "s" * (self.arity != 1)
            message = f"{self.name} takes {self.arity} argument{plural}, got {len(args)}"
            raise FormulaError(message, offset=offset)
        axes = self.typing(self.name, args, offset)
        if axes not in ALLOWED:
            raise FormulaError(f"{self.name} would give {show_axes(axes)}", offset=offset)
        if self.macro is not None:
            return self.macro(*args)
        if self.fold is not None and all(isinstance(a, Number) for a in args):
            return _folded(self, [a.value for a in args if isinstance(a, Number)], offset)
        node = Call(axes, function=self.name, args=args, offset=offset)
        if len(axes) == 2 and node.per_state:
            raise FormulaError(
                f"a matrix {show_axes(axes)} may not depend on xi, h or a sum over patterns; "
                "contract it first (X @ xi), or use sqdist(X, xi) for squared distances",
                offset=offset,
            )
        if node.size > MAX_SIZE or node.depth > MAX_LEVELS:
            raise TooLarge(
                f"the formula is too large: {node.size} parts in {node.depth} levels, at most "
                f"{MAX_SIZE} in {MAX_LEVELS} are allowed",
                offset=offset,
            )
        return node

    @property
    def associative(self) -> bool:
        """Whether nested calls are one call of more arguments."""
        return self.name in {"add", "mul"}

    def _parts(self, arg: Expr) -> tuple[Expr, ...]:
        return arg.args if isinstance(arg, Call) and arg.function == self.name else (arg,)


def _folded(function: Function, values: list[float], offset: int | None) -> Number:
    assert function.fold is not None
    try:
        value = function.fold(*values)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError) as error:
        shown = ", ".join(f"{v:g}" for v in values)
        raise FormulaError(
            f"{function.name}({shown}) has no finite value", offset=offset
        ) from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise FormulaError(f"{function.name} of these constants is not finite", offset=offset)
    return Number(value, offset=offset)


def _sqdist(patterns: Expr, state: Expr) -> Expr:
    return call("sumsq", patterns) + call("sumsq", state) - 2.0 * (patterns @ state)


def _mean_n(value: Expr) -> Expr:
    return call("sum_n", value) / call("count_n")


def _mean_d(value: Expr) -> Expr:
    return call("sum_d", value) / call("count_d")


def _f(name: str) -> Derivative:
    return lambda x: call(name, x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sign(x: float) -> float:
    return math.copysign(1.0, x) if x else 0.0


_ROWS = [
    Function("add", None, elementwise, "sum", fold=lambda *v: math.fsum(v), public=False),
    Function("mul", None, elementwise, "product", fold=lambda *v: math.prod(v), public=False),
    Function("pow", 2, power, "power", fold=math.pow, public=False),
    Function("matmul", 2, contraction, "contraction over the shared axis", public=False),
    Function("transpose", 1, transposed, "transpose", public=False),
    Function("sumsq", 1, length, "squared length |v|^2", public=False),
    Function("norm", 1, length, "length |v|", smooth=False, public=False),
    Function("exp", 1, elementwise, "exponential", math.exp, _f("exp")),
    Function("log", 1, elementwise, "natural logarithm", math.log, lambda x: 1.0 / x),
    Function("sqrt", 1, elementwise, "square root", math.sqrt, lambda x: 0.5 * x**-0.5),
    Function("abs", 1, elementwise, "absolute value", abs, _f("sign"), smooth=False),
    Function("sign", 1, elementwise, "sign", _sign, lambda x: 0.0 * x, smooth=False),
    Function(
        "step",
        1,
        elementwise,
        "1 above 0, else 0",
        lambda x: float(x > 0),
        lambda x: 0.0 * x,
        smooth=False,
    ),
    Function("relu", 1, elementwise, "max(z, 0)", lambda x: max(x, 0.0), _f("step"), smooth=False),
    Function(
        "sigmoid",
        1,
        elementwise,
        "1/(1 + exp(-z))",
        _sigmoid,
        lambda x: call("sigmoid", x) * (1.0 - call("sigmoid", x)),
        latex=r"\sigma",
    ),
    Function(
        "tanh",
        1,
        elementwise,
        "hyperbolic tangent",
        math.tanh,
        lambda x: 1.0 - call("tanh", x) ** 2,
    ),
    Function("softplus", 1, elementwise, "log(1 + exp z)", _softplus, _f("sigmoid")),
    Function(
        "logcosh",
        1,
        elementwise,
        "log cosh z",
        lambda x: x + _softplus(-2 * x) - math.log(2),
        _f("tanh"),
        latex=r"\log\cosh",
    ),
    Function("sin", 1, elementwise, "sine", math.sin, _f("cos")),
    Function("cos", 1, elementwise, "cosine", math.cos, lambda x: -1.0 * call("sin", x)),
    Function(
        "lse",
        1,
        reduces("N", ("N",)),
        "log sum exp over the visible patterns",
        latex=r"\operatorname{lse}",
    ),
    Function("softmax", 1, takes(("N",)), "softmax over the visible patterns"),
    Function(
        "sum_n",
        1,
        reduces("N", ("N",), ("N", "D")),
        "sum over the visible patterns",
        latex=r"\sum_n",
    ),
    Function(
        "mean_n",
        1,
        reduces("N", ("N",), ("N", "D")),
        "mean over the visible patterns",
        macro=_mean_n,
    ),
    Function(
        "max_n",
        1,
        reduces("N", ("N",)),
        "maximum over the visible patterns",
        smooth=False,
        latex=r"\max_n",
    ),
    Function(
        "sum_d", 1, reduces("D", ("D",), ("N", "D")), "sum over the components", latex=r"\sum_d"
    ),
    Function(
        "mean_d", 1, reduces("D", ("D",), ("N", "D")), "mean over the components", macro=_mean_d
    ),
    Function("count_n", 0, lambda *_: (), "number of visible patterns", latex="N"),
    Function("count_d", 0, lambda *_: (), "head width D", latex="D"),
    Function("sqdist", 2, distances, "squared distances |x_n - xi|^2", macro=_sqdist),
]


def _conjugate_rows(
    name: str, doc: str, limits: tuple[float, float] | None = None
) -> list[Function]:
    """Sparse weights and the convex conjugate whose gradient they are (`conjugates`)."""
    weights, value = takes(("N",)), reduces("N", ("N",))
    arity = 1 if limits is None else 2
    if limits is not None:
        weights, value = parametrised(weights, *limits), parametrised(value, *limits)
    about = f"the scalar whose gradient is {name}"
    return [
        Function(name, arity, weights, f"{doc}, over the visible patterns", smooth=False),
        Function(f"{name}_conj", arity, value, about, smooth=False, gradient=name),
    ]


_ROWS += [
    *_conjugate_rows("sparsemax", "projection on the simplex"),
    *_conjugate_rows("entmax", "between softmax (alpha = 1) and sparsemax (2)", (1.0, 2.0)),
    *_conjugate_rows("normmax", "near-uniform weights on a sparse support", (1.0, math.inf)),
    *_conjugate_rows("ksubsets", "weights up to 1 that sum to k", (0.0, math.inf)),
]

TABLE: dict[str, Function] = {row.name: row for row in _ROWS}
PUBLIC: tuple[str, ...] = tuple(row.name for row in _ROWS if row.public)


def lookup(name: str, offset: int | None = None) -> Function:
    """The row of a function.

    Raises:
        FormulaError: no such function; names the nearest.
    """
    if name not in TABLE:
        near = difflib.get_close_matches(name, PUBLIC, 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(PUBLIC)}"
        raise FormulaError(f"unknown function '{name}'{hint}", offset=offset)
    return TABLE[name]


def is_smooth(expr: Expr) -> bool:
    """Whether every function in the tree has derivatives of all orders."""
    if not isinstance(expr, Call):
        return True
    return TABLE[expr.function].smooth and all(chain(map(is_smooth, expr.args)))
