"""PyTorch's layouts and masks of attention, as this package has them.

`B` batch, `H` heads, `L` queries, `S` keys, `E` width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.integrations.heads import split_mask
from attenergy.attention.modules.arguments import check_numbers, check_tensor
from attenergy.registry import MaskError, ShapeError


def to_batch_first(
    inputs: tuple[Tensor, Tensor, Tensor],
    widths: tuple[int, int, int],
    batch_first: bool,
    like: Tensor | None = None,
) -> list[Tensor]:
    """Queries, keys and values as (B, length, width).

    Args:
        inputs: the three as (length, B, width), (B, length, width) with `batch_first`, or
            (length, width).
        widths: theirs.
        batch_first: which layout is meant.
        like: weights whose type they have; None if any does.

    Raises:
        TypeError: one is no tensor.
        ValueError: a shape or type does not fit.
    """
    ndim = getattr(inputs[0], "ndim", None)
    for name, given, width in zip(("query", "key", "value"), inputs, widths, strict=True):
        check_numbers(name, given, like)
        if given.ndim not in (2, 3) or given.ndim != ndim or given.shape[-1] != width:
            layout = "(B, length, width)" if batch_first else "(length, B, width)"
            raise ShapeError(
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
        raise ShapeError(
            "query, key and value must have one batch size, and key and value one length, got "
            f"{[tuple(x.shape[:2]) for x in (query, key, value)]} (batch, length)"
        )
    return [query, key, value]


def unpacked(
    inputs: tuple[Tensor, ...], masks: tuple[Tensor | None, ...], batch_first: bool
) -> tuple[Tensor, Tensor]:
    """A nested batch as (B, L, width) with 0 at padding, and where that is, (B, L).

    PyTorch's encoder packs padded batches so at inference, for whatever its layers are by then.

    Args:
        inputs: query, key and value, of which one is nested.
        masks: what was given besides.
        batch_first: which layout the layer has.

    Raises:
        ValueError: the three are not one tensor, there is a mask, whose shape means nothing, or the
            batch does not come first.
    """
    nested = inputs[0]
    alike = all(x is nested for x in inputs) and all(mask is None for mask in masks)
    if not (alike and batch_first):
        raise MaskError(
            "a nested tensor must be query, key and value in one, without masks, in a layer made "
            "with batch_first=True"
        )
    sizes = torch.tensor([len(row) for row in nested.unbind()], device=nested.device)
    x = nested.to_padded_tensor(0.0)
    return x, torch.arange(x.shape[1], device=x.device) >= sizes[:, None]


def packed(x: Tensor, hidden: Tensor) -> Tensor:
    """The nested batch of what is not hidden in x (B, L, width)."""
    sizes = (~hidden).sum(-1).tolist()
    return torch.nested.as_nested_tensor([row[:n] for row, n in zip(x, sizes, strict=True)])


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
        raise MaskError(f"{name} must have shape {allowed}, got {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise MaskError(f"{name} must be boolean or floating point, got {mask.dtype}")
