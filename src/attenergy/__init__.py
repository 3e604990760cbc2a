"""Write an energy, get an attention layer, find out honestly whether it beats the others.

Names are loaded when first used, so importing `attenergy` costs no torch import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attenergy.attention import (
        AssociativeMemory,
        EnergyAttention,
        EnergyLookup,
        EnergyMultiheadAttention,
        EnergyPooling,
        EnergyTransformerBlock,
        HeadGroups,
        LanguageModel,
        Recall,
        Relaxation,
        Transformer,
        contrastive_divergence,
        energize,
        load,
        load_energized,
        make_layer,
        make_mixer,
        register_solver,
        relax,
        replace_attention,
        trace,
        tune_cpu,
    )
    from attenergy.attention.mixers import register_mixer
    from attenergy.energies import (
        Energy,
        Function,
        make_energy,
        register_domain,
        register_energy,
        register_function,
    )
    from attenergy.registry import AttenergyError, Registry, load_plugins, load_registry
    from attenergy.search.planning.pruners import register_pruner
    from attenergy.search.planning.samplers import register_sampler
    from attenergy.search.suggest import suggest
    from attenergy.tasks import Task, make_task, register_task

_HOMES = {
    "AssociativeMemory": "attention",
    "AttenergyError": "registry",
    "Energy": "energies",
    "EnergyAttention": "attention",
    "EnergyLookup": "attention",
    "EnergyMultiheadAttention": "attention",
    "EnergyPooling": "attention",
    "EnergyTransformerBlock": "attention",
    "Function": "energies",
    "HeadGroups": "attention",
    "LanguageModel": "attention",
    "Recall": "attention",
    "Registry": "registry",
    "Relaxation": "attention",
    "Task": "tasks",
    "Transformer": "attention",
    "contrastive_divergence": "attention",
    "energize": "attention",
    "load": "attention",
    "load_energized": "attention",
    "load_plugins": "registry",
    "load_registry": "registry",
    "make_energy": "energies",
    "make_layer": "attention",
    "make_mixer": "attention",
    "make_task": "tasks",
    "register_domain": "energies",
    "register_energy": "energies",
    "register_function": "energies",
    "register_mixer": "attention.mixers",
    "register_pruner": "search.planning.pruners",
    "register_sampler": "search.planning.samplers",
    "register_solver": "attention",
    "register_task": "tasks",
    "relax": "attention",
    "replace_attention": "attention",
    "suggest": "search.suggest",
    "trace": "attention",
    "tune_cpu": "attention",
}

#: Packages that `attenergy.NAME` loads, as in `attenergy.analysis.fixed_points(model, inputs)`.
_PACKAGES = {"analysis", "attention", "energies", "registry", "search", "tasks", "testing"}

__all__ = [
    "AssociativeMemory",
    "AttenergyError",
    "Energy",
    "EnergyAttention",
    "EnergyLookup",
    "EnergyMultiheadAttention",
    "EnergyPooling",
    "EnergyTransformerBlock",
    "Function",
    "HeadGroups",
    "LanguageModel",
    "Recall",
    "Registry",
    "Relaxation",
    "Task",
    "Transformer",
    "__version__",
    "contrastive_divergence",
    "energize",
    "load",
    "load_energized",
    "load_plugins",
    "load_registry",
    "make_energy",
    "make_layer",
    "make_mixer",
    "make_task",
    "register_domain",
    "register_energy",
    "register_function",
    "register_mixer",
    "register_pruner",
    "register_sampler",
    "register_solver",
    "register_task",
    "relax",
    "replace_attention",
    "suggest",
    "trace",
    "tune_cpu",
]

#: Read from the installed package when first asked for.
__version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        globals()[name] = metadata.version("attenergy")
        return globals()[name]
    if name in _PACKAGES:
        return import_module(f"attenergy.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'attenergy' has no attribute {name!r}")
    value = getattr(import_module(f"attenergy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
