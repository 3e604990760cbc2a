"""Typing rules: which axes a function takes, and which it gives.

A rule is called with the function's name, its arguments and their position in the text, and raises
`FormulaError` where they do not fit.
"""

from __future__ import annotations

import math

from attenergy.energies.language.errors import FormulaError
from attenergy.energies.language.nodes import Expr, Number, show_axes
from attenergy.energies.language.table import Axes, Typing


def elementwise(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """Entry by entry; scalars are repeated.

    Example:
        >>> FUNCTIONS["exp"].typing is elementwise
        True
    """
    widest: Axes = ()
    for arg in args:
        if not arg.axes:
            continue
        if widest and arg.axes != widest:
            raise FormulaError(
                f"'{_SIGNS.get(name, name)}' cannot join {show_axes(widest)} "
                f"with {show_axes(arg.axes)}" + _join_hint({widest, arg.axes}),
                offset=offset,
                topic="formula-type",
            )
        widest = arg.axes
    return widest


_SIGNS = {"add": "+", "mul": "*", "pow": "^", "matmul": "@"}


def _join_hint(both: set[Axes]) -> str:
    if both == {("N", "D"), ("D",)}:
        return "; use X @ xi for scores, or sqdist(X, xi) for squared distances"
    if both == {("N",), ("D",)}:
        return "; reduce one of them first (sum_n, lse, sum_d, |.|^2)"
    return ""


def power(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """A power with a scalar exponent that is the same for all states."""
    base, exponent = args
    if exponent.axes:
        raise FormulaError(
            f"an exponent must be a scalar, got {show_axes(exponent.axes)}",
            offset=offset,
            topic="formula-type",
        )
    if exponent.per_state:
        raise FormulaError(
            "an exponent may not depend on xi or h", offset=offset, topic="formula-type"
        )
    return base.axes


def contraction(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """Sum over the last axis of the left and the first of the right."""
    left, right = args[0].axes, args[1].axes
    if not left or not right:
        raise FormulaError(
            "'@' needs vectors or matrices; use * for scalars", offset=offset, topic="formula-type"
        )
    if left[-1] != right[0]:
        swapped = right[-1] == left[0]
        hint = "; did you mean to swap the sides?" if swapped else "; a transpose is written X'"
        raise FormulaError(
            f"'@' cannot contract {show_axes(left)} with {show_axes(right)}{hint}",
            offset=offset,
            topic="formula-type",
        )
    if len(left) == len(right) == 2 and left[-1] == "N":
        raise FormulaError(
            "a product of matrices may not sum over N (the mask differs between states)",
            offset=offset,
            topic="formula-type",
        )
    return left[:-1] + right[1:]


def reduces(axis: str, *accepted: Axes) -> Typing:
    """A reduction over one axis, for arguments of the accepted axes.

    Example:
        >>> callable(reduces("N", ("N",)))  # as the typing of a sum over patterns
        True
    """

    def typing(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
        axes = args[0].axes
        if axes not in accepted:
            shown = " or ".join(show_axes(a) for a in accepted)
            raise FormulaError(
                f"{name} reduces {shown}, got {show_axes(axes)}",
                offset=offset,
                topic="formula-type",
            )
        remaining = list(axes)
        remaining.remove(axis)
        return tuple(remaining)

    return typing


def takes(*accepted: Axes, gives: Axes | None = None) -> Typing:
    """One argument of the accepted axes; gives `gives`, or the same axes.

    Example:
        >>> callable(takes(("N",), gives=()))
        True
    """

    def typing(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
        axes = args[0].axes
        if axes not in accepted:
            shown = " or ".join(show_axes(a) for a in accepted)
            raise FormulaError(
                f"{name} takes {shown}, got {show_axes(axes)}", offset=offset, topic="formula-type"
            )
        return axes if gives is None else gives

    return typing


def parametrised(typing: Typing, low: float, high: float = math.inf) -> Typing:
    """A first argument as `typing` says, and a scalar in (low, high], the same for all states."""

    def both(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
        value = args[1]
        if value.axes or value.per_state:
            got = f"got {show_axes(value.axes)}" if value.axes else "it may not depend on xi or h"
            raise FormulaError(
                f"{name} takes a scalar as its second argument; {got}",
                offset=offset,
                topic="formula-type",
            )
        if isinstance(value, Number) and not low < value.value <= high:
            limits = f"above {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
            raise FormulaError(
                f"the second argument of {name} must be {limits}, got {value.value:g}",
                offset=offset,
                topic="formula-number",
            )
        return typing(name, args[:1], offset)

    return both


def transposed(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """Rows and columns of a matrix exchanged."""
    if len(args[0].axes) != 2:
        raise FormulaError(
            f"only a matrix has a transpose, got {show_axes(args[0].axes)}",
            offset=offset,
            topic="formula-type",
        )
    return args[0].axes[::-1]


def length(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """The last axis of a vector or a matrix is summed."""
    if args[0].axes not in {("D",), ("N",), ("N", "D")}:
        raise FormulaError(
            f"{name} takes [D], [N] or [N, D], got {show_axes(args[0].axes)}",
            offset=offset,
            topic="formula-type",
        )
    return args[0].axes[:-1]


def distances(name: str, args: tuple[Expr, ...], offset: int | None) -> Axes:
    """From patterns and a state to one number per pattern."""
    if (args[0].axes, args[1].axes) != (("N", "D"), ("D",)):
        got = ", ".join(show_axes(a.axes) for a in args)
        raise FormulaError(
            f"sqdist takes ([N, D], [D]), got ({got})", offset=offset, topic="formula-type"
        )
    return ("N",)
