"""Write an energy, get an attention layer, find out honestly whether it beats the others.

Names are loaded when first used, so importing `attenergy` costs no torch import.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attenergy.attention import (
        AssociativeMemory,
        EnergyAttention,
        Recall,
        Relaxation,
        load,
        make_layer,
        make_mixer,
        relax,
    )
    from attenergy.energies import Energy, make_energy
    from attenergy.registry import Registry, load_registry
    from attenergy.tasks import Task, make_task

_HOMES = {
    "AssociativeMemory": "attention",
    "Energy": "energies",
    "EnergyAttention": "attention",
    "Recall": "attention",
    "Registry": "registry",
    "Relaxation": "attention",
    "Task": "tasks",
    "load": "attention",
    "load_registry": "registry",
    "make_energy": "energies",
    "make_layer": "attention",
    "make_mixer": "attention",
    "make_task": "tasks",
    "relax": "attention",
}

__all__ = [
    "AssociativeMemory",
    "Energy",
    "EnergyAttention",
    "Recall",
    "Registry",
    "Relaxation",
    "Task",
    "__version__",
    "load",
    "load_registry",
    "make_energy",
    "make_layer",
    "make_mixer",
    "make_task",
    "relax",
]

__version__ = metadata.version("attenergy")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'attenergy' has no attribute {name!r}")
    value = getattr(import_module(f"attenergy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
