"""A typed tree as batched tensor code: one `torch.fx` graph, no loop and no `vmap`.

Layouts (L states, S patterns, D head width, any leading batch axes):
    scalar  (..., L|1, 1)     [D]  (..., L|1, D)     [N]  (..., L|1, S)
    matrix  (..., rows, columns), the same for all states

Every sum over the axis N goes through the mask here, so an author cannot forget it. Where a
function could overflow or has a pole, hidden entries are replaced before it: a sum would give their
derivative the weight 0, and 0 times infinity is not 0. A row that hides everything is opened for
sums, so that these have something to sum, and stays closed for functions.

Names of parameters never reach the code: in it they are p0, p1, ...
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, fx

from attenergy.energies.language.conjugates import CONJUGATES
from attenergy.energies.language.nodes import Call, Expr, Number, Symbol
from attenergy.energies.language.numerics import length, safe_sqrt
from attenergy.energies.language.operations import (
    ELEMENTWISE,
    TAME,
    counts,
    is_guarded,
    is_inverse,
    is_tame_power,
    negated,
)

#: Order of a program's arguments before its parameters.
INPUTS = ("xi", "X", "h", "s", "q", "mask")


class Program:
    """A compiled tree: call it with the tensors that its symbols name.

    Copies and pickles as the tree it came from. `opens` says that a row of its mask may be empty.
    """

    def __init__(self, expr: Expr, *, masked: bool, squeeze: bool) -> None:
        self.expr, self.masked, self.squeeze = expr, masked, squeeze
        emitter = _Emitter(masked)
        self.opens = masked and is_guarded(expr)
        graph = emitter.program(expr, squeeze, self.opens)
        self.names = tuple(emitter.inputs)
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
        masked: whether the program takes a `mask` (..., L, S), True = visible. No row may be empty,
            unless the program `opens` them.
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
        self.inputs: dict[str, fx.Node] = {}  # in the order of the program's arguments

    def program(self, expr: Expr, squeeze: bool, opens: bool) -> fx.Graph:
        wanted = set(expr.names) | ({"mask"} if self.masked else set())
        if counts(expr):  # a count takes its size, type and device from the patterns
            wanted.add("X")
        for name in (n for n in INPUTS if n in wanted):
            self.inputs[name] = self.graph.placeholder(name)
        for index, name in enumerate(sorted(wanted - set(INPUTS))):
            self.inputs[name] = self.graph.placeholder(f"p{index}")
        if self.masked:
            self.opened = self.closed = self.inputs["mask"]
        if opens:
            self.occupied = self.call(torch.any, self.closed, -1, keepdim=True)
            empty = self.call(torch.logical_not, self.occupied)
            self.opened = self.call(torch.logical_or, self.closed, empty)
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
                (arg,) = expr.args
                value = self.emit(arg) if expr.function in TAME else self.guarded(arg)
                self.done[expr.structure] = self.call(ELEMENTWISE[expr.function], value)
        return self.done[expr.structure]

    def once(self, key: str, make: Callable[[], Any], *of: Any) -> Any:
        """A value besides those of sub-trees, made at its first use."""
        if (key, *of) not in self.done:
            self.done[key, *of] = make()
        return self.done[key, *of]

    def conjugate(self, function: str, scores: Expr, *parameters: Expr) -> Any:
        given = map(self.emit, parameters)
        return self.call(CONJUGATES[function], self.visible(scores, -math.inf), *given)

    def visible(self, expr: Expr, fill: float) -> Any:
        """A vector over patterns with `fill` where the mask hides them."""
        return self.shown(self.emit(expr), fill)

    def shown(self, value: Any, fill: float) -> Any:
        """The same for an emitted vector over patterns."""
        if not self.masked:
            return value
        if fill == 0.0:
            return self.call(torch.where, self.opened, value, 0.0)
        return self.call(torch.masked_fill, value, self.hidden(), fill)

    def hidden(self) -> Any:
        return self.once("hidden", lambda: self.call(torch.logical_not, self.opened))

    def guarded(self, expr: Expr) -> Any:
        """A value with 1, where all functions are tame, in the place of hidden patterns.

        Or, if it has no axis of patterns, in the place of states that see nothing.
        """
        value = self.emit(expr)
        if not self.masked or not ("N" in expr.axes or expr.per_state):
            return value
        if len(expr.axes) == 2:
            tame = partial(self._guarded_matrix, expr, value)
        else:
            shown = self.closed if expr.axes == ("N",) else self.occupied
            tame = partial(self.call, torch.where, shown, value, 1.0)
        return self.once("guarded", tame, expr.structure)

    def _guarded_matrix(self, expr: Expr, value: Any) -> Any:
        """A matrix is the same for all states; here patterns that no state sees are replaced."""
        seen = self.once("seen", lambda: self.call(torch.any, self.closed, -2))
        for axis in (i for i, name in enumerate(expr.axes) if name == "N"):
            place = self.call(torch.unsqueeze, seen, -2 if axis else -1)
            value = self.call(torch.where, place, value, 1.0)
        return value

    def _add(self, *args: Expr) -> Any:
        first, *rest = args
        total = self.emit(first)
        for term in rest:
            negative = negated(term)
            if negative is None:
                total = self.call(operator.add, total, self.emit(term))
            else:
                total = self.call(operator.sub, total, self.emit(negative))
        return total

    def _mul(self, *args: Expr) -> Any:
        above = [a for a in args if not is_inverse(a)]
        below = [a.args[0] for a in args if isinstance(a, Call) and is_inverse(a)]
        if not above:
            total: Any = 1.0
        else:
            total, *rest = (self.emit(a) for a in sorted(above, key=lambda a: len(a.axes)))
            if isinstance(total, float) and total == -1.0 and rest:
                total, *rest = self.call(operator.neg, rest[0]), *rest[1:]
            for factor in rest:
                total = self.call(operator.mul, total, factor)
        for factor in below:
            total = self.call(operator.truediv, total, self.guarded(factor))
        return total

    def _pow(self, base: Expr, exponent: Expr) -> Any:
        value = self.emit(base) if is_tame_power(exponent) else self.guarded(base)
        if isinstance(exponent, Number):
            if exponent.value == 2:
                return self.call(operator.mul, value, value)
            if exponent.value == -1:
                return self.call(torch.reciprocal, value)
            if exponent.value == 0.5:
                return self.call(torch.sqrt, value)
            whole = exponent.value.is_integer() and abs(exponent.value) < 2**63  # as torch has it
            return self.call(torch.pow, value, int(exponent.value) if whole else exponent.value)
        return self.call(torch.pow, value, self.emit(exponent))

    def _matmul(self, left: Expr, right: Expr) -> Any:
        hidden = left.axes[-1] == "N"
        if len(left.axes) == len(right.axes) == 1:
            product = self.call(operator.mul, self.emit(left), self.emit(right))
            product = self.shown(product, 0.0) if hidden else product
            return self.call(torch.sum, product, -1, keepdim=True)
        a = self.visible(left, 0.0) if hidden and len(left.axes) == 1 else self.emit(left)
        b = self.visible(right, 0.0) if hidden and len(right.axes) == 1 else self.emit(right)
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
            return self.call(torch.sum, self.visible(arg, 0.0), -1, keepdim=True)
        value = self.emit(arg)
        if not self.masked:
            return self.call(torch.sum, value, -2, keepdim=True)
        weights = self.call(torch.Tensor.to, self.opened, value)
        return self.call(torch.matmul, weights, value)

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
        seen = self.call(torch.sum, self.opened, -1, keepdim=True)
        return self.call(torch.Tensor.to, seen, self.inputs["X"])

    def _count_d(self) -> Any:
        return self.call(length, self.inputs["X"], -1)
