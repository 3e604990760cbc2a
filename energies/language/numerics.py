"""Functions that formulas need and torch does not have, or not in a form that is safe to derive."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def length(patterns: Tensor, axis: int) -> Tensor:
    """Return the length of an axis as a number tensor of the same type."""
    return patterns.new_ones(()) * patterns.shape[axis]


def safe_sqrt(square: Tensor) -> Tensor:
    """sqrt(v) whose derivatives of every order are 0, not infinite, at v = 0."""
    positive = square > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, square, 1.0)), 0.0)


def softplus(z: Tensor) -> Tensor:
    """Return log(1 + exp z); exact to double precision also for large z."""
    return functional.softplus(z, threshold=40.0)


def logcosh(z: Tensor) -> Tensor:
    """Return log cosh z without overflow, smooth at 0."""
    return z + softplus(-2.0 * z) - math.log(2.0)


def step(z: Tensor) -> Tensor:
    """1 where z > 0, else 0, in the dtype of z; what is no number stays so."""
    return torch.where(z.isnan(), z, (z > 0).to(z.dtype))
