"""Rotary positions: vectors that turn with their place in the sequence."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from attenergy.registry import ArgumentTypeError, ShapeError


def check_offset(offset: int | Tensor, batch: int, length: int) -> None:
    """Check the position of the first of L vectors of each sample.

    Args:
        offset: whole number, or a tensor of one; one for each sample as (B, 1, 1).
        batch: B.
        length: L.

    Raises:
        TypeError: it is neither.
        ValueError: its shape is another one, as (B,), which may be positions (L,) as well.
    """
    given: Any = offset
    if not isinstance(given, Tensor):
        if not isinstance(given, (Integral, torch.SymInt)):
            raise ArgumentTypeError(
                f"offset must be a whole number or a tensor, got {type(given).__name__}"
            )
        return
    shape = tuple(given.shape)
    each = len(shape) == 3 and all(
        size in (1, full) for size, full in zip(shape, (batch, 1, length), strict=True)
    )
    if not each and shape not in ((), (1,), (1, 1)):
        raise ShapeError(
            f"offset must be one number, or one for each sample, (B, 1, 1) = ({batch}, 1, 1), got "
            f"shape {shape}; a tensor (B,) becomes one by offset[:, None, None]"
        )


def rotate(
    x: Tensor, *, offset: int | Tensor = 0, base: float = 10_000.0, back: bool = False
) -> Tensor:
    """Turn the components m and m + d/2 of x_i by the angle (i + offset) base^(-2m/d).

    Args:
        x: (..., L, d), d even.
        offset: position of the first vector: a whole number, or a tensor of them that is
            broadcastable to (..., L), as (B, 1, 1) for one per sample.
        base: sets the slowest rotation.
        back: whether to turn by minus that angle.

    Returns:
        A tensor like x. Angles are taken in float32 at least.

    Source: Su et al. 2021, arXiv:2104.09864, with the pairs taken from the two halves.
    """
    wide, half = torch.promote_types(x.dtype, torch.float32), x.shape[-1] // 2
    speed = base ** (-torch.arange(half, dtype=wide, device=x.device) / half)
    position = torch.arange(x.shape[-2], device=x.device) + offset
    angle = position.to(wide).unsqueeze(-1) * speed
    cos, sin = angle.cos(), -angle.sin() if back else angle.sin()
    a, b = x.to(wide).chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)
