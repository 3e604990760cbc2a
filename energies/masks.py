"""What a mask hides, handled in one place: rows that hide everything, and what hidden numbers hold.

A state that sees no pattern has energy 0 and zero gradient. To get there without infinities, such
a row is opened (all patterns visible) before anything is computed, and what it gave is replaced
afterwards; the replacement also stops its gradient.

What is hidden must not act, whatever numbers stand there. A weight of 0 does not do: 0 times NaN or
infinity is NaN, forward and backward. So hidden numbers are replaced before anything is computed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.registry import ArgumentError, ArgumentTypeError, MaskError, ShapeError

#: A field at or below this says "never", as a mask does: the usual numbers are -1e4 (-9984 in
#: bfloat16), -1e9 and the lowest of the type.
NEVER = -9e3


def open_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask with empty rows opened, and which rows were not empty.

    Args:
        mask: boolean (..., L, S), True = visible.

    Returns:
        The opened mask (..., L, S) and `occupied` (..., L, 1).

    Example:
        >>> mask = torch.tensor([[True, False], [False, False]])
        >>> opened, occupied = open_rows(mask)
        >>> opened, occupied
        (tensor([[ True, False],
                [ True,  True]]), tensor([[ True],
                [False]]))
    """
    occupied = mask.any(-1, keepdim=True)
    return mask | ~occupied, occupied


def clear_hidden(mask: Tensor | None, xi: Tensor, *stored: Tensor) -> tuple[Tensor, ...]:
    """Make sure that nothing hidden is read, whatever it holds.

    Patterns that no state sees become 0. So do those that are not finite, and a state that sees one
    of these becomes NaN in their place; what other states give stays finite, and so do gradients
    that do not go through a state that is NaN. The latter only where numbers can be looked at
    without waiting: on a CPU, neither compiled nor under transforms of `torch.func`; elsewhere a
    number that is not finite spoils whoever might see it, as in `scaled_dot_product_attention`.
    Where all numbers are of usual size nothing is copied.

    Args:
        mask: boolean (..., L, S), True = visible; None changes nothing.
        xi: states (..., L, D).
        *stored: what belongs to the patterns, each (..., S, e).

    Returns:
        xi and each of `stored`; xi has the batch axes of all if one of them is not finite.
    """
    if mask is None:
        return (xi, *stored)
    looks = may_look(mask, *stored)
    if looks and all(is_tame(tensor) for tensor in stored):
        return (xi, *stored)
    seen = mask.any(-2)
    cleared = []
    for tensor in stored:
        good = _fitted(seen, tensor)
        if looks:
            bad = ~torch.isfinite(tensor.detach()).all(-1)
            xi = xi * torch.where(_sees(mask, bad), math.nan, 1.0).to(xi.dtype)
            good = good & ~bad
        cleared.append(torch.where(good.unsqueeze(-1), tensor, 0.0))
    return (xi, *cleared)


def clear_states(xi: Tensor, occupied: Tensor) -> Tensor:
    """The states with 0 where a state sees nothing: its numbers reach no derivative of others."""
    if may_look(xi, occupied) and is_tame(xi):
        return xi
    return torch.where(occupied, xi, 0.0)


def may_look(*tensors: Tensor) -> bool:
    """Whether a choice may depend on the numbers in tensors."""
    return bool(
        all(type(t) in (Tensor, nn.Parameter) and t.device.type == "cpu" for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def is_tame(tensor: Tensor) -> bool:
    """Whether no sum of products of these numbers overflows; false for NaN and infinity."""
    if tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())
    most = torch.finfo(tensor.dtype).max ** 0.25
    return bool(-most < float(low) and float(high) < most)


def hide_by_field(
    mask: Tensor | None, field: Tensor, added: bool = False
) -> tuple[Tensor | None, Tensor]:
    """The mask without the patterns whose field says "never" (`NEVER`), and the field with 0 there.

    Also where the mask hides a pattern the field becomes 0, whatever it is there. On a CPU a field
    that says "never" nowhere is returned as it is where there is no mask, or `added`.

    Args:
        mask: boolean (..., L|1, S), True = visible; None if all are.
        field: (..., L|1, S).
        added: whether the field is added to scores of which a softmax is taken. That gives "never"
            the weight 0 by itself, unless it stands at all patterns that a state may see: only such
            rows are hidden then, and only there the field becomes 0.
    """
    numbers = field.detach()
    alone = added or mask is None
    if alone and may_look(numbers) and (not numbers.numel() or float(numbers.amin()) > NEVER):
        return mask, field
    if not added:
        seen = ~(numbers <= NEVER)  # NaN is no mask: it shows
        mask = seen if mask is None else mask & seen
        return mask, torch.where(mask, field, 0.0)
    if mask is None:
        occupied = ~(numbers.amax(-1, keepdim=True) <= NEVER)
    else:
        occupied = (mask & ~(numbers <= NEVER)).any(-1, keepdim=True)
    if may_look(occupied) and bool(occupied.all()):
        return mask, field
    rows = occupied.expand(*occupied.shape[:-1], field.shape[-1])  # in no memory: `whole_rows`
    return rows if mask is None else mask & occupied, torch.where(occupied, field, 0.0)


def whole_rows(mask: Tensor) -> Tensor | None:
    """(..., L, 1) of a mask that shows all patterns or none to each state; None of another one.

    Only of one that was made by `expand`, which its strides show without a look at its numbers.
    """
    return mask[..., :1] if mask.stride(-1) == 0 else None


def same_for_all_states(mask: Tensor | None) -> bool:
    """Whether a mask hides patterns from all states alike, as padding does."""
    return mask is None or mask.ndim < 2 or mask.shape[-2] == 1


def _sees(mask: Tensor, bad: Tensor) -> Tensor:
    """Which states see a bad pattern, (..., L, 1)."""
    return (mask & bad.unsqueeze(-2)).any(-1, keepdim=True)


def _fitted(seen: Tensor, stored: Tensor) -> Tensor:
    """Which patterns some state sees (..., S), over the batch axes that the patterns share."""
    while seen.ndim > stored.ndim - 1:
        seen = seen.any(0)
    for axis in range(-seen.ndim, -1):
        if stored.shape[axis - 1] == 1 and seen.shape[axis] != 1:
            seen = seen.any(axis, keepdim=True)
    return seen


def check_tensor(name: str, value: Any) -> None:
    """Check that something is a tensor.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(
            f"{name} must be a torch tensor, got {type(value).__name__}; torch.as_tensor makes one",
            topic="mask",
        )


def check_numbers(name: str, value: Any, like: Tensor | None = None) -> None:
    """Check that something is a tensor of floating-point numbers, of the type of its weights.

    Args:
        name: of the argument.
        value: what was given.
        like: weights that it meets; None if all types do. Autocast brings types together.

    Raises:
        TypeError: it is no tensor.
        ValueError: it has another type.
    """
    check_tensor(name, value)
    if like is not None and value.dtype == like.dtype:
        return
    if not value.is_floating_point():
        raise ArgumentError(
            f"{name} must be floating point, got {value.dtype}; {name}.float() makes it so"
        )
    if like is None or not like.is_floating_point() or _brought_together(value, like):
        return
    raise ArgumentError(
        f"{name} must be {like.dtype} as the weights, got {value.dtype}; give "
        f"{name}.to({like.dtype}), or make the weights {value.dtype} by .to({value.dtype})"
    )


def _brought_together(value: Tensor, like: Tensor) -> bool:
    """Whether autocast converts both to one type, as it does with all but float64."""
    kind = value.device.type
    return (
        torch.float64 not in (value.dtype, like.dtype)
        and torch.amp.is_autocast_available(kind)
        and torch.is_autocast_enabled(kind)
    )


def check_vectors(xi: Tensor, X: Tensor, dim: int, num_heads: int | None) -> None:
    """Check states (..., L, D) and patterns (..., S, D), each with an axis of heads if there is H.

    Raises:
        TypeError: one is no tensor.
        ValueError: one has other axes, or no floating-point numbers.
    """
    least = 2 if num_heads is None else 3
    for name, value in (("xi", xi), ("X", X)):
        check_numbers(name, value)
        if value.ndim < least or value.shape[-1] != dim:
            axes = "(..., length, D)" if least == 2 else "(..., H, length, D)"
            raise ShapeError(f"{name} must be {axes} with D = {dim}, got {tuple(value.shape)}")
        if num_heads is not None and value.shape[-3] not in (1, num_heads):
            raise ShapeError(
                f"{name} has {value.shape[-3]} heads (axis -3), the energy {num_heads}"
            )


def check_alike(xi: Tensor, X: Tensor) -> None:
    """Check that states and patterns are of one type, unless autocast brings them together.

    Raises:
        ValueError: they are not.
    """
    if xi.dtype == X.dtype or _brought_together(xi, X):
        return
    raise ArgumentError(
        f"xi and X must have one type, got xi of {xi.dtype} and X of {X.dtype}; give "
        f"xi.to({X.dtype}) or X.to({xi.dtype})"
    )


def check_pairs(mask: Tensor | None, field: Tensor | None, states: int, patterns: int) -> None:
    """Check types, and that the last two axes can be broadcast to (L, S).

    Raises:
        TypeError: one is no tensor.
        ValueError: the mask is not boolean, the field not floating point, or an axis does not fit.
    """
    for name, value in (("mask", mask), ("field", field)):
        if value is not None:
            check_tensor(name, value)
    if mask is not None and mask.dtype != torch.bool:
        raise MaskError(
            f"mask must be boolean, True where a state may see a pattern, got {mask.dtype}; "
            "numbers to be added to the scores go to `field`"
        )
    if field is not None and not field.is_floating_point():
        raise MaskError(f"field must be floating point, got {field.dtype}")
    for name, value in (("mask", mask), ("field", field)):
        if value is not None and not _fits(value, states, patterns):
            raise MaskError(
                f"{name} must be broadcastable to (..., L, S) = (..., {states}, {patterns}), "
                f"got {tuple(value.shape)}"
            )


def _fits(value: Tensor, states: int, patterns: int) -> bool:
    """Whether a mask or field can be broadcast to (..., states, patterns)."""
    sizes = (1, 1, *value.shape)[-2:]
    return sizes[0] in (1, states) and sizes[1] in (1, patterns)


def check_batch(
    xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None, num_heads: int | None
) -> None:
    """Check that the axes before the last two can be broadcast together; the last is of heads.

    Raises:
        ValueError: two sizes of one axis differ, and neither is 1.
    """
    if mask is None and field is None and xi.shape[:-2] == X.shape[:-2]:
        return  # as in most layers; `check_vectors` has compared their heads
    sizes = {} if num_heads is None else {-3: (num_heads, "the energy (heads)")}
    for name, tensor in (("xi", xi), ("X", X), ("mask", mask), ("field", field)):
        shape = () if tensor is None else tensor.shape
        for axis in range(-3, -len(shape) - 1, -1):
            size = shape[axis]
            if size == 1:
                continue
            other, owner = sizes.setdefault(axis, (size, name))
            if other != size:
                raise (ShapeError if name == "X" else MaskError)(
                    f"{name} has {size} entries on axis {axis} and {owner} has {other}; the axes "
                    "before the last two must have equal sizes, or 1, got xi "
                    f"{tuple(xi.shape)} and {name} {tuple(shape)}"
                )


def spread(value: Tensor | None, patterns: int) -> Tensor | None:
    """(..., L|1, S): sums over patterns need each of them, whatever was left to broadcasting."""
    if value is None or (value.ndim >= 2 and value.shape[-1] == patterns):
        return value
    value = value.expand(*(1,) * (2 - value.ndim), *value.shape)
    return value.expand(*value.shape[:-1], patterns)
