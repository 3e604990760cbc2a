"""The fixed states and patterns on which energies are looked at: the same for all, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

#: Sets of patterns, states, patterns of a set, and the width of both.
SETS, STATES, PATTERNS, DIM = 3, 4, 5, 3


@dataclass(frozen=True)
class Probes:
    """States xi (1, L, D), the same for every set of patterns X (B, S, D)."""

    xi: Tensor
    X: Tensor


@cache
def probes() -> Probes:
    """Gaussian numbers from a fixed seed; one state is near a pattern, as in recall."""
    generator = torch.Generator("cpu").manual_seed(18)
    numbers = torch.randn(
        STATES + SETS * PATTERNS, DIM, generator=generator, dtype=torch.float64, device="cpu"
    )
    xi, X = numbers[:STATES].clone(), numbers[STATES:].reshape(SETS, PATTERNS, DIM)
    xi[0] = X[0, 0] + 0.3 * xi[0]
    return Probes(xi.unsqueeze(0), X)
