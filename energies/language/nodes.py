"""The typed tree of a formula: immutable, hashable, built from text or in Python.

Every node has axes: `()` a scalar, `("D",)` a vector over the head width, `("N",)` one over the
stored patterns, `("N", "D")` and so on a matrix. Axes are checked when a node is made, so a tree
that exists is well typed. Three kinds of node suffice: numbers, symbols and calls; `+`, `*`, `^`
and `@` are calls too. What can be called stands in one `table`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Union

from attenergy.energies.language.errors import FormulaError, TooLarge
from attenergy.energies.language.table import FUNCTIONS, Axes, Function, lookup

Operand = Union["Expr", float, int]

#: Axes that a node may have.
ALLOWED: frozenset[Axes] = frozenset(
    {(), ("D",), ("N",), ("N", "D"), ("D", "N"), ("N", "N"), ("D", "D")}
)

#: Most nodes and levels of a tree; each level costs a few frames of Python's stack.
MAX_SIZE = 20_000
MAX_LEVELS = 100
#: Most letters of a name.
MAX_NAME = 32


def show_axes(axes: Axes) -> str:
    """`scalar`, `[N]`, `[N, D]`, ..."""
    return f"[{', '.join(map(str, axes))}]" if axes else "scalar"


@dataclass(frozen=True, eq=False)
class Expr:
    """Base of all nodes; supports `+ - * / ** @` with nodes and numbers.

    Two trees are equal (`==`) if they are written the same, wherever they stand in a text;
    `simplify.equivalent` compares them up to simple algebra.

    Example:
        >>> print(parse("X @ xi", {"X": PATTERNS, "xi": XI}) * 2)
        (X @ xi)*2
    """

    #: Writes a tree as text; `printing` puts its own function here.
    writer: ClassVar[Callable[[Expr], str]] = repr

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
    def _hash(self) -> int:
        return hash(self.structure)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expr):
            return NotImplemented
        return self._hash == other._hash and self.structure == other.structure

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a hash means nothing in another process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        return type(self).writer(self)

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
    """A finite constant; -0 is 0, so that equal trees are the same tree.

    Example:
        >>> print(Number(2.0) + 1)
        3
    """

    value: float = 0.0

    def __init__(self, value: float, *, offset: int | None = None) -> None:
        if not math.isfinite(value):
            raise FormulaError(
                f"a constant is not finite ({value})", offset=offset, topic="formula-number"
            )
        object.__setattr__(self, "value", float(value) + 0.0)
        object.__setattr__(self, "axes", ())
        object.__setattr__(self, "offset", offset)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """The number alone."""
        return ("number", self.value)


@dataclass(frozen=True, eq=False)
class Symbol(Expr):
    """A named input: `xi`, `X`, `h`, or a parameter. `positive` ones may be cancelled.

    Example:
        >>> print(Symbol((), "beta", positive=True) * XI)
        beta*xi
    """

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
    """A function or operator applied to nodes. Made by `call`, which checks the axes.

    Example:
        >>> tree = parse("lse(X @ xi)", {"X": PATTERNS, "xi": XI})
        >>> isinstance(tree, Call), tree.function
        (True, 'lse')
    """

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
        row = FUNCTIONS[self.function]
        return row.over_patterns(self.args) or any(a.per_state for a in self.args)

    @cached_property
    def size(self) -> int:
        """Number of nodes, shared ones counted each time."""
        return 1 + sum(a.size for a in self.args)

    @cached_property
    def depth(self) -> int:
        """One more than the deepest argument."""
        return 1 + max((a.depth for a in self.args), default=0)


def call(function: str, *args: Expr, offset: int | None = None) -> Expr:
    """Apply a function or operator by name: a checked node, or a folded constant.

    Raises:
        FormulaError: unknown function, wrong number of arguments, or axes that do not fit.

    Example:
        >>> print(call("exp", Number(0.0)))
        1
    """
    row = lookup(function, offset)
    if row.associative:
        args = tuple(part for arg in args for part in _parts(row, arg))
    if row.arity is not None and len(args) != row.arity:
        plural = "s" * (row.arity != 1)
        message = f"{row.name} takes {row.arity} argument{plural}, got {len(args)}"
        raise FormulaError(message, offset=offset, topic="formula-type")
    axes = row.typing(row.name, args, offset)
    if not isinstance(axes, tuple) or axes not in ALLOWED:
        shown = show_axes(axes) if isinstance(axes, tuple) else f"{axes!r:.60}"
        raise FormulaError(f"{row.name} would give {shown}", offset=offset, topic="formula-type")
    if row.macro is not None:
        stands_for: Expr = row.macro(*args)
        return stands_for
    if row.fold is not None and all(isinstance(a, Number) for a in args):
        return _folded(row, [a.value for a in args if isinstance(a, Number)], offset)
    node = Call(axes, function=row.name, args=args, offset=offset)
    if len(axes) == 2 and node.per_state:
        raise FormulaError(
            f"a matrix {show_axes(axes)} may not depend on xi, h or a sum over patterns; "
            "contract it first (X @ xi), or use sqdist(X, xi) for squared distances",
            offset=offset,
            topic="formula-type",
        )
    if node.size > MAX_SIZE or node.depth > MAX_LEVELS:
        raise TooLarge(
            f"the formula is too large: {node.size} parts in {node.depth} levels, at most "
            f"{MAX_SIZE} in {MAX_LEVELS} are allowed",
            offset=offset,
        )
    return node


def _parts(row: Function, arg: Expr) -> tuple[Expr, ...]:
    return arg.args if isinstance(arg, Call) and arg.function == row.name else (arg,)


def _folded(function: Function, values: list[float], offset: int | None) -> Number:
    assert function.fold is not None
    try:
        value = function.fold(*values)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError) as error:
        shown = ", ".join(f"{v:g}" for v in values)
        raise FormulaError(
            f"{function.name}({shown}) has no finite value", offset=offset, topic="formula-number"
        ) from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise FormulaError(
            f"{function.name} of these constants is not finite",
            offset=offset,
            topic="formula-number",
        )
    return Number(value, offset=offset)


def as_expr(value: Operand) -> Expr:
    """A node; plain numbers become `Number`."""
    return value if isinstance(value, Expr) else Number(value)


XI = Symbol(("D",), name="xi")
PATTERNS = Symbol(("N", "D"), name="X")
FIELD = Symbol(("N",), name="h")
