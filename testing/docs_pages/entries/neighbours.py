"""Entries that belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attenergy.energies.factory import class_of
from attenergy.registry import EnergySpec
from attenergy.testing.docs_pages.entries.formulas import functions_of

MOST = 6


def neighbours(energies: Mapping[str, EnergySpec], name: str) -> list[str]:
    """The entries nearest to one: named by it or naming it, of the same class or family."""
    spec = energies[name]

    def nearness(other: str) -> float:
        near = energies[other]
        named = _names(spec, other) or _names(near, name)
        shared = len(set(spec.known_answers) & set(near.known_answers))
        family = _family(spec) == _family(near)
        one, two = functions_of(spec), functions_of(near)
        alike = len(one & two) / len(one | two) if one | two else 0.0
        return 4 * named + shared + 1.5 * family + alike + 0.5 * (spec.domain == near.domain)

    others = sorted((other for other in energies if other != name), key=nearness, reverse=True)
    return [other for other in others[:MOST] if nearness(other) >= 1]


def _names(spec: EnergySpec, other: str) -> bool:
    """Whether a description names another entry in backticks."""
    return f"`{other}`" in spec.doc or bool(re.search(rf"\b{other}\b", spec.doc) and "_" in other)


def _family(spec: EnergySpec) -> str:
    """The package of the energy's class; where the states live, for a formula."""
    return (
        f"formula {spec.domain}" if spec.formula else class_of(spec).__module__.rpartition(".")[0]
    )
