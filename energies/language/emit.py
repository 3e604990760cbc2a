"""A typed tree as batched tensor code: one `torch.fx` graph, no loop and no `vmap`.

Layouts (L states, S patterns, D head width, any leading batch axes):
    scalar  (..., L|1, 1)     [D]  (..., L|1, D)     [N]  (..., L|1, S)
    matrix  (..., rows, columns), the same for all states

Every sum over the axis N goes through the mask here, so an author cannot forget it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx

from attenergy.energies.language.conjugates import CONJUGATES
from attenergy.energies.language.numerics import length, logcosh, safe_sqrt, softplus, step
from attenergy.energies.language.tree import Call, Expr, Number, Symbol

#: Order of a program's arguments before its parameters.
INPUTS = ("xi", "X", "h", "s", "q", "mask")


class Program:
    """A compiled tree: call it with the tensors that its symbols name.

    Copies and pickles as the tree it came from.
    """

    def __init__(self, expr: Expr, *, masked: bool, squeeze: bool) -> None:
        self.expr, self.masked, self.squeeze = expr, masked, squeeze
        graph = _Emitter(masked).program(expr, squeeze)
        self.names = tuple(n.target for n in graph.nodes if n.op == "placeholder")
        self.module = fx.GraphModule(torch.nn.Module(), graph)
        self.code = self.module.code
        self._run: Callable[..., Tensor] = self.module.forward

    def __call__(self, values: dict[str, Any]) -> Tensor:
        """Evaluate on named tensors; names that the tree does not read are ignored."""
        return self._run(*[values[name] for name in self.names])

    def __reduce__(self) -> tuple[Any, ...]:
        return (compile_tree, (self.expr, self.masked, self.squeeze))

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        return self


def compile_tree(expr: Expr, masked: bool, squeeze: bool = False) -> Program:
    """The program of a tree, cached.

    Args:
        expr: a scalar or vector tree.
        masked: whether the program takes a `mask` (..., L, S), True = visible; no row may be empty.
        squeeze: drop the last axis of a scalar, giving (..., L).
    """
    return _compiled(repr(expr.structure), masked, squeeze, _Holder(expr))


class _Holder:
    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=1024)
def _compiled(_structure: str, masked: bool, squeeze: bool, holder: _Holder) -> Program:
    return Program(holder.expr, masked=masked, squeeze=squeeze)


class _Emitter:
    """Writes each distinct sub-tree once."""

    def __init__(self, masked: bool) -> None:
        self.graph = fx.Graph()
        self.masked = masked
        self.done: dict[tuple[object, ...], Any] = {}
        self.inputs: dict[str, fx.Node] = {}

    def program(self, expr: Expr, squeeze: bool) -> fx.Graph:
        wanted = set(expr.names) | ({"mask"} if self.masked else set())
        if _counts(expr):  # a count takes its size, type and device from the patterns
            wanted.add("X")
        ordered = [n for n in INPUTS if n in wanted] + sorted(wanted - set(INPUTS))
        for name in ordered:
            self.inputs[name] = self.graph.placeholder(name)
        value = self.emit(expr)
        if squeeze and isinstance(value, fx.Node):
            value = self.graph.call_method("squeeze", (value, -1))
        self.graph.output(value)
        self.graph.eliminate_dead_code()
        self.graph.lint()
        return self.graph

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(function, args, kwargs)

    def emit(self, expr: Expr) -> Any:
        if isinstance(expr, Number):
            return expr.value
        if isinstance(expr, Symbol):
            return self.inputs[expr.name]
        if expr.structure not in self.done:
            assert isinstance(expr, Call)
            special = getattr(self, f"_{expr.function}", None)
            if special is not None:
                self.done[expr.structure] = special(*expr.args)
            elif expr.function in CONJUGATES:
                self.done[expr.structure] = self.conjugate(expr.function, *expr.args)
            else:
                self.done[expr.structure] = self.call(
                    _ELEMENTWISE[expr.function], self.emit(expr.args[0])
                )
        return self.done[expr.structure]

    def conjugate(self, function: str, scores: Expr, *parameters: Expr) -> Any:
        given = map(self.emit, parameters)
        return self.call(CONJUGATES[function], self.visible(scores, -math.inf), *given)

    def visible(self, expr: Expr, fill: float) -> Any:
        """A vector over patterns with `fill` where the mask hides them."""
        value = self.emit(expr)
        if not self.masked:
            return value
        if fill == 0.0:
            return self.call(torch.where, self.inputs["mask"], value, 0.0)
        hidden = self.call(torch.logical_not, self.inputs["mask"])
        return self.call(torch.masked_fill, value, hidden, fill)

    def _add(self, *args: Expr) -> Any:
        first, *rest = args
        total = self.emit(first)
        for term in rest:
            negative = _negated(term)
            if negative is None:
                total = self.call(operator.add, total, self.emit(term))
            else:
                total = self.call(operator.sub, total, self.emit(negative))
        return total

    def _mul(self, *args: Expr) -> Any:
        above = [a for a in args if not _is_inverse(a)]
        below = [a.args[0] for a in args if isinstance(a, Call) and _is_inverse(a)]
        if not above:
            total: Any = 1.0
        else:
            total, *rest = (self.emit(a) for a in sorted(above, key=lambda a: len(a.axes)))
            if isinstance(total, float) and total == -1.0 and rest:
                total, *rest = self.call(operator.neg, rest[0]), *rest[1:]
            for factor in rest:
                total = self.call(operator.mul, total, factor)
        for factor in below:
            total = self.call(operator.truediv, total, self.emit(factor))
        return total

    def _pow(self, base: Expr, exponent: Expr) -> Any:
        value = self.emit(base)
        if isinstance(exponent, Number):
            if exponent.value == 2:
                return self.call(operator.mul, value, value)
            if exponent.value == -1:
                return self.call(torch.reciprocal, value)
            if exponent.value == 0.5:
                return self.call(torch.sqrt, value)
            whole = exponent.value.is_integer()
            return self.call(torch.pow, value, int(exponent.value) if whole else exponent.value)
        return self.call(torch.pow, value, self.emit(exponent))

    def _matmul(self, left: Expr, right: Expr) -> Any:
        hidden = left.axes[-1] == "N"
        a = self.visible(left, 0.0) if hidden and len(left.axes) == 1 else self.emit(left)
        b = self.emit(right)
        if hidden and len(left.axes) == 2 and len(right.axes) == 1:
            b = self.visible(right, 0.0)
        if len(left.axes) == len(right.axes) == 1:
            return self.call(torch.sum, self.call(operator.mul, a, b), -1, keepdim=True)
        if len(left.axes) == 2 and len(right.axes) == 1:
            return self.call(torch.matmul, b, self._swapped(left, a))
        return self.call(torch.matmul, a, b)

    def _swapped(self, expr: Expr, value: Any) -> Any:
        """The transpose of an emitted matrix; two transposes undo each other."""
        if isinstance(expr, Call) and expr.function == "transpose":
            return self.emit(expr.args[0])
        return self.call(torch.transpose, value, -2, -1)

    def _transpose(self, arg: Expr) -> Any:
        return self._swapped(arg, self.emit(arg))

    def _sumsq(self, arg: Expr) -> Any:
        value = self.visible(arg, 0.0) if arg.axes == ("N",) else self.emit(arg)
        square = self.call(operator.mul, value, value)
        if len(arg.axes) == 2:
            return self.call(torch.unsqueeze, self.call(torch.sum, square, -1), -2)
        return self.call(torch.sum, square, -1, keepdim=True)

    def _norm(self, arg: Expr) -> Any:
        return self.call(safe_sqrt, self._sumsq(arg))

    def _sum_n(self, arg: Expr) -> Any:
        if len(arg.axes) == 1:
            return self.call(torch.sum, self._expanded(arg), -1, keepdim=True)
        value = self.emit(arg)
        if not self.masked:
            return self.call(torch.sum, value, -2, keepdim=True)
        weights = self.call(torch.Tensor.to, self.inputs["mask"], value)
        return self.call(torch.matmul, weights, value)

    def _expanded(self, arg: Expr) -> Any:
        return self.visible(arg, 0.0)

    def _sum_d(self, arg: Expr) -> Any:
        value = self.emit(arg)
        if len(arg.axes) == 2:
            return self.call(torch.unsqueeze, self.call(torch.sum, value, -1), -2)
        return self.call(torch.sum, value, -1, keepdim=True)

    def _lse(self, arg: Expr) -> Any:
        return self.call(torch.logsumexp, self.visible(arg, -math.inf), -1, keepdim=True)

    def _softmax(self, arg: Expr) -> Any:
        return self.call(torch.softmax, self.visible(arg, -math.inf), -1)

    def _max_n(self, arg: Expr) -> Any:
        return self.call(torch.amax, self.visible(arg, -math.inf), -1, keepdim=True)

    def _count_n(self) -> Any:
        if not self.masked:
            return self.call(length, self.inputs["X"], -2)
        seen = self.call(torch.sum, self.inputs["mask"], -1, keepdim=True)
        return self.call(torch.Tensor.to, seen, self.inputs["X"])

    def _count_d(self) -> Any:
        return self.call(length, self.inputs["X"], -1)


def _counts(expr: Expr) -> bool:
    return isinstance(expr, Call) and (
        expr.function in {"count_n", "count_d"} or any(map(_counts, expr.args))
    )


def _is_inverse(expr: Expr) -> bool:
    return (
        isinstance(expr, Call)
        and expr.function == "pow"
        and isinstance(expr.args[1], Number)
        and expr.args[1].value == -1
    )


def _negated(expr: Expr) -> Expr | None:
    """`z` if the tree is `-1 * z`."""
    if isinstance(expr, Call) and expr.function == "mul" and len(expr.args) == 2:
        first, second = expr.args
        if isinstance(first, Number) and first.value == -1:
            return second
    return None


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
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
