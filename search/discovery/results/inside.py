"""The winner beside the known energy that is nearest: landscape, and weights against a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attenergy.analysis import landscape, weight_curves
from attenergy.energies import source_of
from attenergy.registry import AttenergyError, EnergySpec, Registry
from attenergy.search.report.html.build import shown

_PATTERNS = 5


@dataclass(frozen=True)
class Inside:
    """What is shown of one energy, or of two in one picture: a sentence and pictures."""

    name: str
    sentence: str
    pictures: tuple[dict[str, Any], ...] = ()


def landscapes(name: str, spec: EnergySpec, nearest: str, registry: Registry) -> tuple[Inside, ...]:
    """The landscape of the winner, and that of the nearest known energy, over the same patterns.

    An energy that has none, such as one that is finite nowhere, has a sentence that says so.
    """
    known = {name: spec}
    if nearest in registry.energies:
        known[nearest] = registry.energies[nearest]
    return tuple(_landscape(place, n, s) for place, (n, s) in enumerate(known.items()))


def weights(name: str, spec: EnergySpec, nearest: str, registry: Registry) -> Inside | None:
    """Weights of a pattern against its score, of both in one picture; None if none has any."""
    names, specs = [], []
    for each, entry in ((name, spec), (nearest, registry.energies.get(nearest))):
        if entry is not None and _has_weights(entry):
            names.append(each)
            specs.append(entry)
    if not specs:
        return None
    try:
        curves = weight_curves(*specs, names=names, low=-8.0, high=8.0)
        drawn = tuple(shown(picture, "update-") for picture in curves.pictures())
    except AttenergyError as error:
        return Inside(name, f"No weights are drawn: {error}.")
    return Inside(" and ".join(names), curves.sentence, drawn)


def _landscape(place: int, name: str, spec: EnergySpec) -> Inside:
    try:
        surface = landscape(spec, _PATTERNS, name=name)
        drawn = tuple(shown(picture, f"surface-{place}-") for picture in surface.pictures())
    except (AttenergyError, ArithmeticError, RuntimeError) as error:
        # A formula that a program wrote may have no minimum, no Hessian or no finite number.
        return Inside(name, f"No landscape is drawn of {name}: {str(error).splitlines()[0]}")
    return Inside(name, surface.sentence, drawn)


def _has_weights(spec: EnergySpec) -> bool:
    try:
        return bool(source_of(spec).make(2).has_weights)
    except (AttenergyError, ValueError):
        return False
