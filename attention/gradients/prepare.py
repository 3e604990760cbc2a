"""What an energy's gradient and weights are computed from, checked and opened once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.energies import Energy
from attenergy.energies.masks import clear_hidden, may_look, whole_rows


@dataclass(frozen=True)
class Prepared:
    """An energy with all that stays while states move, in which nothing hidden acts.

    Attributes:
        energy: whose gradient it is.
        X: stored patterns (..., S, D), 0 where no state sees them; one that is hidden if there are
            none at all.
        mask: boolean (..., L|1, S), True = visible; None if all are.
        field: (..., L|1, S).
        opened: the mask with empty rows opened, as `weights` and `radial` take it.
        occupied: (..., L, 1), which states see a pattern; None if all do, as far as one may look.
        patterns: S as it was given.
    """

    energy: Energy
    X: Tensor
    mask: Tensor | None
    field: Tensor | None
    opened: Tensor | None
    occupied: Tensor | None
    patterns: int


def prepare(
    energy: Energy, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> tuple[Prepared, Tensor]:
    """Check the tensors; return what stays, and the states with every batch axis.

    Raises:
        ValueError: a shape or type does not fit.
    """
    mask, field = energy.check(xi, X, mask, field)
    patterns = X.shape[-2]
    if not patterns and energy.reads_patterns:  # one pattern that no state sees
        rows = (1,) if mask is None else mask.shape[:-1]
        mask = torch.zeros(*rows, 1, dtype=torch.bool, device=X.device)
        X, field = pad(X, (0, 0, 0, 1)), None if field is None else pad(field, (0, 1))
    states = all_states(energy, xi, X, mask, field)
    is_read = energy.reads_patterns or not energy.states_interact
    xi, X = clear_hidden(mask, states, X if is_read else states)
    return Prepared(energy, X, mask, field, *opened_rows(energy, mask), patterns), xi


def opened_rows(energy: Energy, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The opened mask and which states see a pattern, without the latter if all do."""
    if mask is None:
        return None, None
    if may_look(mask) and bool(mask.any(-1).all()):  # as under a causal mask: no row to open
        return mask, None
    rows = whole_rows(mask)
    return energy.opened(mask) if rows is None else (None, rows)


def all_states(energy: Energy, xi: Tensor, X: Tensor, *extra: Tensor | None) -> Tensor:
    """The states with every batch axis that patterns, mask, field or heads have and they lack."""
    heads = () if energy.num_heads is None else (energy.num_heads,)
    others = [X.shape[:-2], heads, *(e.shape[:-2] for e in extra if e is not None)]
    own = xi.shape[:-2]
    if all(other == own[len(own) - len(other) :] for other in others):
        return xi  # as in most layers; `broadcast_shapes` takes longer than the whole rest here
    batch = torch.broadcast_shapes(own, *others)  # type: ignore[no-untyped-call]
    return xi.expand(*batch, *xi.shape[-2:])
