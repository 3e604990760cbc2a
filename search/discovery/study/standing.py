"""Where a discovery stands, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from attenergy.search.discovery.population.individual import Arm, Individual, by_merit
from attenergy.search.discovery.study.attributes import Rejections

#: Characters of a formula that are shown.
_FORMULA = 80


def standing(population: Sequence[Individual], rungs: Sequence[str], rejections: Rejections) -> str:
    """The best of every arm with its score and rung, the best formula, and what was rejected.

    Args:
        population: all individuals so far.
        rungs: names, the cheapest first.
        rejections: since the beginning.

    Example:
        >>> standing([], ["denoising"], Rejections({"types": 3}, {"types": 1.0}))
        'no score yet; rejected 3 (types 3)'
    """
    parts, ranked = [], [one for one in by_merit(population, rungs) if one.rung]
    for arm in get_args(Arm):
        best = next((one for one in ranked if one.arm == arm), None)
        if best is not None:
            name = f" {best.name}" if arm == "registry" else ""
            parts.append(f"{arm}{name} {best.scores[best.rung]:.3f} on {best.rung}")
    text = f"best: {', '.join(parts)}" if parts else "no score yet"
    new = next((one for one in ranked if one.arm == "evolved"), None)
    if new is not None:
        text += f": {_cut(new.candidate.formula)}"
    if rejections.total:
        each = ", ".join(f"{name} {count}" for name, count in rejections.counts.items())
        text += f"; rejected {rejections.total} ({each})"
    return text


def _cut(formula: str) -> str:
    """A formula, cut where it is long."""
    return formula if len(formula) <= _FORMULA else f"{formula[: _FORMULA - 3]}..."
