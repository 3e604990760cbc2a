"""The entries of a study that no other installation has, as a registry file of their own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attenergy.registry import EnergySpec, PluginWarning, Registry, TaskSpec, load_registry
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.records import write_atomically

#: In a study's folder.
REGISTRY = "registry.yaml"
_ABOUT = (
    "# The entries of this study that are not those of the built-in registry, from its records.\n"
)


def own_entries(records: Sequence[RunRecord]) -> str:
    """A registry file with the energies, mixers and tasks that are not built in; else empty.

    A task's own space of quantities is in no record: the file names the default one instead.
    """
    registry = _registry()
    known = {**registry.energies, **registry.mixers}
    layers = {record.config.variant: record.config.layer for record in records}
    own = {name: layer for name, layer in layers.items() if name not in known}
    tasks = {record.config.task: record.config.task_spec for record in records}
    parts = {
        "energies": {n: _entry(e) for n, e in own.items() if isinstance(e, EnergySpec)},
        "mixers": {n: _entry(e) for n, e in own.items() if not isinstance(e, EnergySpec)},
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
    known = {**registry.energies, **registry.mixers}
    layers = {record.config.variant: record.config.layer for record in records}
    return [n for n, layer in layers.items() if n in known and known[n] != layer]


def write_own_entries(folder: Path, records: Sequence[RunRecord]) -> bool:
    """Write `registry.yaml` into a study's folder if it has entries of its own; say whether."""
    text = own_entries(records)
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
