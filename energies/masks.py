"""Rows of a mask that hide everything, handled in one place.

A state that sees no pattern has energy 0 and zero gradient. To get there without infinities, such
a row is opened (all patterns visible) before anything is computed, and what it gave is replaced
afterwards; the replacement also stops its gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


def open_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask with empty rows opened, and which rows were not empty.

    Args:
        mask: boolean (..., L, S), True = visible.

    Returns:
        The opened mask (..., L, S) and `occupied` (..., L, 1).
    """
    occupied = mask.any(-1, keepdim=True)
    return mask | ~occupied, occupied


def check_mask(mask: Tensor | None, field: Tensor | None) -> None:
    """Check the types of a mask and a field.

    Raises:
        ValueError: the mask is not boolean, or the field not floating point.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be boolean, True where a state may see a pattern, got {mask.dtype}; "
            "numbers to be added to the scores go to `field`"
        )
    if field is not None and not field.is_floating_point():
        raise ValueError(f"field must be floating point, got {field.dtype}")
