"""Laws 2 and 5 for energies of the states alone: what is hidden or moved are the states."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attenergy.testing.cases import Case

Step = Callable[[Case], Tensor]
Felt = Callable[[Case, Tensor], list[Tensor]]
Pair = tuple[Tensor, Tensor]


def take(value: Tensor | None, axis: int, index: Tensor) -> Tensor | None:
    """Entries of one axis; None stays None."""
    return None if value is None else value.index_select(axis, index)


def hidden_states(case: Case, step: Step, felt: Felt) -> list[Pair]:
    """Energies, steps and derivatives with some states hidden, against these changed or left out.

    A hidden state is seen by none and sees none. Changed, it is far away, equal to another one, or
    no finite number.

    Args:
        case: an energy of the states alone, without a mask.
        step: gives the states after some steps.
        felt: gives energies, gradients and their derivatives at some of the states.
    """
    count = case.xi.shape[-2]
    seen = torch.arange(0, count, 2)
    shown = torch.zeros(count, dtype=torch.bool).index_fill(0, seen, True)
    ones = () if case.energy.num_heads is None else (1,)
    pairs_shown = (shown[:, None] & shown).expand(case.xi.shape[0], *ones, count, count)
    masked = case.with_(mask=pairs_shown)
    far = case.energy.project(100.0 * case.xi.flip(-1) + 7.0)
    equal = case.xi[..., :1, :].expand_as(case.xi)
    fewer = _states(case.with_(mask=None), seen)
    want = [*felt(masked, seen), step(masked)[..., seen, :]]
    pairs = []
    for other in (far, equal, torch.full_like(far, torch.nan), None):
        if other is None:
            right, rows = fewer, torch.arange(len(seen))
        else:
            changed = torch.where(shown[:, None], case.xi, other)
            right, rows = masked.with_(xi=changed, X=changed), seen
        results = [*felt(right, rows), step(right)[..., rows, :]]
        pairs += list(zip(results, want, strict=True))
    return pairs


def moved_states(case: Case, step: Step) -> list[Pair]:
    """Energies and steps with the states in another order, or, where it counts, without the last.

    The last state of a causal game does not act on those before it.
    """
    count = case.xi.shape[-2]
    if case.energy.patterns_interact and case.energy.states_interact:
        return []
    order = torch.arange(count)
    order = order[:-1] if case.energy.patterns_interact else order.roll(1)
    moved = _states(case, order)
    rows = torch.arange(len(order))
    return [
        (_values(case, order), _values(moved, rows)),
        (step(case)[..., order, :], step(moved)),
    ]


def _values(case: Case, rows: Tensor) -> Tensor:
    value = case.value()
    return value if case.energy.states_interact else value[..., rows]


def _states(case: Case, index: Tensor) -> Case:
    """The same problem on some of the states, or on all in another order."""
    chosen = {n: take(getattr(case, n), -2, index) for n in ("xi", "X", "mask", "field")}
    return case.with_(**{**chosen, **{n: take(chosen[n], -1, index) for n in ("mask", "field")}})
