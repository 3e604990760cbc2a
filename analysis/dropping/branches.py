"""The residual sums of a forward pass, h = x + f(x), and the modules that make f."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn

from attenergy.analysis.dropping.record import Call, Place, Recorder, Sum
from attenergy.attention.integrations.huggingface import attention_modules
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.mixers import Mixer

_ATTENTION = (EnergyLayer, HeadGroups, Mixer, nn.MultiheadAttention)


@dataclass(eq=False)
class Branch:
    """f of one sum x + f(x), where f depends on x through something trained.

    Attributes:
        total: the sum with x.
        x: which of its operands is x.
        place: the sum in which f is an operand; another than `total`'s where branches run side by
            side, x + (f + g).
        f: which of its operands is f.
        nodes: from x (not included) to f.
        calls: of modules inside the branch, in their order.
        outermost: those of them that lie in no other.
        attention: the first module that is known to be attention.
        mixes: whether states are multiplied with states, as attention does.
    """

    total: Sum
    x: int
    place: Place
    f: int
    base: int
    nodes: set[int]
    calls: list[Call] = field(default_factory=list)
    outermost: list[Call] = field(default_factory=list)
    attention: Call | None = None
    mixes: bool = False

    @property
    def is_attention(self) -> bool:
        """Whether states act on states in it."""
        return self.attention is not None or self.mixes


def branches_of(model: nn.Module, record: Recorder) -> list[Branch]:
    """The residual branches of a recorded pass, in order; none of them lies in another."""
    known = {id(module) for module in known_attention(model).values()}
    branches: list[Branch] = []
    chained: dict[int, int] = {}  # a sum -> what it was added to, in the same module
    for total in record.sums:
        for x in (0, 1):
            made = _branches(record, total, x, chained)
            if made:
                branches += made
                chained[total.node] = made[0].base
                break
    for branch in branches:
        _fill(branch, record, known)
    return sorted(_outer(branches), key=_order)


def _order(branch: Branch) -> tuple[int, int]:
    """By the sum, and by what begins first of what runs side by side."""
    return branch.total.node, min((call.begin for call in branch.outermost), default=0)


def known_attention(model: nn.Module) -> Mapping[str, nn.Module]:
    """The modules of a model that are attention by their type or by their interface."""
    ours = {name: part for name, part in model.named_modules() if isinstance(part, _ATTENTION)}
    return ours | attention_modules(model)


def _branches(record: Recorder, total: Sum, x: int, chained: Mapping[int, int]) -> list[Branch]:
    """The branches of a sum if its operand `x` is what they start from."""
    f = 1 - x
    base = record.source(total.operands[x])
    nodes = record.cone(total.operands[f], least=base) - {base}
    while base not in _reached(record, nodes) and base in chained:
        base = chained[base]
        nodes = record.cone(total.operands[f], least=base) - {base}
    if base not in _reached(record, nodes) or not any(record.trained[n] for n in nodes):
        return []
    leaves = list(_leaves(record, total, f, base))
    return [
        Branch(total, x, place, operand, base, record.cone(node, least=base) - {base})
        for place, operand, node in leaves
    ]


def _reached(record: Recorder, nodes: set[int]) -> set[int]:
    return {parent for node in nodes for parent in record.parents[node]}


def _leaves(
    record: Recorder, total: Sum, operand: int, base: int
) -> Iterator[tuple[Place, int, int]]:
    """The operand of a sum, or those of the sum that it is if they run side by side."""
    node = total.operands[operand]
    inner = next((s for s in record.sums if s.node == node and s.call is total.call), None)
    if inner is not None:
        cones = [record.cone(n, least=base) for n in inner.operands]
        apart = inner.operands[0] not in cones[1] and inner.operands[1] not in cones[0]
        if apart and all(base in _reached(record, cone) for cone in cones):
            for each in (0, 1):
                yield from _leaves(record, inner, each, base)
            return
    yield total.place, operand, node


def _fill(branch: Branch, record: Recorder, known: set[int]) -> None:
    """Name the modules of a branch, and see whether it is attention."""
    inside = {
        id(call): call
        for call in record.calls
        if call.begin > branch.base
        and call.end <= branch.total.node
        and any(leaf.node in branch.nodes for leaf in call.leaves())
    }
    branch.calls = list(inside.values())
    branch.outermost = [
        call for call in branch.calls if call.parent is None or id(call.parent) not in inside
    ]
    branch.attention = next((c for c in branch.calls if id(c.module) in known), None)
    branch.mixes = record.mixes(branch.base, branch.nodes)


def _outer(branches: list[Branch]) -> list[Branch]:
    """Without branches inside attention layers, inside others, and around several of them."""
    branches = [
        branch
        for branch in branches
        if not any(isinstance(call.module, _ATTENTION) for call in above(branch.total.call))
    ]
    around = []
    for branch in branches:
        inner = [other for other in branches if _within(other, branch)]
        if len(inner) > 1 and any(other.is_attention for other in inner):
            around.append(branch)
    apart = [branch for branch in branches if branch not in around]
    return [b for b in apart if not any(_within(b, other) for other in apart)]


def _within(inner: Branch, outer: Branch) -> bool:
    """Whether the sum of one branch is made by a module of another."""
    outermost = set(map(id, outer.outermost))
    return inner is not outer and any(id(c) in outermost for c in above(inner.total.call))


def above(call: Call | None) -> Iterator[Call]:
    """A call, and those inside of which it was made."""
    while call is not None:
        yield call
        call = call.parent
