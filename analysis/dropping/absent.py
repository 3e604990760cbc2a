"""What stands in the place of a module that was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attenergy.analysis.dropping.record import Call, Leaf
from attenergy.registry import ArgumentTypeError


@dataclass(frozen=True)
class Answer:
    """What a dropped module returns for its first input x (..., W).

    Attributes:
        widths: of what is returned in place of every tensor: 0 (..., width); None gives None.
        many: tuple or list of such; else there is one, by itself.
        passes: whether x itself is returned in place of the first.
    """

    widths: tuple[int | None, ...]
    many: type[tuple[Any, ...] | list[Any]] | None = None
    passes: bool = False


class Absent(nn.Module):
    """0, or its input: what a module adds that was dropped. It has no parameters.

    Plain attributes of the module that was there can still be read, as other modules may; its
    parameters are None.

    Args:
        module: the one that is dropped; it is not kept.
        answer: what is returned.
    """

    def __init__(self, module: nn.Module, answer: Answer) -> None:
        super().__init__()
        self.answer, self.was = answer, type(module).__name__
        for name, value in vars(module).items():
            plain = value is None or isinstance(value, (bool, int, float, str))
            if plain and not hasattr(self, name):
                setattr(self, name, value)
        for name in module._parameters:
            self.register_parameter(name, None)
        self.train(module.training)

    def forward(self, *inputs: Any, **arguments: Any) -> Any:
        """Return zeros of the shape that the module's answer had, or the first input."""
        x = first_tensor((inputs, arguments))
        parts = [None if w is None else x.new_zeros(*x.shape[:-1], w) for w in self.answer.widths]
        if self.answer.passes:
            parts[0] = x
        return parts[0] if self.answer.many is None else self.answer.many(parts)

    def extra_repr(self) -> str:
        """What it was, for printing."""
        return f"was={self.was}"


def first_tensor(inputs: Any) -> Tensor:
    """The first tensor of numbers with two axes or more."""
    for x in tree_leaves(inputs):
        if isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 1:
            return x
    raise ArgumentTypeError(
        "a dropped module was called without a tensor of numbers (..., W)", topic="analysis"
    )


def absent_answer(call: Call, nodes: set[int] | None) -> Answer | None:
    """What a module returns once it is dropped; None if that cannot be said.

    Args:
        call: of the module.
        nodes: those to be 0; anything else that it returned becomes None. With None, its first
            input stands in place of the first tensor.
    """
    many = type(call.answer) if type(call.answer) in (tuple, list) else None
    parts = [call.answer] if many is None else list(call.answer)
    if not call.shapes or not parts or any(isinstance(p, (tuple, list, dict)) for p in parts):
        return None
    lead = call.shapes[0][:-1]
    if nodes is None:
        first = parts[0]
        if not isinstance(first, Leaf) or first.shape != call.shapes[0]:
            return None
        return Answer((first.shape[-1], *(None for _ in parts[1:])), many, passes=True)
    widths = []
    for part in parts:
        zero = isinstance(part, Leaf) and part.node in nodes
        if zero and part.shape[:-1] != lead:
            return None
        widths.append(part.shape[-1] if zero else None)
    return Answer(tuple(widths), many)


@contextmanager
def fast_path_off() -> Iterator[None]:
    """A context without PyTorch's fused encoder layer, which calls none of its modules."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def without(model: nn.Module, absent: Mapping[str, Answer]) -> Iterator[None]:
    """A context in which some modules of a model are dropped; afterwards all is as it was."""
    parents: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for name, answer in absent.items():
            module = model.get_submodule(name)
            stand_in = Absent(module, answer)
            for owner in list(model.modules()):  # it may stand in several places
                for child in [n for n, part in owner._modules.items() if part is module]:
                    parents.append((owner, child, module))
                    owner._modules[child] = stand_in
        with fast_path_off():  # it would read the weights of modules that are gone
            yield
    finally:
        for owner, child, module in reversed(parents):
            owner._modules[child] = module
