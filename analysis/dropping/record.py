"""One forward pass as a graph: which tensor came from which, and which modules were called.

A node is a tensor that an operation gave. It has an edge from every node that the operation read,
and one from the inputs of every module of which it is an output, as some operations hide what they
read (gradients inside a forward pass).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

_SUMS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)
_VIEWS = frozenset({"view", "slice", "alias", "detach", "unsafe_view", "_unsafe_view", "reshape"})
_PRODUCTS = frozenset({"bmm", "baddbmm", "mm", "matmul", "dot", "mv"})
_CHOICES = frozenset({"index", "select", "index_select", "gather", "embedding"})
#: A sum: the module in whose own code it was made, and how many it had made before.
Place = tuple[str, int]


@dataclass(eq=False)
class Call:
    """One call of one module.

    Attributes:
        name: path of the module.
        module: the module.
        parent: the call inside of which it was made.
        begin: nodes that there were before it.
        end: nodes that there were after it.
        inputs: tensors that it was given, as nodes; None for what no operation made.
        shapes: theirs, of tensors of numbers with two axes or more.
        answer: what it returned, with every tensor as `Leaf`.
    """

    name: str
    module: nn.Module
    parent: Call | None
    begin: int
    end: int = sys.maxsize
    inputs: list[int | None] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    answer: Any = None

    def leaves(self) -> list[Leaf]:
        """The tensors that it returned."""
        return [leaf for leaf in tree_leaves(self.answer) if isinstance(leaf, Leaf)]


@dataclass(frozen=True)
class Leaf:
    """A tensor that a module returned, as a node."""

    node: int | None
    shape: tuple[int, ...]


@dataclass(eq=False)
class Sum:
    """x + f of two tensors of one shape.

    Attributes:
        node: what it gave.
        operands: the two, as nodes.
        call: inside of which it was made.
        place: where.
    """

    node: int
    operands: tuple[int, int]
    call: Call
    place: Place


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that calls `on_sum(place, x, f)` before every sum of two tensors of one shape.

    `inside` keeps track of the modules that are being called.
    """

    def __init__(self, on_sum: Callable[[Place, Tensor, Tensor], None] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack: list[Call] = []
        self.on_sum = on_sum
        self._sums: dict[str, int] = {}

    def next_place(self) -> Place:
        """The place of the next sum."""
        name = self.stack[-1].name if self.stack else ""
        number = self._sums[name] = self._sums.get(name, -1) + 1
        return name, number

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation."""
        if is_sum(func, args) and self.on_sum is not None:
            self.on_sum(self.next_place(), args[0], args[1] * (kwargs or {}).get("alpha", 1))
        return func(*args, **(kwargs or {}))

    def enter_call(self, name: str, module: nn.Module, inputs: Any) -> None:
        """A module begins."""
        self.stack.append(Call(name, module, self.stack[-1] if self.stack else None, 0))

    def leave_call(self, answer: Any) -> None:
        """The last module that began ends."""
        self.stack.pop()

    @contextmanager
    def inside(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model's modules tell the mode of their calls."""
        with ExitStack() as stack:
            for name, module in model.named_modules():

                def before(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                    self.enter_call(name, module, (args, kwargs))

                def after(module: nn.Module, args: Any, answer: Any) -> None:
                    self.leave_call(answer)

                hooks = (
                    module.register_forward_pre_hook(before, with_kwargs=True),
                    module.register_forward_hook(after),
                )
                for hook in hooks:
                    stack.callback(hook.remove)
            stack.enter_context(self)
            yield


class Recorder(Watch):  # type: ignore[no-untyped-call]
    """A mode that keeps the graph of a forward pass.

    Attributes:
        parents: of every node.
        read: those of them that its own operation read.
        operations: the name of what gave it.
        calls: of modules, in the order in which they began.
        sums: all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parents: list[list[int]] = []
        self.read: list[list[int]] = []
        self.operations: list[str] = []
        self.trained: list[bool] = []  # whether the operation read a parameter
        self.calls: list[Call] = []
        self.sums: list[Sum] = []
        self._nodes = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and add what it gave."""
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        before = [self.node(x) for x in tensors]
        place = self.next_place() if is_sum(func, args) else None
        out = func(*args, **(kwargs or {}))
        known = [node for node in before if node is not None]
        trained = any(isinstance(x, nn.Parameter) for x in tensors)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor, known, getattr(func, "overloadpacket", func).__name__, trained)
        if place is not None and self.stack and before[0] is not None and before[1] is not None:
            pair = before[0], before[1]
            node = len(self.parents) - 1
            self.sums.append(Sum(node, pair, self.stack[-1], place))
        return out

    def _add(self, tensor: Tensor, read: list[int], operation: str, trained: bool) -> None:
        self._nodes[tensor] = len(self.parents)
        self.parents.append(list(read))
        self.read.append(read)
        self.operations.append(operation)
        self.trained.append(trained)

    def node(self, tensor: Tensor) -> int | None:
        """The node of a tensor; None if no operation made it."""
        node: int | None = self._nodes.get(tensor)  # type: ignore[no-untyped-call]
        return node

    def enter_call(self, name: str, module: nn.Module, inputs: Any) -> None:
        """A module begins."""
        parent = self.stack[-1] if self.stack else None
        for x in [] if self.stack else tree_leaves(inputs):
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter):
                self._add(x, [], "input", False)
        call = Call(name, module, parent, len(self.parents))
        for x in tree_leaves(inputs):
            if isinstance(x, Tensor):
                call.inputs.append(self.node(x))
                if x.is_floating_point() and x.ndim > 1:
                    call.shapes.append(tuple(x.shape))
        self.stack.append(call)
        self.calls.append(call)

    def leave_call(self, answer: Any) -> None:
        """The last module that began ends: what it returned depends on what it was given."""
        call = self.stack.pop()
        call.end = len(self.parents)
        call.answer = _with_leaves(answer, self.node)
        given = [node for node in call.inputs if node is not None]
        for leaf in call.leaves():
            if leaf.node is not None and leaf.node >= call.begin:
                self.parents[leaf.node] += given

    def cone(self, *nodes: int, least: int = 0) -> set[int]:
        """The nodes from `least` on from which some nodes came, with themselves."""
        seen, todo = set(nodes), list(nodes)
        while todo:
            fresh = {p for p in self.parents[todo.pop()] if p >= least} - seen
            seen |= fresh
            todo += fresh
        return seen

    def source(self, node: int) -> int:
        """The node of which a node is a view."""
        while self.operations[node] in _VIEWS and self.parents[node]:
            node = self.parents[node][0]
        return node

    def mixes(self, base: int, nodes: set[int]) -> bool:
        """Whether states are multiplied with states on the way from `base` to some nodes."""
        derived = {base}
        for node in sorted(nodes):
            both = derived & set(self.parents[node])
            chosen = self.trained[node] and self.operations[node] in _CHOICES  # weights, by states
            if both and not chosen:
                name = self.operations[node]
                factors = derived & set(self.read[node])
                if "scaled_dot_product" in name or (name in _PRODUCTS and len(factors) > 1):
                    return True
                derived.add(node)
        return False


def is_sum(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation adds two tensors of numbers of one shape, with two axes or more."""
    if func not in _SUMS or len(args) < 2:
        return False
    x, f = args[:2]
    if not isinstance(x, Tensor) or not isinstance(f, Tensor):
        return False
    return x.shape == f.shape and x.ndim > 1 and x.is_floating_point()


def _with_leaves(answer: Any, node: Callable[[Tensor], int | None]) -> Any:
    """A tensor, tuple or list with every tensor as a `Leaf`; anything else by its tensors."""
    if isinstance(answer, Tensor):
        return Leaf(node(answer), tuple(answer.shape))
    if type(answer) in (tuple, list):
        return type(answer)(_with_leaves(part, node) for part in answer)
    leaves = [x for x in tree_leaves(answer) if isinstance(x, Tensor)]
    return {"other": [_with_leaves(x, node) for x in leaves]} if leaves else None
