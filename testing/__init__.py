"""The laws that every energy is tested against, for built-in entries and for anyone's own.

`check_energy("lse", registry)` runs them all; `attenergy energies check FILE` prints them.
"""

from __future__ import annotations

from typing import Any

from attenergy.energies import EnergyLike, FormulaError, source_of
from attenergy.registry import RegistryLike, UnknownName
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


def check_energy(
    energy: EnergyLike, registry: RegistryLike | None = None, **settings: Any
) -> list[LawResult]:
    """Check every law on an energy.

    Args:
        energy: whatever names one; see `attenergy.make_energy`.
        registry: where a name stands; the built-in one and plug-ins if None.
        **settings: as of `attenergy.make_energy`, the defaults that are checked.

    Raises:
        TypeError: `energy` names none.
        UnknownName: there is no such energy.
        FormulaError: its formula is wrong.

    Example:
        >>> results = check_energy("0.5*|xi|^2 - lse(beta * X @ xi)/beta", beta=1.0)
        >>> [result.law for result in results if result.passed is False]
        []
    """
    spec = source_of(energy, settings, registry=registry, taker=check_energy).entry()
    return [check_law(law, spec) for law in LAWS]


def check_law(law: str, energy: EnergyLike) -> LawResult:
    """Check one law on an energy; a law that fails by an exception says so in its note.

    Args:
        law: a name in `LAWS`.
        energy: an entry, or whatever else names an energy.

    Raises:
        UnknownName: there is no such law.
        FormulaError: the entry's formula is wrong.

    Example:
        >>> check_law("1 the energy is the truth", "lse").passed
        True
    """
    if law not in LAWS:
        raise UnknownName("law", law, LAWS)
    spec = source_of(energy).entry()
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
