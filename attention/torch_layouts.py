"""PyTorch's layouts and masks of attention, as this package has them.

`B` batch, `H` heads, `L` queries, `S` keys, `E` width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.arguments import check_tensor
from attenergy.attention.heads import split_mask


def to_batch_first(
    inputs: tuple[Tensor, Tensor, Tensor], widths: tuple[int, int, int], batch_first: bool
) -> list[Tensor]:
    """Queries, keys and values as (B, length, width).

    Args:
        inputs: the three as (length, B, width), (B, length, width) with `batch_first`, or
            (length, width).
        widths: theirs.
        batch_first: which layout is meant.

    Raises:
        TypeError: one is no tensor.
        ValueError: a shape does not fit.
    """
    ndim = getattr(inputs[0], "ndim", None)
    for name, given, width in zip(("query", "key", "value"), inputs, widths, strict=True):
        check_tensor(name, given)
        if given.ndim not in (2, 3) or given.ndim != ndim or given.shape[-1] != width:
            layout = "(B, length, width)" if batch_first else "(length, B, width)"
            raise ValueError(
                f"{name} must be {layout} or (length, width), all three alike, with width "
                f"{width}, got {tuple(given.shape)}"
            )
    query, key, value = inputs
    within, alike = query is key, key is value

    def moved(x: Tensor) -> Tensor:
        return x.unsqueeze(0) if ndim == 2 else x.transpose(0, 1)

    if ndim == 2 or not batch_first:
        query = moved(query)
        key = query if within else moved(key)  # what is one input stays one
        value = key if alike else moved(value)
    if key.shape[:2] != value.shape[:2] or query.shape[0] != key.shape[0]:
        raise ValueError(
            "query, key and value must have one batch size, and key and value one length, got "
            f"{[tuple(x.shape[:2]) for x in (query, key, value)]} (batch, length)"
        )
    return [query, key, value]


def joined_masks(
    attn_mask: Tensor | None,
    padding: Tensor | None,
    sizes: tuple[int, int, int, int],
    batched: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """One mask with True = visible and one field, each broadcastable to (B, H, L, S).

    Args:
        attn_mask: (L, S) or (B * H, L, S); True hides, numbers are added to the scores.
        padding: (B, S), or (S,) if not `batched`; as `attn_mask`.
        sizes: B, H, L and S.
        batched: whether the inputs have a batch axis.

    Raises:
        TypeError: one is no tensor.
        ValueError: a type or shape does not fit.
    """
    batch, heads, length, stored = sizes
    given = []
    if attn_mask is not None:
        check_mask("attn_mask", attn_mask, (length, stored), (batch * heads, length, stored))
        given.append(attn_mask.view(sizes) if attn_mask.ndim == 3 else attn_mask)
    if padding is not None:
        check_mask("key_padding_mask", padding, (batch, stored) if batched else (stored,))
        given.append(padding.view(batch, 1, 1, stored))
    mask = field = None
    for one in given:
        if one.dtype == torch.bool:
            seen = ~one
        else:
            seen, added = split_mask(one)
            field = added if field is None else field + added
        mask = seen if mask is None else mask & seen
    return mask, field


def check_mask(name: str, mask: Tensor, *shapes: tuple[int, ...]) -> None:
    """Check type and shape of a mask.

    Raises:
        TypeError: it is no tensor.
        ValueError: naming it, what was got and what is allowed.
    """
    check_tensor(name, mask)
    if tuple(mask.shape) not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must have shape {allowed}, got {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(f"{name} must be boolean or floating point, got {mask.dtype}")
