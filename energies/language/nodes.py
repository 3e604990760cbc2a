"""The typed tree of a formula: immutable, hashable, built from text or in Python.

Every node has axes: `()` a scalar, `("D",)` a vector over the head width, `("N",)` one over the
stored patterns, `("N", "D")` and so on a matrix. Axes are checked when a node is made, so a tree
that exists is well typed. Three kinds of node suffice: numbers, symbols and calls; `+`, `*`, `^`
and `@` are calls too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Union

from attenergy.energies.language.errors import FormulaError

Axes = tuple[str, ...]
Operand = Union["Expr", float, int]

#: Axes that a node may have.
ALLOWED: frozenset[Axes] = frozenset(
    {(), ("D",), ("N",), ("N", "D"), ("D", "N"), ("N", "N"), ("D", "D")}
)


def show_axes(axes: Axes) -> str:
    """`scalar`, `[N]`, `[N, D]`, ..."""
    return f"[{', '.join(axes)}]" if axes else "scalar"


@dataclass(frozen=True, eq=False)
class Expr:
    """Base of all nodes; supports `+ - * / ** @` with nodes and numbers.

    Two trees are equal (`==`) if simple algebra makes them the same: order of sums and products,
    numeric factors, cancelled positive parameters.
    """

    axes: Axes
    offset: int | None = field(default=None, repr=False, kw_only=True)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """The tree as nested tuples, without positions in text: equal for identical trees."""
        raise TypeError("Expr is abstract")

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the symbols in the tree."""
        return frozenset()

    @cached_property
    def per_state(self) -> bool:
        """Whether the value may differ between states: it reads xi or h, or sums under the mask."""
        return not self.names.isdisjoint({"xi", "h", "s", "q"})

    @cached_property
    def size(self) -> int:
        """Number of nodes, shared ones counted each time."""
        return 1

    @cached_property
    def depth(self) -> int:
        """Nodes on the longest way from here to a number or symbol, both included."""
        return 1

    @cached_property
    def _canonical(self) -> tuple[object, ...]:
        from attenergy.energies.language.simplify import simplify

        return simplify(self).structure

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __str__(self) -> str:
        from attenergy.energies.language.printing import to_text

        return to_text(self)

    def __add__(self, other: Operand) -> Expr:
        return call("add", self, as_expr(other))

    def __radd__(self, other: Operand) -> Expr:
        return call("add", as_expr(other), self)

    def __neg__(self) -> Expr:
        return call("mul", Number(-1.0), self)

    def __sub__(self, other: Operand) -> Expr:
        return call("add", self, -as_expr(other))

    def __rsub__(self, other: Operand) -> Expr:
        return call("add", as_expr(other), -self)

    def __mul__(self, other: Operand) -> Expr:
        return call("mul", self, as_expr(other))

    def __rmul__(self, other: Operand) -> Expr:
        return call("mul", as_expr(other), self)

    def __truediv__(self, other: Operand) -> Expr:
        return call("mul", self, call("pow", as_expr(other), Number(-1.0)))

    def __rtruediv__(self, other: Operand) -> Expr:
        return call("mul", as_expr(other), call("pow", self, Number(-1.0)))

    def __pow__(self, exponent: Operand) -> Expr:
        return call("pow", self, as_expr(exponent))

    def __matmul__(self, other: Expr) -> Expr:
        return call("matmul", self, other)


@dataclass(frozen=True, eq=False, init=False)
class Number(Expr):
    """A finite constant."""

    value: float = 0.0

    def __init__(self, value: float, *, offset: int | None = None) -> None:
        if not math.isfinite(value):
            raise FormulaError(f"a constant is not finite ({value})", offset=offset)
        object.__setattr__(self, "value", float(value))
        object.__setattr__(self, "axes", ())
        object.__setattr__(self, "offset", offset)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """The number alone."""
        return ("number", self.value)


@dataclass(frozen=True, eq=False)
class Symbol(Expr):
    """A named input: `xi`, `X`, `h`, or a parameter. `positive` ones may be cancelled."""

    name: str = ""
    positive: bool = False

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """Name, axes and whether it may be cancelled."""
        return ("symbol", self.name, self.axes, self.positive)

    @cached_property
    def names(self) -> frozenset[str]:
        """Its own name."""
        return frozenset({self.name})


@dataclass(frozen=True, eq=False)
class Call(Expr):
    """A function or operator applied to nodes. Made by `call`, which checks the axes."""

    function: str = ""
    args: tuple[Expr, ...] = ()

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """Function and arguments, recursively."""
        return ("call", self.function, *(a.structure for a in self.args))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names in all arguments."""
        return frozenset().union(*(a.names for a in self.args))

    @cached_property
    def per_state(self) -> bool:
        """As for all nodes; what the mask hides differs between states too."""
        return self._reduces_patterns or any(a.per_state for a in self.args)

    @property
    def _reduces_patterns(self) -> bool:
        if self.function in {"lse", "softmax", "sum_n", "max_n", "count_n"}:
            return True
        if self.function.removesuffix("_conj") in {"sparsemax", "entmax", "normmax", "ksubsets"}:
            return True
        return self.function in {"sumsq", "norm", "matmul"} and self.args[0].axes[-1:] == ("N",)

    @cached_property
    def size(self) -> int:
        """Number of nodes, shared ones counted each time."""
        return 1 + sum(a.size for a in self.args)

    @cached_property
    def depth(self) -> int:
        """One more than the deepest argument."""
        return 1 + max((a.depth for a in self.args), default=0)


def as_expr(value: Operand) -> Expr:
    """A node; plain numbers become `Number`."""
    return value if isinstance(value, Expr) else Number(value)


def call(function: str, *args: Expr, offset: int | None = None) -> Expr:
    """Apply a function or operator by name, checking axes.

    Raises:
        FormulaError: unknown function, wrong number of arguments, or axes that do not fit.
    """
    from attenergy.energies.language.functions import lookup

    return lookup(function, offset).apply(args, offset)


def substitute(expr: Expr, values: dict[str, Expr]) -> Expr:
    """Replace symbols by nodes of the same axes."""
    if isinstance(expr, Symbol):
        return values.get(expr.name, expr)
    if isinstance(expr, Call) and not expr.names.isdisjoint(values):
        return call(expr.function, *(substitute(a, values) for a in expr.args), offset=expr.offset)
    return expr


XI = Symbol(("D",), name="xi")
PATTERNS = Symbol(("N", "D"), name="X")
FIELD = Symbol(("N",), name="h")
