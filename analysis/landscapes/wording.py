"""How energies and minima are called in sentences."""

from __future__ import annotations

from collections import Counter

import torch

from attenergy.analysis.landscapes.minima import Minima
from attenergy.analysis.landscapes.one_state import OneState
from attenergy.energies import EnergyLike
from attenergy.registry import EnergySpec


def kinds_text(minima: Minima) -> str:
    """`3 single patterns, 1 metastable`, the most frequent first."""
    counts = Counter(minimum.kind for minimum in minima.minima)
    words = {"metastable": "metastable state", "other": "other"}
    return ", ".join(
        f"{count} {words.get(kind, kind)}{'s' if count > 1 else ''}"
        for kind, count in counts.most_common()
    )


def about_energy(name: str, problem: OneState) -> str:
    """The name with its scalar parameters: `lse at beta 4`."""
    parts = []
    for key, value in problem.energy.values().items():
        number = torch.as_tensor(value)
        if number.ndim == 3 and number.shape[-2:] == (1, 1) and problem.head is not None:
            number = number[problem.head]
        if number.numel() == 1:
            parts.append(f"{key} {float(number):.4g}")
    return f"{name} at {', '.join(parts)}" if parts else name


def name_of(energy: EnergyLike, spec: EnergySpec) -> str:
    """What an energy is called in sentences: its name or formula, else its title."""
    return energy if isinstance(energy, str) else spec.title


def minimum_text(label: str) -> str:
    """A minimum in a sentence: `pattern 2`, `a metastable state between patterns 1, 4`."""
    kind, _, patterns = label.partition(" (")
    patterns = patterns.rstrip(")")
    if kind == "single pattern":
        return f"pattern {patterns}"
    if kind == "reversed pattern":
        return f"pattern {patterns} reversed"
    if kind == "metastable":
        which = patterns if patterns.endswith("patterns") else f"patterns {patterns}"
        return f"a metastable state between {which}"
    if kind == "average":
        return "the average of the patterns"
    return "a state that is no mixture of patterns"
