"""What a function gives that only ever gets the patterns that are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """What an energy is computed of.

    Attributes:
        xi: states (..., L, D).
        X: patterns (..., S, D).
        mask: boolean (..., L, S) or (..., 1, S), or None.
        field: (..., L, S), (..., 1, S) or None.
        parameters: each (...) and then axes of its own; the last of the batch is the heads'.
        orders: how many axes of its own each parameter has.
    """

    xi: Tensor
    X: Tensor
    mask: Tensor | None
    field: Tensor | None
    parameters: tuple[Tensor, ...]
    orders: tuple[int, ...]

    def samples(self, place: int, index: Tensor, mask: Tensor) -> Inputs:
        """Some samples, or some heads, all of which have this mask.

        Args:
            place: of the axis, counted from the last one of the batch, which is 1.
            index: which.
            mask: their mask.
        """
        pairs = zip(self.parameters, self.orders, strict=True)
        return replace(
            self,
            xi=_some(self.xi, place + 2, index),
            X=_some(self.X, place + 2, index),
            mask=mask,
            field=None if self.field is None else _some(self.field, place + 2, index),
            parameters=tuple(_some(tensor, place + order, index) for tensor, order in pairs),
        )

    def states(self, index: Tensor) -> Inputs:
        """Some of the states, whatever they see."""
        field = None if self.field is None else _some(self.field, 2, index)
        return replace(self, xi=self.xi.index_select(-2, index), field=field)

    def seen(self, row: Tensor) -> Inputs:
        """Without what a row (S,) of the mask hides."""
        index = row.nonzero().squeeze(-1)
        field = None if self.field is None else self.field.index_select(-1, index)
        return replace(self, X=self.X.index_select(-2, index), mask=None, field=field)


def of_seen(call: Callable[[Inputs], Tensor], given: Inputs) -> Tensor:
    """`call` with the patterns that the mask hides taken out, (..., L).

    States that see the same patterns are called together: one call for padding that is the same
    for all samples, one per sample else, one per state for a causal mask.

    Args:
        call: gets no mask.
        given: with a mask, in which no row is empty.
    """
    mask = given.mask
    assert mask is not None
    if mask.ndim == 2:
        return _of_rows(call, given, mask)
    if mask.shape[0] == 1:
        return of_seen(call, replace(given, mask=mask.squeeze(0)))
    place = mask.ndim - 2
    kinds, which = torch.unique(mask, dim=0, return_inverse=True)
    parts, order = [], []
    for number, kind in enumerate(kinds):
        index = (which == number).nonzero().squeeze(-1)
        value = of_seen(call, given.samples(place, index, kind))
        sizes = [*(1,) * (place + 1 - value.ndim), *value.shape]
        sizes[-place - 1] = len(index)  # also where the samples differ in their masks alone
        parts.append(value.expand(sizes))
        order.append(index)
    return torch.cat(parts, -place - 1).index_select(-place - 1, torch.cat(order).argsort())


def _of_rows(call: Callable[[Inputs], Tensor], given: Inputs, mask: Tensor) -> Tensor:
    """As `of_seen`, for a mask (L, S) or (1, S) of all samples."""
    if mask.shape[0] == 1:
        return call(given.seen(mask[0]))
    kinds, which = torch.unique(mask, dim=0, return_inverse=True)
    parts, order = [], []
    for number, kind in enumerate(kinds):
        index = (which == number).nonzero().squeeze(-1)
        parts.append(call(given.states(index).seen(kind)))
        order.append(index)
    return torch.cat(parts, -1).index_select(-1, torch.cat(order).argsort())


def _some(tensor: Tensor, place: int, index: Tensor) -> Tensor:
    """Some places of the axis -place; all of a tensor without it, or the same along it."""
    if tensor.ndim < place or tensor.shape[-place] == 1:
        return tensor
    return tensor.index_select(-place, index)
