"""The laws that every energy is tested against, for built-in entries and for anyone's own.

`check_energy("lse", registry)` runs them all; `attenergy energies check FILE` prints them.
"""

from __future__ import annotations

from attenergy.energies import FormulaError
from attenergy.registry import EnergySpec, Registry, UnknownName
from attenergy.testing.cases import Case, cases, random_case
from attenergy.testing.known_answers import KNOWN_ANSWERS
from attenergy.testing.laws import LAWS
from attenergy.testing.results import LawBroken, LawResult

__all__ = [
    "KNOWN_ANSWERS",
    "LAWS",
    "Case",
    "LawBroken",
    "LawResult",
    "cases",
    "check_energy",
    "check_law",
    "random_case",
]


def check_energy(name: str, registry: Registry) -> list[LawResult]:
    """Check every law on an entry.

    Args:
        name: an energy of the registry.
        registry: where it stands.

    Raises:
        UnknownName: there is no such energy.
        FormulaError: its formula is wrong.
    """
    if name not in registry.energies:
        raise UnknownName("energy", name, registry.energies)
    return [check_law(law, registry.energies[name]) for law in LAWS]


def check_law(law: str, spec: EnergySpec) -> LawResult:
    """Check one law on an entry; a law that fails by an exception says so in its note.

    Raises:
        FormulaError: the entry's formula is wrong.
    """
    try:
        outcome = LAWS[law](spec)
    except FormulaError:
        raise
    except Exception as error:
        # Any failure of torch inside a law (gradcheck, compile, a wrong shape) is its result.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return LawResult(
            law,
            False,
            None,
            lines[0] if isinstance(error, LawBroken) else f"{type(error).__name__}: {lines[0]}",
        )
    if isinstance(outcome, str):
        return LawResult(law, None, None, outcome)
    figure, limit, note = outcome
    passed = figure <= limit
    return LawResult(law, passed, figure, note if passed else f"{note}; allowed {limit:.0e}")
