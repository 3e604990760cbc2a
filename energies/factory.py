"""The classes of energies, by the names that entries give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import PrivateAttr

from attenergy.energies.base import Energy
from attenergy.energies.formula import FormulaEnergy
from attenergy.energies.functions import function_class
from attenergy.energies.graphs.boltzmann import Boltzmann
from attenergy.energies.graphs.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.graphs.unrestricted_boltzmann import UnrestrictedBoltzmann
from attenergy.energies.memories.continuous_time import ContinuousTime
from attenergy.energies.memories.learned import Learned
from attenergy.energies.memories.metric_memory import EllipticalMemory, KernelMemory
from attenergy.energies.memories.random_features import RandomFeatures
from attenergy.energies.memories.two_layer import TwoLayer
from attenergy.energies.spins.ising import IsingMeanField, Tap
from attenergy.energies.spins.n_vector import NVector
from attenergy.energies.spins.potts import Potts
from attenergy.energies.spins.spherical_spins import SphericalSpins
from attenergy.energies.spins.vector_spins import GaussianSpins, VectorSpins
from attenergy.energies.tokens.place_rbm import PlaceRBM
from attenergy.energies.tokens.token_attention import (
    CausalTokens,
    EnergyTransformer,
    EnergyTransformerBlock,
    HyperSet,
)
from attenergy.registry import Catalogue, EnergySpec

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
        "NVector": NVector,
        "PlaceRBM": PlaceRBM,
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
        "UnrestrictedBoltzmann": UnrestrictedBoltzmann,
        "VectorSpins": VectorSpins,
    },
    row=function_class,
)

register_energy = CLASSES.register


class OwnSpec(EnergySpec):
    """An entry of a class or a function that is registered nowhere: it holds the code itself.

    It serves wherever an entry does, but no file can hold it.
    """

    _code: Any = PrivateAttr(None)

    @classmethod
    def of(cls, code: type[Energy] | Callable[..., Any], content: dict[str, Any]) -> OwnSpec:
        """An entry of a class of energies, or of a function.

        Args:
            code: the class or the function.
            content: what an entry of YAML would say, but for the class.
        """
        name = getattr(code, "__qualname__", type(code).__qualname__)
        spec = cls.model_validate({**content, "class": name})
        spec._code = code
        return spec

    @property
    def energy_class(self) -> type[Energy]:
        """The class that makes the energy."""
        code: Any = self._code
        return code if isinstance(code, type) else function_class(code)


def class_of(spec: EnergySpec) -> type[Energy]:
    """The class of an entry's energy; of one with a formula, `FormulaEnergy`.

    Raises:
        UnknownName: there is no such class.
    """
    if isinstance(spec, OwnSpec):
        return spec.energy_class
    if spec.class_ is None:
        return FormulaEnergy
    return CLASSES.lookup(spec.class_)


def unsaved(energy: Energy) -> str:
    """Why a file that names the energy's entry would not bring it back; empty if it does.

    What is not in the table of classes when the file is read cannot be made again.

    Example:
        >>> unsaved(attenergy.make_energy("lse", dim=4))
        ''
    """
    spec, cls = energy.spec, type(energy)
    if not isinstance(spec, OwnSpec) and class_of(spec) is cls:
        return ""
    function = getattr(cls, "function", None)
    what, name = ("function", spec.title) if function else ("class", cls.__name__)
    return (
        f"the energy is a {what} of yours, {name!r}, which a file cannot hold: register it with "
        f"attenergy.register_energy, in a module that is imported before the file is read too "
        f"(docs/own_energy.md)"
    )
