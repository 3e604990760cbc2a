"""Coupled harmonic oscillators, solved exactly."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def laplacian(weights: Tensor) -> Tensor:
    """Matrix (..., n, n) of the quadratic form sum_{i<j} w_ij (x_i - x_j)^2, w symmetric."""
    return torch.diag_embed(weights.sum(-1)) - weights


def normal_modes(stiffness: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies (..., n), radians a unit of time, and modes (..., n, n), in columns."""
    squares, modes = torch.linalg.eigh(stiffness)
    return squares.clamp(min=0).sqrt(), modes


def oscillate(stiffness: Tensor, start: Tensor, times: Tensor) -> Tensor:
    """x(t) = U (a cos(w t) + b sin(w t)), the solutions of x'' = -K x with K = U diag(w^2) U'.

    With a and b standard normal, every x(t) is standard normal too, whatever K: the series differ
    only in how they go on.

    Args:
        stiffness: K (..., n, n), symmetric, no eigenvalue below 0.
        start: a and b, (..., 2, n).
        times: (T,).

    Returns:
        (..., T, n)

    """
    frequencies, modes = normal_modes(stiffness)
    angles = times[:, None] * frequencies[..., None, :]
    waves = start[..., :1, :] * angles.cos() + start[..., 1:, :] * angles.sin()
    return waves @ modes.mT


def normal(*size: int, generator: Generator) -> Tensor:
    """Draw standard normal numbers, float64."""
    return torch.randn(size, generator=generator, dtype=torch.float64)
