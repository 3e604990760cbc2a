"""Stacks: a layer for every block of a model, and groups of heads inside a layer, by name.

    lse/hyla            the first block has lse, the second hyla, the third lse again, ...
    lse+rbm             one layer: half of its heads are lse's, the others rbm's
    softmax/lse+rbm:3   in the second block a quarter of the heads are lse's, the others rbm's

A setting of a stack stands at its place, `<place>.<name>`: the number of the layer in the pattern
where there are several (`2.steps`), and a letter for the group of heads where a layer has several
(`a.beta`, `2b.beta`). Numbers count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Any, NamedTuple

from attenergy.registry.errors import ArgumentError, UnknownName
from attenergy.registry.specs import EnergySpec, GroupSpec, MixerSpec, StackEntry, StackSpec

#: What takes part in a search or a comparison under one name.
VariantSpec = EnergySpec | MixerSpec | StackSpec
Pattern = tuple[tuple[GroupSpec, ...], ...]

_GROUP = re.compile(r"([a-z][a-z0-9_-]{0,63})(?::([1-9]\d{0,3}))?")
_MOST_LAYERS = 1000


class Part(NamedTuple):
    """A group of heads at its place.

    Attributes:
        place: `2a`; empty where the stack is one layer of one group.
        variant: name of its entry.
        spec: its entry.
        heads: its share of the heads of its layer.
    """

    place: str
    variant: str
    spec: EnergySpec | MixerSpec
    heads: int

    @property
    def prefix(self) -> str:
        """What its settings begin with in those of the stack."""
        return f"{self.place}." if self.place else ""


def is_stack_name(name: str) -> bool:
    """Whether a name is made of several: `lse/hyla`, `lse+rbm`."""
    return ("/" in name or "+" in name) and _read(name) is not None


def read_pattern(layers: Sequence[str]) -> Pattern:
    """The groups of heads of each layer.

    Raises:
        ArgumentError: a layer is written otherwise.
    """
    pattern = []
    for text in layers:
        layer = _read_layer(text)
        if layer is None:
            raise ArgumentError(
                f"a layer of a stack is a name (lse), or names joined by '+' that share its heads "
                f"(lse+rbm, lse+rbm:3), got {text!r:.80}",
                topic="stack",
            )
        pattern.append(layer)
    return tuple(pattern)


def layer_name(groups: Sequence[GroupSpec]) -> str:
    """The name of one layer: `lse`, `lse+rbm`, `lse:1+rbm:3`."""
    alike = len({group.heads for group in groups}) == 1
    return "+".join(g.variant if alike else f"{g.variant}:{g.heads}" for g in groups)


def stack_name(pattern: Pattern) -> str:
    """The name of a stack: `lse/hyla`."""
    return "/".join(map(layer_name, pattern))


def stack_text(stack: StackSpec, layers: int | None = None) -> str:
    """The layers from the first block to the last in a line: `lse > hyla+rbm > lse`.

    Args:
        stack: that repeats its pattern where there are more blocks.
        layers: number of blocks; as many as the pattern has if None.
    """
    names = [layer_name(groups) for groups in stack.pattern]
    blocks = range(len(names)) if layers is None else blocks_of(stack, layers)
    return " > ".join(names[index] for index in blocks)


def named_stack(name: str, entry: Callable[[str], EnergySpec | MixerSpec]) -> StackSpec:
    """The stack that a name like `lse/hyla+rbm` stands for.

    Args:
        name: of which `is_stack_name` holds.
        entry: gives the entry of a name.

    Raises:
        UnknownName: there is none.
    """
    return stack_of(read_pattern(name.split("/")), entry)


def stack_of(
    pattern: Pattern, entry: Callable[[str], EnergySpec | MixerSpec], *, title: str = ""
) -> StackSpec:
    """A stack with the entries that it names.

    Raises:
        UnknownName: there is none of a name.
    """
    names = dict.fromkeys(group.variant for layer in pattern for group in layer)
    entries = {name: entry(name) for name in names}
    return StackSpec(title=title or _title(pattern), entries=entries, pattern=pattern)


def entered_stack(stack: StackEntry, entry: Callable[[str], EnergySpec | MixerSpec]) -> StackSpec:
    """The stack that a registry file describes.

    Raises:
        UnknownName: there is no entry of a name, or no part of the stack at the place of a setting.
    """
    made = stack_of(read_pattern(stack.layers or stack.pattern or ()), entry, title=stack.title)
    about = {"reference": stack.reference, "doc": stack.doc, "settings": stack.settings}
    made = made.model_copy(update={**about, "repeats": stack.layers is None})
    settings_by_part(made, stack.settings)
    return made


def entries_of(name: str, layer: VariantSpec) -> dict[str, EnergySpec | MixerSpec]:
    """The energies and mixers of a variant: it alone, or those of a stack."""
    return layer.entries if isinstance(layer, StackSpec) else {name: layer}


def as_entry(stack: StackSpec) -> StackEntry:
    """A stack as a registry file has it, without the entries that it names."""
    layers = tuple(map(layer_name, stack.pattern))
    kind = "pattern" if stack.repeats else "layers"
    about = {"title": stack.title, "reference": stack.reference, "doc": stack.doc}
    return StackEntry.model_validate({**about, kind: layers, "settings": stack.settings})


def parts(stack: StackSpec) -> Iterator[Part]:
    """The groups of heads of all layers of the pattern, in their order."""
    for layer in layers_of(stack):
        yield from layer


def layers_of(stack: StackSpec) -> tuple[tuple[Part, ...], ...]:
    """The same, layer by layer."""
    several = len(stack.pattern) > 1
    return tuple(
        tuple(
            Part(
                f"{number if several else ''}{letter if len(groups) > 1 else ''}",
                group.variant,
                stack.entries[group.variant],
                group.heads,
            )
            for letter, group in zip(ascii_lowercase, groups, strict=False)
        )
        for number, groups in enumerate(stack.pattern, start=1)
    )


def settings_by_part(stack: StackSpec, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by the place of their part, under their names there; the stack's own are first.

    Raises:
        UnknownName: there is no such place.
    """
    own: dict[str, dict[str, Any]] = {part.place: {} for part in parts(stack)}
    for name, value in {**stack.settings, **settings}.items():
        place, _, short = name.rpartition(".")
        if place not in own:
            known = [f"{part.prefix}NAME ({part.variant})" for part in parts(stack)]
            raise UnknownName("part of this stack for the setting", name, known)
        own[place][short] = value
    return own


def blocks_of(stack: StackSpec, layers: int) -> list[int]:
    """For each of so many blocks the index of its layer in the pattern.

    Raises:
        ArgumentError: the pattern does not fit so many blocks.
    """
    own = len(stack.pattern)
    fits = layers % own == 0 if stack.repeats else layers == own
    if not fits:
        name = stack_name(stack.pattern)
        needs = f"a multiple of {own}" if stack.repeats else f"{own}"
        raise ArgumentError(
            f"the stack {name} needs a model of {needs} blocks, and this one has {layers}: give "
            f"all variants as many, layers={own} (--fix layers={own})",
            topic="stack",
        )
    return [block % own for block in range(layers)]


def check_fits(layer: VariantSpec, layers: int, num_heads: int) -> None:
    """Check that a model of so many blocks and heads can have the layers of a stack; others can.

    Raises:
        ArgumentError: it cannot.
    """
    if isinstance(layer, StackSpec):
        blocks_of(layer, layers)
        for groups in layers_of(layer):
            shared_heads(groups, num_heads)


def shared_heads(groups: Sequence[Part], num_heads: int) -> list[int]:
    """How many of a layer's heads each group has.

    Raises:
        ArgumentError: the heads cannot be shared so.
    """
    total = sum(group.heads for group in groups)
    if num_heads % total:
        shares = ":".join(str(group.heads) for group in groups)
        names = "+".join(group.variant for group in groups)
        raise ArgumentError(
            f"{num_heads} heads cannot be shared {shares} among {names}: their number must be a "
            f"multiple of {total}",
            topic="stack",
        )
    return [group.heads * num_heads // total for group in groups]


def _title(pattern: Pattern) -> str:
    kind = "Groups of heads" if len(pattern) == 1 else "Layers"
    return f"{kind}: {', '.join(map(layer_name, pattern))}"


def _read(name: str) -> Pattern | None:
    layers = name.split("/", _MOST_LAYERS)
    read = [_read_layer(text) for text in layers]
    return None if None in read else tuple(layer for layer in read if layer is not None)


def _read_layer(text: str) -> tuple[GroupSpec, ...] | None:
    matches = [_GROUP.fullmatch(group) for group in text.split("+")]
    if None in matches or len(matches) > len(ascii_lowercase):
        return None
    return tuple(
        GroupSpec(variant=match[1], heads=int(match[2] or 1)) for match in matches if match
    )
