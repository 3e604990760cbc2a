"""From a registry entry to an energy."""

from __future__ import annotations

from typing import Any

from attenergy.energies.base import Energy
from attenergy.energies.formula import FormulaEnergy
from attenergy.energies.graphs.boltzmann import Boltzmann
from attenergy.energies.graphs.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.memories.continuous_time import ContinuousTime
from attenergy.energies.memories.learned import Learned
from attenergy.energies.memories.metric_memory import EllipticalMemory, KernelMemory
from attenergy.energies.memories.random_features import RandomFeatures
from attenergy.energies.memories.two_layer import TwoLayer
from attenergy.energies.parameters import Setting
from attenergy.energies.spins.ising import IsingMeanField, Tap
from attenergy.energies.spins.potts import Potts
from attenergy.energies.spins.spherical_spins import SphericalSpins
from attenergy.energies.spins.vector_spins import GaussianSpins, VectorSpins
from attenergy.energies.tokens.token_attention import (
    CausalTokens,
    EnergyTransformer,
    EnergyTransformerBlock,
    HyperSet,
)
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    Catalogue,
    EnergySpec,
    Registry,
    given_registry,
)

#: Energies that a registry entry may name as its `class`.
CLASSES: Catalogue[type[Energy]] = Catalogue(
    "energy class",
    Energy,
    {
        "CausalTokens": CausalTokens,
        "ContinuousTime": ContinuousTime,
        "EllipticalMemory": EllipticalMemory,
        "EnergyTransformer": EnergyTransformer,
        "EnergyTransformerBlock": EnergyTransformerBlock,
        "HyperSet": HyperSet,
        "KernelMemory": KernelMemory,
        "Learned": Learned,
        "RandomFeatures": RandomFeatures,
        "TwoLayer": TwoLayer,
        "Boltzmann": Boltzmann,
        "GaussianSpins": GaussianSpins,
        "GraphHopfield": GraphHopfield,
        "GraphMemory": GraphMemory,
        "IsingMeanField": IsingMeanField,
        "Potts": Potts,
        "SphericalSpins": SphericalSpins,
        "Tap": Tap,
        "VectorSpins": VectorSpins,
    },
)

register_energy = CLASSES.register


def make_energy(
    energy: str | EnergySpec,
    *,
    dim: int,
    num_heads: int | None = None,
    registry: Registry | None = None,
    **settings: Setting,
) -> Energy:
    """Build an energy from its entry.

    Args:
        energy: a name in the registry, or an entry.
        dim: head width D of states and patterns.
        num_heads: H, giving per-head parameters of shape (H, 1, 1) for tensors (..., H, L, D);
            None gives shared parameters for tensors (..., L, D).
        registry: where the name is looked up; the built-in one and plug-ins if None.
        **settings: initial values of parameters, choices and options.

    Raises:
        TypeError: `energy` is neither a name nor an entry.
        ValueError: unknown name, class or setting, or a value out of range.
        FormulaError: the entry's formula is wrong.
    """
    if isinstance(energy, str):
        registry = given_registry(registry)
        spec = registry.layer(energy)
        if not isinstance(spec, EnergySpec):
            raise ArgumentError(
                f"'{energy}' is a mixer and has no energy; energies: {', '.join(registry.energies)}"
            )
    else:
        check_entry("energy", energy)
        spec = energy
    return class_of(spec)(spec, dim, num_heads, settings)


def check_entry(name: str, energy: Any) -> None:
    """Check that something is an entry of an energy.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(energy, EnergySpec):
        what = energy.__name__ if isinstance(energy, type) else type(energy).__name__
        raise ArgumentTypeError(
            f"{name} must be the name of an energy in the registry or its entry (an EnergySpec), "
            f"got {what}; a class of your own goes into an entry, as `class: {what}`"
        )


def class_of(spec: EnergySpec) -> type[Energy]:
    """The class of an entry's energy; of one with a formula, `FormulaEnergy`.

    Raises:
        UnknownName: there is no such class.
    """
    if spec.class_ is None:
        return FormulaEnergy
    return CLASSES.lookup(spec.class_)
