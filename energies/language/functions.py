"""The functions of the formula language: one row each, and nothing of them stands elsewhere.

A row says which axes a function takes and gives, how a constant is folded, how it is derived, how
it becomes torch code, where it is positive, whether a mask matters to it and how LaTeX writes it
(`table.Function`). A new function is a new row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from attenergy.energies.language import conjugates, operators
from attenergy.energies.language.algebra import is_positive
from attenergy.energies.language.emit import Emitter
from attenergy.energies.language.nodes import Call, Expr, call
from attenergy.energies.language.numerics import length as axis_length
from attenergy.energies.language.numerics import logcosh, softplus, step
from attenergy.energies.language.simplify import linear_form, lse_form, softmax_form
from attenergy.energies.language.table import FUNCTIONS, Function
from attenergy.energies.language.typing_rules import distances, elementwise, reduces, takes
from attenergy.energies.rows.kernel import EXP, RELU, SIGMOID, TANH


def _f(name: str) -> Callable[[Expr], Expr]:
    return lambda z: call(name, z)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sign(x: float) -> float:
    return math.copysign(1.0, x) if x else 0.0


def _emit_sum_n(code: Emitter, arg: Expr) -> Any:
    if len(arg.axes) == 1:
        return code.call(torch.sum, code.visible(arg, 0.0), -1, keepdim=True)
    value = code.emit(arg)
    if not code.masked:
        return code.call(torch.sum, value, -2, keepdim=True)
    weights = code.call(torch.Tensor.to, code.opened, value)
    return code.call(torch.matmul, weights, value)


def _emit_sum_d(code: Emitter, arg: Expr) -> Any:
    value = code.emit(arg)
    if len(arg.axes) == 2:
        return code.call(torch.unsqueeze, code.call(torch.sum, value, -1), -2)
    return code.call(torch.sum, value, -1, keepdim=True)


def _emit_lse(code: Emitter, arg: Expr) -> Any:
    return code.call(torch.logsumexp, code.visible(arg, -math.inf), -1, keepdim=True)


def _emit_softmax(code: Emitter, arg: Expr) -> Any:
    return code.call(torch.softmax, code.visible(arg, -math.inf), -1)


def _emit_max_n(code: Emitter, arg: Expr) -> Any:
    return code.call(torch.amax, code.visible(arg, -math.inf), -1, keepdim=True)


def _emit_count_n(code: Emitter) -> Any:
    if not code.masked:
        return code.call(axis_length, code.inputs["X"], -2)
    seen = code.call(torch.sum, code.opened, -1, keepdim=True)
    return code.call(torch.Tensor.to, seen, code.inputs["X"])


def _emit_count_d(code: Emitter) -> Any:
    return code.call(axis_length, code.inputs["X"], -1)


def _through_softmax(expr: Call, index: int, adjoint: Expr) -> Expr:
    mean = call("sum_n", expr * adjoint) if adjoint.axes else adjoint
    return expr * (adjoint - mean)


_ELEMENTWISE = [
    Function(
        "exp",
        1,
        elementwise,
        "exponential",
        math.exp,
        _f("exp"),
        torch=torch.exp,
        positive=True,
        rows=EXP,
    ),
    Function(
        "log", 1, elementwise, "natural logarithm", math.log, lambda z: 1.0 / z, torch=torch.log
    ),
    Function(
        "sqrt",
        1,
        elementwise,
        "square root",
        math.sqrt,
        lambda z: 0.5 * z**-0.5,
        torch=torch.sqrt,
        positive=lambda args: is_positive(args[0]),
    ),
    Function(
        "abs",
        1,
        elementwise,
        "absolute value",
        abs,
        _f("sign"),
        smooth=False,
        torch=torch.abs,
        tame=True,
    ),
    Function(
        "sign",
        1,
        elementwise,
        "sign",
        _sign,
        lambda z: 0.0 * z,
        smooth=False,
        torch=torch.sign,
        tame=True,
    ),
    Function(
        "step",
        1,
        elementwise,
        "1 above 0, else 0",
        lambda z: float(z > 0),
        lambda z: 0.0 * z,
        smooth=False,
        torch=step,
        tame=True,
    ),
    Function(
        "relu",
        1,
        elementwise,
        "max(z, 0)",
        lambda z: max(z, 0.0),
        _f("step"),
        smooth=False,
        torch=torch.relu,
        tame=True,
        rows=RELU,
    ),
    Function(
        "sigmoid",
        1,
        elementwise,
        "1/(1 + exp(-z))",
        _sigmoid,
        lambda z: call("sigmoid", z) * (1.0 - call("sigmoid", z)),
        latex=r"\sigma",
        torch=torch.sigmoid,
        tame=True,
        positive=True,
        rows=SIGMOID,
    ),
    Function(
        "tanh",
        1,
        elementwise,
        "hyperbolic tangent",
        math.tanh,
        lambda z: 1.0 - call("tanh", z) ** 2,
        torch=torch.tanh,
        tame=True,
        rows=TANH,
    ),
    Function(
        "softplus",
        1,
        elementwise,
        "log(1 + exp z)",
        _softplus,
        _f("sigmoid"),
        torch=softplus,
        tame=True,
        positive=True,
    ),
    Function(
        "logcosh",
        1,
        elementwise,
        "log cosh z",
        lambda z: z + _softplus(-2 * z) - math.log(2),
        _f("tanh"),
        latex=r"\log\cosh",
        torch=logcosh,
        tame=True,
    ),
    Function("sin", 1, elementwise, "sine", math.sin, _f("cos"), torch=torch.sin),
    Function(
        "cos", 1, elementwise, "cosine", math.cos, lambda z: -1.0 * call("sin", z), torch=torch.cos
    ),
]

_N, _ND, _D = ("N",), ("N", "D"), ("D",)

_REDUCTIONS = [
    Function(
        "lse",
        1,
        reduces("N", _N),
        "log sum exp over the visible patterns",
        latex=r"\operatorname{lse}",
        gradient="softmax",
        emit=_emit_lse,
        reads_mask=True,
        normal_form=lse_form,
        of_constant=lambda value, count: value + call("log", count),
    ),
    Function(
        "softmax",
        1,
        takes(_N),
        "softmax over the visible patterns",
        pull_back=_through_softmax,
        emit=_emit_softmax,
        reads_mask=True,
        positive=True,
        normal_form=softmax_form,
        of_constant=lambda value, count: 1.0 / count,
    ),
    Function(
        "sum_n",
        1,
        reduces("N", _N, _ND),
        "sum over the visible patterns",
        latex=r"\sum_n",
        pull_back=operators.same,
        emit=_emit_sum_n,
        reads_mask=True,
        normal_form=linear_form("sum_n"),
        of_constant=lambda value, count: value * count,
    ),
    Function(
        "mean_n",
        1,
        reduces("N", _N, _ND),
        "mean over the visible patterns",
        macro=lambda z: call("sum_n", z) / call("count_n"),
    ),
    Function(
        "max_n",
        1,
        reduces("N", _N),
        "maximum over the visible patterns",
        smooth=False,
        latex=r"\max_n",
        emit=_emit_max_n,
        reads_mask=True,
        of_constant=lambda value, count: value,
    ),
    Function(
        "sum_d",
        1,
        reduces("D", _D, _ND),
        "sum over the components",
        latex=r"\sum_d",
        pull_back=operators.same,
        emit=_emit_sum_d,
        normal_form=linear_form("sum_d"),
        of_constant=lambda value, count: value * count,
    ),
    Function(
        "mean_d",
        1,
        reduces("D", _D, _ND),
        "mean over the components",
        macro=lambda z: call("sum_d", z) / call("count_d"),
    ),
    Function(
        "count_n",
        0,
        lambda *_: (),
        "number of visible patterns",
        latex="N",
        emit=_emit_count_n,
        counts=True,
        reads_mask=True,
        positive=True,
    ),
    Function(
        "count_d",
        0,
        lambda *_: (),
        "head width D",
        latex="D",
        emit=_emit_count_d,
        counts=True,
        positive=True,
    ),
    Function(
        "sqdist",
        2,
        distances,
        "squared distances |x_n - xi|^2",
        macro=lambda X, xi: call("sumsq", X) + call("sumsq", xi) - 2.0 * (X @ xi),
    ),
]


_ROWS = [*operators.OPERATORS, *_ELEMENTWISE, *_REDUCTIONS, *conjugates.CONJUGATES]
FUNCTIONS.update({row.name: row for row in _ROWS})


def is_smooth(expr: Expr) -> bool:
    """Whether every function in the tree has derivatives of all orders.

    Example:
        >>> is_smooth(parse("abs(|xi|^2)", {"xi": XI})), is_smooth(parse("|xi|^2", {"xi": XI}))
        (False, True)
    """
    if not isinstance(expr, Call):
        return True
    return FUNCTIONS[expr.function].smooth and all(map(is_smooth, expr.args))
