"""Weights from scores, and sums of values, shared by mixers.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `d` query/key width of a
head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def scores(q: Tensor, k: Tensor, field: Tensor | None = None) -> Tensor:
    """Return s = q.k / sqrt(d) + field, (B, H, L, S)."""
    product = (q / math.sqrt(max(q.shape[-1], 1))) @ k.transpose(-1, -2)
    return product if field is None else product + field


def masked_softmax(values: Tensor, seen: Tensor | None) -> Tensor:
    """Return the softmax over the visible last axis; hidden entries, and whole hidden rows, are 0.

    Args:
        values: (..., L, S).
        seen: boolean, broadcastable to it, True where visible; None if all is.
    """
    if seen is None:
        return values.softmax(-1)
    # The lowest finite number, not minus infinity: a state that sees nothing then gets equal
    # weights instead of NaN, here and in the derivative, and the second fill removes them.
    lowest = torch.finfo(values.dtype).min
    return values.masked_fill(~seen, lowest).softmax(-1).masked_fill(~seen, 0)


def hide(patterns: Tensor, mask: Tensor | None) -> Tensor:
    """Set hidden patterns to 0.

    Args:
        patterns: (B, H, S, width).
        mask: the same for all states, broadcastable to (B, H, 1, S).
    """
    if mask is None:
        return patterns
    return patterns.masked_fill(~columns(mask, patterns.shape[2]), 0)


def columns(mask: Tensor, stored: int) -> Tensor:
    """Return a mask that is the same for all states as (B or 1, H or 1, S, 1)."""
    rows = mask.expand(*(1,) * (4 - mask.ndim), *mask.shape)
    return rows.expand(*rows.shape[:3], stored).transpose(-1, -2)


def with_ones(v: Tensor) -> Tensor:
    """Append a column of ones to values, so that their weighted sum carries the sum of weights."""
    return pad(v, (0, 1), value=1.0)


def divided(sums: Tensor, total: Tensor) -> Tensor:
    """Divide sums by the total weight, and leave the zeros of a state that has none."""
    return sums / torch.where(total == 0, 1, total)
