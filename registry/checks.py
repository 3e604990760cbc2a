"""What must hold between entries: names, clashes, and references from one entry to another.

The checks read plain data, so they also run on files with other mistakes, and everything is
reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from attenergy.registry.choices import Choice
from attenergy.registry.error_messages import message
from attenergy.registry.errors import ArgumentError, Problem, UnknownName, clipped, nearest
from attenergy.registry.specs import (
    Kind,
    MixerSpec,
    ModelSpec,
    StackEntry,
    StackQuantities,
    TaskSpec,
    TrainingSpec,
)
from attenergy.registry.stacks import entered_stack, read_pattern
from attenergy.registry.tunables import Range
from attenergy.registry.yaml_document import Document

_ENTRY_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SETTING_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ONE = {
    "energies": "energy",
    "mixers": "mixer",
    "stacks": "stack",
    "tasks": "task",
    "spaces": "space",
    "bundles": "bundle",
}

# Names that a formula gives a meaning to, and names of arguments that stand beside settings.
_SYMBOLS = frozenset({"xi", "X", "h", "D", "N", "steps", "step_size", "solver"})
_LAYER_ARGUMENTS = frozenset({"dim", "embed_dim", "num_heads", "head_dim", "dropout", "registry"})
_ENERGY_ARGUMENTS = _LAYER_ARGUMENTS | {
    "add_bias_kv", "add_self_loops", "add_zero_attn", "backend", "batch_first", "bias",
    "context_dim", "cross_attention", "device", "dtype", "edge_dim", "energy", "energy_per_step",
    "form", "heads", "kdim", "layer", "learn_step_size", "normalize_patterns", "normalize_states",
    "num_kv_heads", "num_patterns", "num_queries", "read", "rotary", "rotary_base",
    "value_context_dim", "value_dim", "vdim",
}  # fmt: skip
#: What no parameter, choice or option of an energy may be called.
RESERVED = _SYMBOLS | _ENERGY_ARGUMENTS
_TASK_ARGUMENTS = frozenset({"seed", "split_seed", "registry"})
_SEARCHED: dict[str, type[BaseModel]] = {
    **dict.fromkeys(ModelSpec.model_fields, ModelSpec),
    **dict.fromkeys(TrainingSpec.model_fields, TrainingSpec),
    **dict.fromkeys(StackQuantities.model_fields, StackQuantities),
}


def check(documents: Sequence[Document], *, complete: bool) -> Iterator[Problem]:
    """All problems between entries. If not `complete`, some file could not be read at all."""
    yield from _clashes(documents)
    for document in documents:
        yield from _entry_names(document)
        yield from _setting_names(document)
        yield from _space_ranges(document)
    if complete:
        yield from _task_spaces(documents)
        yield from _bundled_tasks(documents)
        yield from _stacked_layers(documents)


def _entry_names(document: Document) -> Iterator[Problem]:
    for kind in get_args(Kind):
        for name in document.section(kind):
            if not _ENTRY_NAME.fullmatch(name):
                text = (
                    f"the name {clipped(repr(name))} must be a lower-case letter, then at most 63"
                )
                text += " of a-z, 0-9, _ and -"
                yield document.problem((kind, name), text, at_key=True, topic="name-taken")


def _clashes(documents: Sequence[Document]) -> Iterator[Problem]:
    # Energies, mixers and stacks share one namespace: a search picks among all of them.
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for document in documents:
        for kind in get_args(Kind):
            for name in document.section(kind):
                space = "layers" if kind in ("energies", "mixers", "stacks") else kind
                place = document.keys[kind, name]
                if (space, name) in seen:
                    other, where = seen[space, name]
                    text = f"the name {clipped(repr(name))} is taken by the {other} at {where}"
                    yield document.problem((kind, name), text, at_key=True, topic="name-taken")
                else:
                    seen[space, name] = _ONE[kind], str(place)


def _setting_names(document: Document) -> Iterator[Problem]:
    for name in document.section("energies"):
        yield from _names_of(document, ("energies", name), RESERVED)
        for choice in document.section("energies", name, "choices"):
            yield from _argument(document, name, choice)
    for name in document.section("mixers"):
        yield from _names_of(document, ("mixers", name), _LAYER_ARGUMENTS)
    for name in document.section("tasks"):
        yield from _names_of(document, ("tasks", name), _TASK_ARGUMENTS)


def _names_of(
    document: Document, entry: tuple[str, str], reserved: frozenset[str]
) -> Iterator[Problem]:
    """Problems with the names of one entry's settings, which share one namespace."""
    seen: dict[str, str] = {}
    for kind in ("parameters", "choices", "options"):
        for name in document.section(*entry, kind):
            path, text = (*entry, kind, name), ""
            if not _SETTING_NAME.fullmatch(name):
                text = "must be a letter, then at most 63 of letters, digits and _"
            elif name in reserved:
                text = f"is reserved; reserved names: {', '.join(sorted(reserved))}"
            elif name in seen:
                text = f"is taken in the same entry, at {seen[name]}"
            seen.setdefault(name, str(document.keys[path]))
            if text:
                shown = clipped(repr(name))
                text = f"the name {shown} {text}"
                yield document.problem(path, text, at_key=True, topic="name-taken")


def _argument(document: Document, energy: str, choice: str) -> Iterator[Problem]:
    path = ("energies", energy, "choices", choice, "argument")
    argument = (
        document.get(*path) if path in document.keys else Choice.model_fields["argument"].default
    )
    if not isinstance(argument, str):
        return
    names = {*document.section(*path[:2], "parameters"), *document.section(*path[:2], "choices")}
    if not _SETTING_NAME.fullmatch(argument):
        text = "must be a letter, then at most 63 of letters, digits and _"
    elif argument in _SYMBOLS | names:
        text = "already means something else in the formula"
    else:
        return
    where = path if path in document.keys else path[:-1]
    text = f"the argument {clipped(repr(argument))} {text}"
    yield document.problem(where, text, topic="name-taken")


def _space_ranges(document: Document) -> Iterator[Problem]:
    for space in document.section("spaces"):
        for name, written in document.section("spaces", space).items():
            path = ("spaces", space, name)
            if name not in _SEARCHED:
                hint = nearest(name, _SEARCHED) or f"known: {', '.join(_SEARCHED)}"
                text = f"a space cannot vary {clipped(repr(name))} ({hint})"
                yield document.problem(path, text, at_key=True, topic="search-range")
            elif _is_range(written):
                ends = [(*path, end) for end in ("low", "high", "step") if end in written]
                count = len(written.get("choices", ()))
                for value in (*ends, *((*path, "choices", index) for index in range(count))):
                    yield from _allowed(document, value)


def _is_range(written: Any) -> bool:
    try:
        Range.model_validate(written, strict=True)
    except ValidationError:
        return False
    return True


def _allowed(document: Document, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Whether the model or the training takes one value of a range."""
    name = str(path[2])
    model = _SEARCHED[name]
    required: dict[str, Any] = {"steps": 1} if model is TrainingSpec else {}
    try:
        model.model_validate({**required, name: document.get(*path)}, strict=True)
    except ValidationError as error:
        text = message(error.errors(include_url=False))
        yield document.problem(path, text, topic="search-range")


def _task_spaces(documents: Sequence[Document]) -> Iterator[Problem]:
    known = [name for document in documents for name in document.section("spaces")]
    default = TaskSpec.model_fields["space"].default
    for document in documents:
        for task, entry in document.section("tasks").items():
            path = ("tasks", task, "space")
            space = document.get(*path) if path in document.keys else default
            if isinstance(entry, dict) and isinstance(space, str) and space not in known:
                where = path if path in document.keys else path[:-1]
                unknown = UnknownName("space", space, known)
                yield document.problem(where, str(unknown), topic=unknown.topic)


def _bundled_tasks(documents: Sequence[Document]) -> Iterator[Problem]:
    known = [name for document in documents for name in document.section("tasks")]
    for document in documents:
        for bundle, entry in document.section("bundles").items():
            listed = entry.get("tasks") if isinstance(entry, dict) else None
            for index, task in enumerate(listed if isinstance(listed, tuple) else ()):
                if isinstance(task, str) and task not in known:
                    path = ("bundles", bundle, "tasks", index)
                    unknown = UnknownName("task", task, known)
                    yield document.problem(path, str(unknown), topic=unknown.topic)


def _stacked_layers(documents: Sequence[Document]) -> Iterator[Problem]:
    known = [n for d in documents for kind in ("energies", "mixers") for n in d.section(kind)]
    for document in documents:
        for stack, entry in document.section("stacks").items():
            for kind in ("layers", "pattern"):
                listed = entry.get(kind) if isinstance(entry, dict) else None
                for index, text in enumerate(listed if isinstance(listed, tuple) else ()):
                    if isinstance(text, str) and (wrong := _not_a_layer(text, known)):
                        path = ("stacks", stack, kind, index)
                        yield document.problem(path, wrong, topic="stack")
            if not (wrong := _misplaced(entry)):
                continue
            yield document.problem(("stacks", stack, "settings"), wrong, topic="stack")


def _not_a_layer(text: str, known: Sequence[str]) -> str:
    """Why a text is no layer of a stack; empty if it is one."""
    try:
        (groups,) = read_pattern([text])
    except ArgumentError as error:
        return str(error)
    lost = next((group.variant for group in groups if group.variant not in known), None)
    return "" if lost is None else str(UnknownName("energy or mixer", lost, known))


def _misplaced(entry: Any) -> str:
    """What is wrong with the places of a stack's settings, where all else is right."""
    nothing = MixerSpec.model_validate({"title": "", "class": ""})
    try:
        entered_stack(StackEntry.model_validate(entry, strict=True), lambda _: nothing)
    except UnknownName as error:
        return str(error)
    except ValueError:  # said elsewhere
        return ""
    return ""
