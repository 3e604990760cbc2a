"""PyTorch's layouts and masks of attention, as this package has them.

`B` batch, `H` heads, `L` queries, `S` keys, `E` width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attenergy.attention.integrations.heads import split_mask
from attenergy.attention.modules.arguments import check_numbers, check_tensor
from attenergy.attention.modules.projections import check_dense
from attenergy.energies import Energy
from attenergy.energies.presence import may_count
from attenergy.registry import ArgumentError, MaskError, ShapeError


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
        check_dense(name, given)
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
        ValueError: the three are not one tensor, there is a mask, whose shape means nothing, the
            batch does not come first, rows are of several widths, or there are holes between them.
    """
    nested: Any = inputs[0]
    jagged = nested.layout is torch.jagged
    alike = all(x is nested for x in inputs) and all(mask is None for mask in masks)
    if not (alike and batch_first):
        raise MaskError(
            "a nested tensor must be query, key and value in one, without masks, in a layer made "
            "with batch_first=True"
        )
    rows = nested.unbind()
    by_row = not jagged or isinstance(nested.shape[-1], int)
    if not by_row or any(row.shape[1:] != rows[0].shape[1:] for row in rows):
        raise ShapeError("a nested tensor must be (B, *, width), with rows of one width")
    if jagged and nested.lengths() is not None:
        raise ShapeError("a nested tensor must have no holes; x.contiguous() is without them")
    sizes = torch.tensor([len(row) for row in rows], device=nested.device)
    x = nested.to_padded_tensor(0.0)
    return x, torch.arange(x.shape[1], device=x.device) >= sizes[:, None]


def packed(x: Tensor, hidden: Tensor, like: Any) -> Tensor:
    """The nested batch of what is not hidden in x (B, L, width), which goes with another one.

    Args:
        x: a padded batch.
        hidden: where it is padding, (B, L).
        like: a nested tensor with rows of the same lengths; the result has its layout.
    """
    if like.layout is torch.jagged:  # one with other offsets could not be added to it
        joined: Tensor = torch.nested.nested_tensor_from_jagged(x[~hidden], like.offsets())
        return joined
    sizes = (~hidden).sum(-1).tolist()
    return torch.nested.as_nested_tensor([row[:n] for row, n in zip(x, sizes, strict=True)])


def of_one_sequence(energy: Energy, query: Tensor, key: Tensor, mask: Tensor | None) -> bool:
    """Whether state i and pattern i are one position: where there are as many, of one width.

    It follows from shapes, never from which tensors are one, so that copies, casts, checkpoints and
    `torch.vmap` change nothing. Where it matters, inputs that hold different numbers are refused:
    by an assertion where the graph is compiled or exported; not under `torch.vmap` or tracing.

    Args:
        energy: what is relaxed. To one without `states_interact` that reads patterns it is all one.
        query: (B, L, E).
        key: (B, S, kdim).
        mask: boolean, broadcastable to (B, H, L, S), True = visible.

    Raises:
        ValueError: shapes say so, the numbers do not, and the energy is one of the states alone, or
            couples states while the mask hides a position from all.
    """
    together = energy.states_interact or not energy.reads_patterns
    if not together or key.shape != query.shape:
        return False
    if key is query or (energy.reads_patterns and mask is None):
        return True
    compiling = torch.compiler.is_compiling()
    if not (compiling or all(_may_look(t) for t in (query, key, mask) if t is not None)):
        return True
    same = ((query == key) | (query.isnan() & key.isnan())).all()
    if energy.reads_patterns and mask is not None:
        same = same | mask.any(-2).all()
        reason = (
            "couples states to each other: where query and key are of one sequence, as their "
            "shapes say, a position that the mask hides is no state either; these hold different "
            "numbers. Make the layer with cross_attention=True if they are two sequences"
        )
    else:
        reason = (
            "is an energy of the states alone; it takes no other patterns (key must hold what "
            "query holds)"
        )
    message = f"'{energy.spec.title}' {reason}"
    if not compiling and not same:
        raise ArgumentError(message, topic="couples-states")
    if compiling and not torch._C._functorch.is_batchedtensor(same):  # no rule for vmap
        torch._assert_async(same, message)
    return True


def _may_look(x: Tensor) -> bool:
    """Whether an error may depend on numbers: not while they are traced, nor under vmap."""
    return may_count(x.detach()) and torch._C._len_torch_dispatch_stack() == 0  # `make_fx`


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
