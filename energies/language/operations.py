"""What the emitter asks of a node, and the torch functions of the elementwise ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from attenergy.energies.language.nodes import Call, Expr, Number
from attenergy.energies.language.numerics import logcosh, softplus, step


def counts(expr: Expr) -> bool:
    """Whether the tree has a `count_n()` or a `count_d()`."""
    return isinstance(expr, Call) and (
        expr.function in {"count_n", "count_d"} or any(map(counts, expr.args))
    )


def is_inverse(expr: Expr) -> bool:
    """Whether the tree is `1/z`."""
    return (
        isinstance(expr, Call)
        and expr.function == "pow"
        and isinstance(expr.args[1], Number)
        and expr.args[1].value == -1
    )


def negated(expr: Expr) -> Expr | None:
    """`z` if the tree is `-1 * z`."""
    if isinstance(expr, Call) and expr.function == "mul" and len(expr.args) == 2:
        first, second = expr.args
        if isinstance(first, Number) and first.value == -1:
            return second
    return None


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sign": torch.sign,
    "step": step,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": softplus,
    "logcosh": logcosh,
    "sin": torch.sin,
    "cos": torch.cos,
}

#: Elementwise functions of which neither the value nor a derivative of any order leaves the numbers
#: at a finite argument, however large. All others are kept away from hidden patterns.
TAME = frozenset({"abs", "sign", "step", "relu", "sigmoid", "tanh", "softplus", "logcosh"})


def is_tame_power(exponent: Expr) -> bool:
    """Whether z^exponent has finite derivatives wherever z is finite; z^2 is written as z*z."""
    return isinstance(exponent, Number) and exponent.value in (1.0, 2.0)


def is_guarded(expr: Expr) -> bool:
    """Whether a function somewhere in the tree is kept away from what a mask hides."""
    if not isinstance(expr, Call):
        return False
    if expr.function == "pow":
        wild = not is_tame_power(expr.args[1])
    else:
        wild = expr.function in ELEMENTWISE and expr.function not in TAME
    if wild and ("N" in expr.args[0].axes or expr.args[0].per_state):
        return True
    return any(map(is_guarded, expr.args))
