"""What is looked up of the best formulas: the laws, and the known energy that is nearest."""

from __future__ import annotations

from collections.abc import Mapping

from attenergy.energies.language import FormulaError
from attenergy.registry import EnergySpec, Registry
from attenergy.search.discovery.filters import fingerprint_of, nearest_known
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.discovery import Discovery, Formula, Law
from attenergy.search.discovery.results.order import best
from attenergy.testing import check_energy

#: Of every arm, how many formulas have their nearest known energy looked up; finalists all have.
MOST = 10
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


def with_nearest(discovery: Discovery, registry: Registry) -> Discovery:
    """The discovery with the nearest known energy of its best formulas and of all finalists.

    Entries of the registry are known themselves. A formula that the language does not read, or
    that has no fingerprint, has none.

    Args:
        discovery: any.
        registry: of the known energies.
    """
    finalists = {finalist.name for finalist in discovery.finalists}
    chosen = {f.number for arm in ("evolved", "random") for f in best(discovery, arm)[:MOST]}
    known: Mapping[int, Formula] = {
        formula.number: _with_nearest(formula, registry)
        for formula in discovery.population
        if formula.arm != "registry" and (formula.number in chosen or formula.name in finalists)
    }
    population = tuple(known.get(formula.number, formula) for formula in discovery.population)
    return discovery.model_copy(update={"population": population})


def _with_nearest(formula: Formula, registry: Registry) -> Formula:
    if formula.nearest:
        return formula
    try:
        fingerprint = fingerprint_of(Candidate.from_formula(formula.formula))
    except FormulaError:
        return formula
    if fingerprint is None:
        return formula
    name, distance = nearest_known(fingerprint, registry)
    return formula.model_copy(update={"nearest": name, "distance": distance})
