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

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from attenergy.energies.language.nodes import Call, Expr, Number, Symbol
from attenergy.energies.language.table import FUNCTIONS, Function, remembered

#: Order of a program's arguments before its parameters.
INPUTS = ("xi", "X", "h", "s", "q", "mask")


class Program:
    """A compiled tree: call it with the tensors that its symbols name.

    Copies and pickles as the tree it came from. `opens` says that a row of its mask may be empty.

    Example:
        >>> program = compile_tree(parse("lse(X @ xi)", {"X": PATTERNS, "xi": XI}), masked=False)
        >>> program({"X": torch.eye(2), "xi": torch.zeros(2)})
        tensor([0.6931])
    """

    def __init__(self, expr: Expr, *, masked: bool, squeeze: bool) -> None:
        self.expr, self.masked, self.squeeze = expr, masked, squeeze
        emitter = Emitter(masked)
        self.opens = masked and _is_guarded(expr)
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

    Example:
        >>> program = compile_tree(parse("0.5*|xi|^2", {"xi": XI}), masked=False)
        >>> program({"xi": torch.tensor([3.0, 4.0])})
        tensor([12.5000])
    """
    return _compiled(expr, masked, squeeze)


@remembered(1024)
def _compiled(expr: Expr, masked: bool, squeeze: bool) -> Program:
    return Program(expr, masked=masked, squeeze=squeeze)


def _counts(expr: Expr) -> bool:
    """Whether a function in the tree asks how many patterns or components there are."""
    if not isinstance(expr, Call):
        return False
    row = FUNCTIONS[expr.function]
    if row.expansion is not None:
        return _counts(row.expansion(*expr.args))
    return row.counts or any(map(_counts, expr.args))


def _is_guarded(expr: Expr) -> bool:
    """Whether a function somewhere in the tree is kept away from what a mask hides."""
    if not isinstance(expr, Call):
        return False
    row = FUNCTIONS[expr.function]
    if row.expansion is not None:
        return _is_guarded(row.expansion(*expr.args))
    if row.guards(expr.args) and any("N" in arg.axes or arg.per_state for arg in expr.args):
        return True
    return any(map(_is_guarded, expr.args))


class Emitter:
    """Writes the code of a tree, each distinct sub-tree once.

    A row's own `emit` is called with this and the trees of the arguments; it reads an argument by
    `emit` (its value), `visible` (a vector over patterns, with a number in place of hidden ones) or
    `guarded`, and calls torch by `call`.
    """

    def __init__(self, masked: bool) -> None:
        self.graph = fx.Graph()
        self.masked = masked
        self.done: dict[tuple[object, ...], Any] = {}
        self.inputs: dict[str, fx.Node] = {}  # in the order of the program's arguments

    def program(self, expr: Expr, squeeze: bool, opens: bool) -> fx.Graph:
        """The graph that computes a tree from the tensors that it names."""
        wanted = set(expr.names) | ({"mask"} if self.masked else set())
        if _counts(expr):  # a count takes its size, type and device from the patterns
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
        """Call a function of torch on values."""
        return self.graph.call_function(function, args, kwargs)

    def emit(self, expr: Expr) -> Any:
        """The value of a tree."""
        if isinstance(expr, Number):
            return expr.value
        if isinstance(expr, Symbol):
            return self.inputs[expr.name]
        if expr.structure not in self.done:
            assert isinstance(expr, Call)
            self.done[expr.structure] = self._called(FUNCTIONS[expr.function], expr.args)
        return self.done[expr.structure]

    def once(self, key: str, make: Callable[[], Any], *of: Any) -> Any:
        """A value besides those of sub-trees, made at its first use."""
        if (key, *of) not in self.done:
            self.done[key, *of] = make()
        return self.done[key, *of]

    def _called(self, row: Function, args: tuple[Expr, ...]) -> Any:
        if row.expansion is not None:
            return self.emit(row.expansion(*args))
        if row.emit is not None:
            return row.emit(self, *args)
        assert row.torch is not None
        if row.hidden is not None:
            scores, *rest = args
            return self.call(row.torch, self.visible(scores, row.hidden), *map(self.emit, rest))
        return self.call(row.torch, *map(self.guarded if row.guards(args) else self.emit, args))

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
        """The negated mask."""
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
