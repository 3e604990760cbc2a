"""Texts of entries say nothing of what is trained: a corrected one leaves the runs that they are.

A record holds the whole entry of its layer and task, texts too, and the key of a run is a hash of
it all. So whoever goes on with a folder takes the entries as its records have them, where no more
than a title, a description, a reference or the meaning of a symbol has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from attenergy.registry import EnergySpec, MixerSpec, Registry, StackSpec, TaskSpec
from attenergy.search.runs.config import RunRecord

_Spec = EnergySpec | MixerSpec | TaskSpec
#: Fields of an entry and of its parameters that decide nothing of a run.
_TEXTS = frozenset({"title", "doc", "reference", "capacity", "symbols", "known_answers"})


def with_recorded_texts(registry: Registry, records: Iterable[RunRecord]) -> Registry:
    """The registry with the texts of recorded entries, where an entry differs in texts alone.

    Args:
        registry: whose entries are about to be run.
        records: of earlier runs in the same folder; the first one decides.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> with_recorded_texts(registry, []) is registry
        True
    """
    sections: dict[str, dict[str, Any]] = {
        name: dict(getattr(registry, name)) for name in ("energies", "mixers", "tasks")
    }
    seen: set[tuple[str, str]] = set()
    changed = False
    for section, name, spec in _entries(records):
        own = sections[section].get(name)
        if own is None or (section, name) in seen:
            continue
        if own != spec:
            recorded = _as_own(own, spec)
            if deciding(own) != deciding(recorded):
                continue  # perhaps a later record has it as it is now
            sections[section][name] = recorded
            changed = True
        seen.add((section, name))
    return replace(registry, **sections) if changed else registry  # type: ignore[arg-type]


def deciding(spec: _Spec) -> dict[str, Any]:
    """What an entry says besides its texts."""
    data = spec.model_dump(mode="json", by_alias=True, exclude=set(_TEXTS))
    for parameter in data.get("parameters", {}).values():
        parameter.pop("doc", None)
    return data


def _as_own(own: _Spec, recorded: _Spec) -> _Spec:
    """The recorded entry; of a task, whose options the plan may have set, its texts alone."""
    if not isinstance(own, TaskSpec):
        return recorded
    return own.model_copy(update={n: getattr(recorded, n) for n in ("title", "doc", "reference")})


def _entries(records: Iterable[RunRecord]) -> Iterator[tuple[str, str, _Spec]]:
    """Section, name and entry of every layer and task, those within stacks too."""
    for record in records:
        config = record.config
        yield "tasks", config.task, config.task_spec
        layer = config.layer
        named = layer.entries if isinstance(layer, StackSpec) else {config.variant: layer}
        for name, spec in named.items():
            yield ("energies" if isinstance(spec, EnergySpec) else "mixers"), name, spec
