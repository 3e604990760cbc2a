"""The entries of a study that no other installation has, as a registry file of their own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attenergy.registry import (
    EnergySpec,
    MixerSpec,
    PluginWarning,
    Registry,
    StackSpec,
    TaskSpec,
    load_registry,
)
from attenergy.registry.files import write_atomically
from attenergy.registry.stacks import as_entry, is_stack_name
from attenergy.search.runs.config import RunRecord

#: In a study's folder.
REGISTRY = "registry.yaml"
_ABOUT = "# The entries of this study that are not those of the built-in registry.\n"


def own_entries(records: Sequence[RunRecord]) -> str:
    """A registry file with the entries that are not built in; empty if all are.

    A task's own space of quantities is in no record: the file names the default one instead.
    """
    layers, stacks = _entries(records)
    tasks = {record.config.task: record.config.task_spec for record in records}
    return registry_text(layers, tasks, stacks)


def registry_text(
    layers: Mapping[str, EnergySpec | MixerSpec],
    tasks: Mapping[str, TaskSpec],
    stacks: Mapping[str, StackSpec] = {},
) -> str:
    """A registry file with those of some entries that are not built in; empty if all are."""
    registry = _registry()
    known = {**registry.energies, **registry.mixers}
    own = {name: layer for name, layer in layers.items() if name not in known}
    parts = {
        "energies": {n: _entry(e) for n, e in own.items() if isinstance(e, EnergySpec)},
        "mixers": {n: _entry(e) for n, e in own.items() if isinstance(e, MixerSpec)},
        "stacks": {n: _entry(as_entry(s)) for n, s in stacks.items() if n not in registry.stacks},
        "tasks": {n: _task(t, registry) for n, t in tasks.items() if n not in registry.tasks},
    }
    content = {name: entries for name, entries in parts.items() if entries}
    if not content:
        return ""
    import yaml

    text: str = yaml.safe_dump(
        {"version": 1, **content}, sort_keys=False, allow_unicode=True, width=100
    )
    return _ABOUT + text


def changed_entries(records: Sequence[RunRecord]) -> list[str]:
    """Names of variants that are built in, but not as they were when the runs were made.

    No file can bring the recorded entry back under a name that is taken.
    """
    registry = _registry()
    layers, stacks = _entries(records)
    lost = {n: stack for n, stack in stacks.items() if n in registry.stacks}
    changed = [n for n, stack in lost.items() if registry.variant(n) != stack]
    known = {**registry.energies, **registry.mixers}
    return [*(n for n, layer in layers.items() if n in known and known[n] != layer), *changed]


def _entries(
    records: Sequence[RunRecord],
) -> tuple[dict[str, EnergySpec | MixerSpec], dict[str, StackSpec]]:
    """The energies and mixers of all runs, those of stacks included, and stacks of a name."""
    variants = {record.config.variant: record.config.layer for record in records}
    stacks = {n: layer for n, layer in variants.items() if isinstance(layer, StackSpec)}
    layers = {n: layer for n, layer in variants.items() if not isinstance(layer, StackSpec)}
    for stack in stacks.values():
        layers |= {n: layer for n, layer in stack.entries.items() if n not in layers}
    return layers, {n: stack for n, stack in stacks.items() if not is_stack_name(n)}


def write_own_entries(folder: Path, records: Sequence[RunRecord]) -> bool:
    """Write `registry.yaml` into a study's folder if it has entries of its own; say whether."""
    return write_entries(folder, own_entries(records))


def write_entries(folder: Path, text: str) -> bool:
    """Write such a file as `registry.yaml` into a folder unless it is empty; say whether."""
    if text:
        write_atomically(folder / REGISTRY, text)
    return bool(text)


def _registry() -> Registry:
    with warnings.catch_warnings():  # commands have told of broken plug-ins, if anybody asked
        warnings.simplefilter("ignore", PluginWarning)
        return load_registry()


def _entry(spec: Any) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude_none=True
    )
    return entry


def _task(spec: TaskSpec, registry: Registry) -> Mapping[str, Any]:
    known = spec.space in registry.spaces
    return _entry(spec if known else spec.model_copy(update={"space": "default"}))
