"""The energies of a registry by what they do, and which of them another is nearest to."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.energies import Energy, make_energy
from attenergy.energies.formula import FormulaEnergy
from attenergy.energies.language import stable_form
from attenergy.registry import ArgumentError, AttenergyError, EnergySpec, Parameter, Registry
from attenergy.search.discovery.filters.families import Family, FormulaFamily
from attenergy.search.discovery.filters.fingerprint import Fingerprint, fingerprint_of_family
from attenergy.search.discovery.filters.probes import DIM, Probes

#: Most free parameters of an entry; further ones stay at their first values.
_FREE_OF_FORMULA, _FREE_OF_CLASS = 3, 1
#: Distances of equal energies, which rounding makes.
_ROUNDING = 1e-3


class Nearest(NamedTuple):
    """An entry, and how far its fingerprint lies from another (0: the same updates, 2: most)."""

    name: str
    distance: float


def nearest_known(fingerprint: Fingerprint, registry: Registry) -> Nearest:
    """The entry of a registry whose updates are nearest to those of a fingerprint.

    Of entries that are equally near, the first. Those whose energy is no function of one state and
    patterns take no part. Fingerprints of entries are taken once in a process, in about 5 seconds.

    Raises:
        ArgumentError: no entry takes part.

    Example:
        >>> from attenergy.search.discovery.filters import fingerprint_of, nearest_known
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> registry = attenergy.load_registry(plugins=False)
        >>> candidate = Candidate.from_formula("|xi|^2 - 2*alpha*lse(X @ xi/alpha)")
        >>> name, distance = nearest_known(fingerprint_of(candidate), registry)
        >>> name, round(distance, 2)
        ('lse', 0.0)
    """
    prints = known_fingerprints(registry)
    distances = [Nearest(name, fingerprint.distance(own)) for name, own in prints.items()]
    if not distances:
        raise ArgumentError("no entry of the registry is an energy of one state and patterns")
    least = min(entry.distance for entry in distances)
    return next(entry for entry in distances if entry.distance <= least + _ROUNDING)


def known_fingerprints(registry: Registry) -> dict[str, Fingerprint]:
    """The fingerprint of every entry whose energy is a function of one state and patterns.

    In whatever domain an entry's states live, its update is looked at as one in R^D.
    """
    prints = {name: _of_entry(_Entry(spec)) for name, spec in registry.energies.items()}
    return {name: own for name, own in prints.items() if own is not None}


class _Entry:
    """An entry that is compared by what it says, so that its fingerprint is taken once."""

    def __init__(self, spec: EnergySpec) -> None:
        self.spec = spec
        self.text = spec.model_dump_json(exclude={"title", "doc", "reference"})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Entry) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=1024)
def _of_entry(entry: _Entry) -> Fingerprint | None:
    family = family_of_entry(entry.spec)
    try:
        return None if family is None else fingerprint_of_family(family)
    except AttenergyError:  # the class cannot work with the sizes of the probes
        return None


def family_of_entry(spec: EnergySpec) -> Family | None:
    """The updates of an entry over its parameters; None if it is no energy of a state and X."""
    try:
        energy = make_energy(spec, dim=DIM).double()
    except AttenergyError:
        return None
    if not energy.reads_patterns or energy.states_interact:
        return None
    if not isinstance(energy, FormulaEnergy):
        return _ClassFamily(energy)
    tree = stable_form(energy.tree)
    own = {name: spec.parameters[name] for name in spec.parameters if name in tree.names}
    free = [name for name, parameter in own.items() if _is_free(parameter)][:_FREE_OF_FORMULA]
    values = energy.values()
    return FormulaFamily(
        tree,
        tuple(name for name in free if own[name].constraint == "positive"),
        tuple(name for name in free if own[name].constraint == "unit"),
        {name: _detached(values[name]) for name in own if name not in free},
    )


def _is_free(parameter: Parameter) -> bool:
    return parameter.constraint in ("positive", "unit") and not parameter.shape


def _detached(value: Tensor | float) -> Tensor | float:
    return value.detach() if isinstance(value, Tensor) else value


class _ClassFamily:
    """The updates of an energy that is a class, one setting after another."""

    def __init__(self, energy: Energy) -> None:
        self.energy = energy
        declared = energy.parameters_.declared
        positive = [n for n, p in declared.items() if _is_free(p) and p.constraint == "positive"]
        self.free = tuple(positive[:_FREE_OF_CLASS])

    @property
    def freedom(self) -> int:
        """Number of free parameters."""
        return len(self.free)

    def updates(self, settings: Tensor, probes: Probes) -> Tensor:
        """The updates (P, B, L, D) at settings (P, freedom)."""
        return torch.stack([self._update(setting, probes) for setting in settings])

    def _update(self, setting: Tensor, probes: Probes) -> Tensor:
        for name, value in zip(self.free, setting.exp().tolist(), strict=True):
            self.energy.parameters_.assign(name, value)
        shape = (len(probes.X), *probes.xi.shape[1:])
        xi = probes.xi.expand(shape).clone().requires_grad_()
        with torch.enable_grad():
            energy = self.energy(xi, probes.X)
            (slope,) = torch.autograd.grad(energy.sum(), xi)
        return -slope
