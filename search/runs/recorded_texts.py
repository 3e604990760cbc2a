"""Texts of entries say nothing of what is trained: a corrected one leaves the runs that they are.

A record holds the whole entry of its layer and task, texts too, and the key of a run is a hash of
it all. So whoever goes on with a folder takes the texts of its records, where no more than a title,
a description, a reference or the meaning of a symbol has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from attenergy.registry import AttenergyError, EnergySpec, MixerSpec, Registry, StackSpec, TaskSpec
from attenergy.search.runs.config import RunRecord

_Spec = EnergySpec | MixerSpec | StackSpec | TaskSpec
#: Fields of an entry that decide nothing of a run.
_TEXTS = ("title", "doc", "reference", "capacity", "symbols", "known_answers")
#: What is compared apart from an entry: a plan may set options of a task, and the energies of a
#: stack are entries of their own.
_APART: Mapping[type[_Spec], tuple[str, ...]] = {TaskSpec: ("options",), StackSpec: ("entries",)}


def with_recorded_texts(registry: Registry, records: Iterable[RunRecord]) -> Registry:
    """The registry with the texts of recorded entries, where an entry differs in texts alone.

    An entry stays as it is if some run has its texts; else it gets those of the most runs.

    Args:
        registry: whose entries are about to be run.
        records: of earlier runs in the same folder.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> with_recorded_texts(registry, []) is registry
        True
    """
    recorded: dict[tuple[str, str], list[_Spec]] = {}
    for section, name, spec in _entries(records):
        recorded.setdefault((section, name), []).append(spec)
    changed: dict[str, dict[str, Any]] = {}
    for (section, name), specs in recorded.items():
        own = _own(registry, section, name)
        if own is None or own in specs:  # as nearly always
            continue
        decides = deciding(own)
        alike = [spec for spec in specs if deciding(spec) == decides]
        texts = [_texts(spec) for spec in alike]
        if not texts or _texts(own) in texts:
            continue
        chosen = alike[texts.index(max(texts, key=texts.count))]
        entries = changed.setdefault(section, dict(getattr(registry, section)))
        entries[name] = _with_texts(entries[name], chosen)
    return replace(registry, **changed) if changed else registry  # type: ignore[arg-type]


def deciding(spec: _Spec) -> str:
    """What an entry says besides its texts, as JSON: 1, 1.0 and true are three things."""
    data = _plain(spec)
    for name in (*_TEXTS, *_APART.get(type(spec), ())):
        data.pop(name, None)
    for parameter in data.get("parameters", {}).values():
        parameter.pop("doc", None)
    return json.dumps(data, sort_keys=True)


def _texts(spec: _Spec) -> str:
    data = _plain(spec)
    docs = {name: each.get("doc") for name, each in data.get("parameters", {}).items()}
    return json.dumps([docs, *(data.get(name) for name in _TEXTS)], sort_keys=True)


def _plain(spec: _Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True)


def _with_texts(own: Any, recorded: _Spec) -> Any:
    """What stands in the registry, with the texts of what was recorded and decides the same."""
    if isinstance(own, EnergySpec):
        return recorded  # with the texts of parameters
    names = [name for name in _TEXTS if name in type(own).model_fields]
    return own.model_copy(update={name: getattr(recorded, name) for name in names})


def _own(registry: Registry, section: str, name: str) -> _Spec | None:
    """The entry of the registry, of a stack with its layers; None if there is no whole one."""
    if name not in getattr(registry, section):
        return None
    try:
        spec = registry.variant(name) if section == "stacks" else getattr(registry, section)[name]
    except AttenergyError:
        return None
    return spec


def _entries(records: Iterable[RunRecord]) -> Iterator[tuple[str, str, _Spec]]:
    """Section, name and entry of every layer and task; of a stack and of what is in it."""
    for record in records:
        config = record.config
        yield "tasks", config.task, config.task_spec
        layer = config.layer
        named: Mapping[str, EnergySpec | MixerSpec] = (
            layer.entries if isinstance(layer, StackSpec) else {config.variant: layer}
        )
        if isinstance(layer, StackSpec):
            yield "stacks", config.variant, layer
        for name, spec in named.items():
            yield ("energies" if isinstance(spec, EnergySpec) else "mixers"), name, spec
