"""What the answers share: an energy in float64 and a small random problem."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from attenergy.energies import Energy, make_energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw, float64

STATES, PATTERNS = 3, 6


def single(spec: EnergySpec, dim: int = DIM, **settings: Any) -> Energy:
    """An energy without heads, in float64."""
    with float64():
        return make_energy(spec, dim=dim, **settings)


def problem(seed: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """States (2, 3, D), patterns (2, 6, D) and a field (2, 3, 6)."""
    xi, X = draw(seed, 2, STATES, DIM), draw(seed + 1, 2, PATTERNS, DIM)
    return xi, X, draw(seed + 2, 2, STATES, PATTERNS)


def error_of(got: Tensor, want: Tensor) -> float:
    """The largest difference."""
    error = float((got - want).detach().abs().max())
    return math.inf if math.isnan(error) else error  # max(0, nan) is 0
