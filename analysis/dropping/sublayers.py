"""What of a model can be dropped: its residual sub-layers, attention and MLPs, and its blocks."""

from __future__ import annotations

import os.path
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attenergy.analysis.dropping.absent import Answer, absent_answer, fast_path_off, without
from attenergy.analysis.dropping.branches import Branch, above, branches_of, known_attention
from attenergy.analysis.dropping.record import Call, Place, Recorder, Watch
from attenergy.attention.models.block import Block
from attenergy.registry import AnalysisError

Kind = Literal["attention", "mlp", "block"]
_LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class SubLayer:
    """h = x + f(x): an attention layer or an MLP with the sum around it.

    Attributes:
        name: of the attention module, or of the modules of the MLP; `blocks.0.mixer`.
        kind: "attention" or "mlp".
        block: the module in a list of modules that it belongs to; "" if there is none.
        total: the sum with x, and which of its operands is x.
        place: the sum in which f is an operand, and which.
        absent: the modules that are replaced when it is dropped, and what they return then.
        owner: the name of the `Block` whose part it is; "" if it is of no `Block`.
    """

    name: str
    kind: Kind
    block: str
    total: tuple[Place, int]
    place: tuple[Place, int]
    absent: Mapping[str, Answer]
    owner: str = ""


@dataclass(frozen=True, eq=False)
class Structure:
    """The residual structure of a model.

    Attributes:
        layers: its sub-layers, in order.
        blocks: name -> the modules that are replaced when the block is dropped, and what they
            return then: itself, or those of its sub-layers if it returns more than its states.
        missing: what could not be found or dropped, in words.
    """

    layers: tuple[SubLayer, ...]
    blocks: Mapping[str, Mapping[str, Answer]]
    missing: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All that can be dropped by name."""
        return (*(layer.name for layer in self.layers), *self.blocks)

    def absent(self, names: Sequence[str]) -> dict[str, Answer]:
        """The modules to replace so that some sub-layers and blocks add nothing."""
        replaced: dict[str, Answer] = {}
        for name in names:
            replaced |= self.blocks.get(name, {})
        for layer in self.layers:
            if layer.name in names and layer.block not in replaced:
                replaced |= layer.absent
        return replaced

    def gone(self, names: Sequence[str]) -> set[str]:
        """The sub-layers that are dropped with some sub-layers and blocks."""
        return {x.name for x in self.layers if x.name in names or x.block in names}

    def of(self, kind: str) -> tuple[str, ...]:
        """The names of what is dropped jointly, of attention, of MLPs or of blocks."""
        if kind == "blocks":
            return tuple(self.blocks)
        return tuple(x.name for x in self.layers if kind in ("joint", x.kind))


@torch.no_grad()
def structure_of(
    model: nn.Module, inputs: Sequence[Any], arguments: Mapping[str, Any]
) -> Structure:
    """Record one forward pass, and see what in it is a residual sub-layer.

    Raises:
        ValueError: there is none.
    """
    record = Recorder()
    with fast_path_off(), record.inside(model):
        model(*inputs, **arguments)
    branches = branches_of(model, record)
    replacing = Replacing(record)
    places = _blocks_of(branches)
    layers = [
        _sub_layer(branch, block, replacing) for branch, block in zip(branches, places, strict=True)
    ]
    vanishing = _that_vanish(model, [x for x in layers if x.absent], inputs, arguments)
    missing = [
        f"{layer.name}: its part of the sum does not vanish with its modules, which are called "
        "several times or return more than one plain tensor"
        for layer in layers
        if layer not in vanishing
    ]
    inside = {
        id(call.module)
        for branch in branches
        for call in (*branch.calls, *(above(branch.total.call) if branch.is_attention else ()))
    }
    missing += [
        f"{name or type(module).__name__}: there is no sum x + f(x) around this attention"
        for name, module in known_attention(model).items()
        if id(module) not in inside
    ]
    if not vanishing:
        raise AnalysisError(
            f"no residual sub-layer x + f(x) of this {type(model).__name__} can be dropped"
            + "".join(f"; {text}" for text in missing[:3])
        )
    return Structure(tuple(vanishing), _blocks(vanishing, replacing), tuple(missing))


class Replacing:
    """Which modules may be replaced: called once, and read by nothing but their branch.

    Args:
        record: of a forward pass.
    """

    def __init__(self, record: Recorder) -> None:
        self.record = record
        self._counts = Counter(id(call.module) for call in record.calls)
        answers = [leaf.node for leaf in record.calls[0].leaves() if leaf.node is not None]
        useful = record.cone(*answers)
        self._readers: dict[int, set[int]] = defaultdict(set)
        for node in useful:
            for parent in record.read[node]:
                self._readers[parent].add(node)

    def absent(self, branch: Branch, calls: Sequence[Call]) -> dict[str, Answer]:
        """The modules to replace among the calls, and what they return then."""
        answers: dict[str, Answer] = {}
        sums = {s.node for s in self.record.sums if s.place in (branch.place, branch.total.place)}
        for call in calls:
            nodes = {leaf.node for leaf in call.leaves() if leaf.node is not None}
            readers = set().union(*(self._readers[node] for node in nodes))
            answer = absent_answer(call, branch.nodes)
            alone = self._counts[id(call.module)] == 1 and readers <= branch.nodes | sums
            if answer is not None and alone and call.name:
                answers[call.name] = answer
        return answers

    def passing(self, name: str) -> Answer | None:
        """What a block returns that passes its states on; None if more of it is read."""
        calls = [call for call in self.record.calls if call.name == name]
        if len(calls) != 1:
            return None
        others = [leaf.node for leaf in calls[0].leaves()[1:]]
        read = any(self._readers[node] for node in others if node is not None)
        return None if read else absent_answer(calls[0], None)


def _sub_layer(branch: Branch, block: str, replacing: Replacing) -> SubLayer:
    call, owner, calls = branch.total.call, "", branch.outermost
    name = _name(branch, block)
    if isinstance(call.module, Block):
        owner = call.name
        own = (call.module.mixer, call.module.feed_forward)
        calls = [each for each in calls if any(each.module is part for part in own)]
        name = calls[0].name
    return SubLayer(
        name=name,
        kind="attention" if branch.is_attention else "mlp",
        block=block,
        total=(branch.total.place, branch.x),
        place=(branch.place, branch.f),
        absent=replacing.absent(branch, calls),
        owner=owner,
    )


def _blocks_of(branches: Sequence[Branch]) -> list[str]:
    """The module of a list around each branch: the innermost that holds several, if any does."""
    around = [[call.name for call in above(b.total.call) if _listed(call)] for b in branches]
    counts = Counter(name for names in around for name in names)
    return [
        next((name for name in names if counts[name] > 1), (*names, branch.total.call.name)[0])
        for names, branch in zip(around, branches, strict=True)
    ]


def _listed(call: Call) -> bool:
    """Whether a module stands in a list of modules."""
    *_, root = above(call)
    parent = call.name.rpartition(".")[0]
    return isinstance(root.module.get_submodule(parent), _LISTS) and call is not root


def _name(branch: Branch, block: str) -> str:
    """The attention module of a branch, or its modules with weights, but for norms."""
    if branch.attention is not None:
        return branch.attention.name
    weighted = [c for c in branch.outermost if any(True for _ in c.module.parameters())]
    plain = [c.name for c in weighted if "norm" not in type(c.module).__name__.lower()]
    names = plain or [call.name for call in branch.outermost] or [f"{block}.sum"]
    if len(names) == 1:
        return names[0]
    common = os.path.commonpath([name.replace(".", "/") for name in names]).replace("/", ".")
    if len(common) > len(block):
        return common
    prefix = f"{block}." if block else ""
    return prefix + "+".join(name.removeprefix(prefix) for name in names)


def _that_vanish(
    model: nn.Module,
    layers: list[SubLayer],
    inputs: Sequence[Any],
    arguments: Mapping[str, Any],
) -> list[SubLayer]:
    """The sub-layers that add exactly 0 when their modules are replaced."""

    def zero(some: list[SubLayer]) -> set[str]:
        seen: dict[str, bool] = {}

        def look(place: Place, *operands: Tensor) -> None:
            for layer in (x for x in some if x.place[0] == place):
                seen[layer.name] = not operands[layer.place[1]].any()

        absent = {name: answer for layer in some for name, answer in layer.absent.items()}
        watch = Watch(look)
        try:
            with without(model, absent), watch.inside(model):
                model(*inputs, **arguments)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return set()  # something else reads what was replaced
        return {name for name, is_zero in seen.items() if is_zero}

    names = zero(layers) if layers else set()
    if len(names) < len(layers):  # one may be in the way of others
        names = {layer.name for layer in layers if layer.name in zero([layer])}
    return [layer for layer in layers if layer.name in names]


def _blocks(layers: Sequence[SubLayer], replacing: Replacing) -> dict[str, Mapping[str, Answer]]:
    """What is replaced when a block is dropped."""
    blocks: dict[str, Mapping[str, Answer]] = {}
    for layer in layers:
        if layer.block:
            answer = replacing.passing(layer.block)
            alone = {} if answer is None else {layer.block: answer}
            blocks[layer.block] = alone or {**blocks.get(layer.block, {}), **layer.absent}
    return blocks
