"""What is looked up of the best formulas: the laws."""

from __future__ import annotations

from attenergy.registry import EnergySpec
from attenergy.search.discovery.results.discovery import Law
from attenergy.testing import check_energy

_LONGEST = 1000  # letters of a note


def laws_of(spec: EnergySpec) -> tuple[Law, ...]:
    """All laws on an entry, as `attenergy energies check` says them; it takes some seconds.

    Example:
        >>> from attenergy.search.discovery.results.known import laws_of
        >>> lse = attenergy.load_registry(plugins=False).energies["lse"]
        >>> laws_of(lse)[1].passed
        True
    """
    return tuple(
        Law(law=one.law, passed=one.passed, figure=one.figure, note=one.note[:_LONGEST])
        for one in check_energy(spec)
    )
