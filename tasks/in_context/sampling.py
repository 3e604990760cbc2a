"""What the tasks of this family draw, and how their numbers are checked."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError

_FINE = 1 << 52


def fine_numbers(*size: int, generator: Generator) -> Tensor:
    """Draw whole numbers below 2^52, int64, of which `standard_normal` makes normal numbers.

    The partition that keeps splits apart reads these: they are the same on every machine, which
    the last bits of normal numbers need not be.
    """
    return torch.randint(_FINE, size, generator=generator)


def standard_normal(numbers: Tensor) -> Tensor:
    """Standard normal numbers, float64, from those of `fine_numbers`: the inverse of the cdf."""
    quantiles: Tensor = torch.special.ndtri((numbers.double() + 0.5) / _FINE)
    return quantiles


def check_number(
    name: str, value: object, *, least: float | None = None, above: float | None = None
) -> float:
    """Return `value` if it is a finite number >= `least` or > `above`, else raise ValueError."""
    wanted = f">= {least}" if above is None else f"above {above}"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        if above is not None and value > above:
            return value
        if least is not None and value >= least:
            return value
    raise TaskOptionError(f"'{name}' must be a finite number {wanted}, got {value!r:.40}")
