"""When a sample has come to rest."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def at_rest(old: Tensor, new: Tensor, tolerance: float, axes: tuple[int, ...]) -> Tensor:
    """Whether a step moved a sample by at most tolerance * max(|new|, sqrt(n)), n its size.

    A sample whose numbers overflow is not at rest.

    Args:
        old: samples before the step.
        new: samples after it.
        tolerance: from 0.
        axes: those that a sample takes up; they have length 1 in what is returned.
    """
    moved = torch.linalg.vector_norm(new - old, dim=axes, keepdim=True)
    length = torch.linalg.vector_norm(new, dim=axes, keepdim=True)
    least = math.sqrt(math.prod(new.shape[axis] for axis in axes))
    resting: Tensor = (moved <= tolerance * length.clamp_min(least)) & torch.isfinite(moved)
    return resting
