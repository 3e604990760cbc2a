"""What a node is made of: its sign, its factors and terms, its symbols, its equal entries."""

from __future__ import annotations

from attenergy.energies.language.nodes import Call, Expr, Number, Symbol, call
from attenergy.energies.language.table import FUNCTIONS, Axes


def is_positive(expr: Expr) -> bool:
    """Whether the value is certainly above zero everywhere."""
    if isinstance(expr, Number):
        return expr.value > 0
    if isinstance(expr, Symbol):
        return expr.positive
    assert isinstance(expr, Call)
    return FUNCTIONS[expr.function].is_positive(expr.args)


def split_factors(expr: Expr) -> tuple[float, list[Expr]]:
    """A simplified node as a number times factors that are not products."""
    if isinstance(expr, Number):
        return expr.value, []
    if isinstance(expr, Call) and expr.function == "mul":
        numbers = [a.value for a in expr.args if isinstance(a, Number)]
        return (numbers[0] if numbers else 1.0), [a for a in expr.args if not isinstance(a, Number)]
    return 1.0, [expr]


def split_terms(expr: Expr) -> list[Expr]:
    """A simplified node as terms that are not sums."""
    return list(expr.args) if isinstance(expr, Call) and expr.function == "add" else [expr]


def substitute(expr: Expr, values: dict[str, Expr]) -> Expr:
    """Replace symbols by nodes of the same axes.

    Example:
        >>> tree = parse("beta*|xi|^2", {"xi": XI, "beta": Symbol((), "beta")})
        >>> print(substitute(tree, {"beta": Number(2.0)}))
        2*|xi|^2
    """
    if isinstance(expr, Symbol):
        return values.get(expr.name, expr)
    if isinstance(expr, Call) and not expr.names.isdisjoint(values):
        return call(expr.function, *(substitute(a, values) for a in expr.args), offset=expr.offset)
    return expr


def reduced(function: str, args: tuple[Expr, ...], axes: tuple[Axes, ...]) -> Expr | None:
    """A reduction or contraction of vectors, some of which simplified to one repeated number.

    Args:
        function: what is applied.
        args: simplified arguments; a scalar in the place of a vector stands for equal entries.
        axes: the axes that the arguments had.

    Returns:
        The value (not simplified), or None if it has no shorter form.
    """
    if function == "matmul":
        return _contracted(args, axes)
    if len(axes[0]) != 1:
        return None
    value, length = args[0], call("count_n" if axes[0] == ("N",) else "count_d")
    value_of = FUNCTIONS[function].of_constant
    return None if value_of is None else value_of(value, length)


def _contracted(args: tuple[Expr, ...], axes: tuple[Axes, ...]) -> Expr | None:
    if any(isinstance(a, Number) and a.value == 0 for a in args):
        return Number(0.0)
    if axes[0] != axes[1] or len(axes[0]) != 1:
        return None
    name = axes[0][0].lower()
    if not (args[0].axes or args[1].axes):
        return args[0] * args[1] * call(f"count_{name}")
    repeated, vector = sorted(args, key=lambda a: len(a.axes))
    return repeated * call(f"sum_{name}", vector)
