"""Blocks of a model, each run once more on what it returned.

The stream through a stack is what one block hands to the next, h_0, h_1, ... The energy of a head
of block b is a function of the stream, by the block's own norm and map to queries: running the
block again, on what it returned, gives the head's states one block further on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from attenergy.analysis.calls import AttentionCall, attention_calls
from attenergy.attention.layers.head_groups import HeadGroups

_LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class BlockRun:
    """One call of a block, with what it was given and what it returned, of one shape.

    Attributes:
        name: path of the block in the model.
        calls: the attention calls in it.
        h: what it was given.
        out: what it returned.
        args: everything that it was given.
        arguments: by name.
    """

    name: str
    calls: tuple[AttentionCall, ...]
    h: Tensor
    out: Tensor
    args: tuple[Any, ...]
    arguments: dict[str, Any]


def block_runs(
    model: nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]
) -> tuple[tuple[AttentionCall, ...], list[BlockRun]]:
    """The attention calls of a forward pass, and the blocks that they are in.

    A block is an element of a list of modules that returns a tensor (B, L, W) of the shape that it
    was given; of several around one layer, the innermost. Groups of heads are none.
    """
    runs: list[BlockRun] = []
    with _watched(model, runs.append):
        calls = attention_calls(model, *inputs, **arguments)
    of_block: dict[str, list[AttentionCall]] = {}
    names = {run.name for run in runs}
    for call in calls:
        path = call.name.partition(" (")[0]
        around = [name for name in names if path == name or path.startswith(f"{name}.")]
        if around:
            of_block.setdefault(max(around, key=len), []).append(call)
    blocks = []
    for name, inside in of_block.items():
        own = [run for run in runs if run.name == name]
        each, left = divmod(len(inside), len(own))
        for index, run in enumerate(own if not left else []):
            part = tuple(inside[index * each : (index + 1) * each])
            blocks.append(BlockRun(name, part, run.h, run.out, run.args, run.arguments))
    order = {id(call): place for place, call in enumerate(calls)}
    return calls, sorted(blocks, key=lambda run: order[id(run.calls[0])])


def run_again(
    model: nn.Module, runs: Sequence[tuple[BlockRun, Tensor]]
) -> tuple[list[tuple[AttentionCall, ...]], str]:
    """The attention calls of blocks on other streams, everything else as it was given to them.

    Args:
        model: what the blocks are in.
        runs: the block, and the stream (B, L, W) in place of what it was given.

    Returns:
        One entry for each run, empty where the stream does not fit; and why there are none, in
        words, of a block that cannot be run again.
    """
    fits = [h.shape == run.h.shape for run, h in runs]
    wanted = [pair for pair, fit in zip(runs, fits, strict=True) if fit]
    try:
        calls = attention_calls(_Again(model, wanted))
    except Exception as error:  # whatever a user's block does not take twice
        return [() for _ in runs], f"cannot be run again: {type(error).__name__}: {error}"
    place, results = 0, []
    for (run, _), fit in zip(runs, fits, strict=True):
        many = len(run.calls) if fit else 0
        results.append(calls[place : place + many])
        place += many
    return results, ""


class _Again(nn.Module):
    """Runs blocks of a model, one after the other, and returns nothing."""

    def __init__(self, model: nn.Module, runs: Sequence[tuple[BlockRun, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.plan = _Plan(runs)

    def forward(self) -> None:
        """Run them."""
        for run, h in self.plan.runs:
            args, arguments = _with(run, h)
            self.model.get_submodule(run.name)(*args, **arguments)


class _Plan:
    """What is to be run; a copy of the module shares it."""

    def __init__(self, runs: Sequence[tuple[BlockRun, Tensor]]) -> None:
        self.runs = runs

    def __deepcopy__(self, memo: dict[int, Any]) -> _Plan:
        return self


def _with(run: BlockRun, h: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a run with another stream, and without a cache of earlier positions."""

    def changed(value: Any) -> Any:
        if value is run.h:
            return h
        return None if hasattr(value, "get_seq_length") else value

    return tuple(map(changed, run.args)), {n: changed(v) for n, v in run.arguments.items()}


@contextmanager
def _watched(model: nn.Module, add: Callable[[BlockRun], None]) -> Iterator[None]:
    """Hand on every call of an element of a list that keeps the shape of a tensor (B, L, W)."""

    def hook(name: str) -> Callable[..., None]:
        def after(
            block: nn.Module, args: tuple[Any, ...], arguments: dict[str, Any], out: Any
        ) -> None:
            first = out[0] if isinstance(out, (tuple, list)) and out else out
            given = [v for v in (*args, *arguments.values()) if isinstance(v, Tensor)]
            if not (given and isinstance(first, Tensor)):
                return
            h = given[0]
            if h.ndim == 3 and h.is_floating_point() and h.shape == first.shape:
                add(BlockRun(name, (), h, first.detach(), args, arguments))

        return after

    groups = [f"{name}." for name, part in model.named_modules() if isinstance(part, HeadGroups)]
    hooks = [
        part.register_forward_hook(hook(f"{path}.{name}" if path else name), with_kwargs=True)
        for path, holder in model.named_modules()
        if isinstance(holder, _LISTS) and not any(f"{path}.".startswith(g) for g in groups)
        for name, part in holder.named_children()
        if any(True for _ in part.children())
    ]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
