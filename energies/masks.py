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

from attenergy.registry import ArgumentError, ArgumentTypeError, MaskError

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


def hide_by_field(mask: Tensor | None, field: Tensor) -> tuple[Tensor, Tensor]:
    """The mask without the patterns whose field says "never" (`NEVER`), and the field with 0 there.

    Also where the mask hides a pattern the field becomes 0.
    """
    seen = ~(field <= NEVER)  # NaN is no mask: it shows
    mask = seen if mask is None else mask & seen
    return mask, torch.where(mask, field, 0.0)


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


def check_mask(mask: Tensor | None, field: Tensor | None) -> None:
    """Check the types of a mask and a field.

    Raises:
        TypeError: one is no tensor.
        ValueError: the mask is not boolean, or the field not floating point.
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


def fits(value: Tensor, states: int, patterns: int) -> bool:
    """Whether a mask or field can be broadcast to (..., states, patterns)."""
    sizes = (1, 1, *value.shape)[-2:]
    return sizes[0] in (1, states) and sizes[1] in (1, patterns)


def spread(value: Tensor | None, patterns: int) -> Tensor | None:
    """(..., L|1, S): sums over patterns need each of them, whatever was left to broadcasting."""
    if value is None or (value.ndim >= 2 and value.shape[-1] == patterns):
        return value
    value = value.expand(*(1,) * (2 - value.ndim), *value.shape)
    return value.expand(*value.shape[:-1], patterns)
