"""Reductions of vectors whose entries are all the same, such as the scores minus themselves."""

from __future__ import annotations

from attenergy.energies.language.nodes import Axes, Expr, Number, call


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
    if function in {"sum_n", "sum_d"}:
        return value * length
    if function == "lse":
        return value + call("log", length)
    if function == "softmax":
        return 1.0 / length
    if function == "max_n":
        return value
    if function == "sumsq":
        return value**2 * length
    if function == "norm":
        return call("abs", value) * call("sqrt", length)
    return None


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
