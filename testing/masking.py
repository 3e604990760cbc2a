"""Law 2: what is hidden does not act, in values, gradients and second derivatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attenergy.attention import gradient
from attenergy.attention.gradients.backends import Backend
from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, cases
from attenergy.testing.laws_tokens import hidden_states, take
from attenergy.testing.results import LawBroken
from attenergy.testing.steps import EXACT, distance, grads, quick, two_steps

#: How much farther away a hidden pattern stands than others do; the first that gives numbers.
_FAR = (1e4, 1e2, 10.0)


def masking_equals_deleting(spec: EnergySpec) -> tuple[float, float, str]:
    """2: hidden patterns have no influence at all; a state that sees nothing stays.

    What stands in a hidden place is far away, equal to a state (where distances are 0), or no
    finite number at all.
    """
    worst = 0.0
    for case in cases(spec):
        if case.mask is not None:
            continue
        batch, states, stored = case.sizes
        ones = () if case.energy.num_heads is None else (1,)
        if not case.energy.reads_patterns:
            worst = max(
                worst, *(distance(a, b) for a, b in hidden_states(case, two_steps, _of_tokens))
            )
            _check_empty_row(case.with_(mask=torch.ones(batch, *ones, states, states).bool()))
            continue
        hidden = torch.arange(stored) % 3 == 1
        masked = case.with_(mask=~hidden.expand(batch, *ones, states, stored))
        _check_empty_row(masked)
        worst = max(worst, _difference(case, masked, hidden))
        worst = max(worst, _seen_by_others(case, hidden))
    return worst, EXACT, "hidden patterns against deleted, far, equal and infinite ones"


def _difference(case: Case, masked: Case, hidden: Tensor) -> float:
    """Hidden from all states: against other numbers there, and against no patterns there."""
    shown = ~hidden
    others = [masked.with_(X=spoilt) for spoilt in _spoilt(case, hidden)]
    if not case.energy.patterns_interact:
        others.append(_without(case, hidden))
    # Derivatives once for every setting: with a field the same code runs.
    felt = _felt if case.field is None else _valued
    want, state = felt(masked, shown), two_steps(masked)
    worst = 0.0
    for other in others:
        every = shown if other.X.shape == case.X.shape else shown[shown]
        results = felt(other, every)
        worst = max(worst, *(distance(a, b) for a, b in zip(results, want, strict=True)))
        worst = max(worst, distance(two_steps(other), state))
    return worst


def _seen_by_others(case: Case, hidden: Tensor) -> float:
    """Hidden from the first state alone: against no such patterns, for this state."""
    if case.energy.states_interact or case.energy.patterns_interact or case.field is not None:
        return 0.0
    batch, states, stored = case.sizes
    ones = () if case.energy.num_heads is None else (1,)
    mask = torch.ones(batch, *ones, states, stored, dtype=torch.bool)
    mask[..., 0, :] = ~hidden
    first = torch.arange(1)
    want = _felt(_rows(_without(case, hidden), first), (~hidden)[~hidden])
    worst = 0.0
    for times in _FAR:
        other = case.with_(mask=mask, X=_spoilt(case, hidden, times)[0])
        try:
            results = _felt(other, ~hidden, first)
        except LawBroken:
            if _is_finite(other):
                raise
            continue  # to the states that see them, the patterns are too far for numbers
        return max(worst, *(distance(a, b) for a, b in zip(results, want, strict=True)))
    return worst


def _is_finite(case: Case) -> bool:
    """Whether first and second derivatives of the energies of all states are numbers."""
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    value = case.energy(xi, X, mask=case.mask, field=case.field)
    first = grads(value, [xi, X], 41, create_graph=True)
    second = grads(first[0], [xi, X], 42, create_graph=True)
    third = grads(second[0], [xi, X], 43)
    return all(bool(part.isfinite().all()) for part in (value, *first, *second, *third))


def _spoilt(case: Case, hidden: Tensor, times: float = _FAR[0]) -> list[Tensor]:
    """Patterns that are far away or equal to a state where hidden; then, that are not finite."""
    far = times * case.X + 7.0
    far[..., 1, :] = case.xi[..., 0, :]
    odd = torch.full_like(case.X, math.nan)
    odd[..., 1, :] = math.inf
    return [torch.where(hidden[:, None], other, case.X) for other in (far, odd)]


def _felt(case: Case, shown: Tensor, rows: Tensor | None = None) -> list[Tensor]:
    """Energies and gradients of states, and first and second derivatives of both.

    Args:
        case: what is looked at.
        shown: (S,), the patterns whose derivatives are returned; those of the others must be 0.
        rows: the states that are looked at; all if None.

    Raises:
        LawBroken: a derivative at a hidden pattern is not 0.
    """
    rows = torch.arange(case.xi.shape[-2]) if rows is None else rows
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    backend: Backend = "scores" if case.energy.has_closed_form else "eager"
    value = case.energy(xi, X, mask=case.mask, field=case.field)
    value = value if case.energy.states_interact else value[..., rows]
    slope = gradient(
        case.energy, xi, X, mask=case.mask, field=case.field, backend=backend
    )[..., rows, :]  # fmt: skip
    first = [*grads(value, [xi, X], 41, create_graph=True), *grads(slope, [xi, X], 42, True)]
    second = grads(torch.cat([f[..., rows, :].flatten() for f in first[::2]]), [xi, X], 43)
    results = [value, slope]
    at_states, at_patterns = [*first[::2], second[0]], [*first[1::2], second[1]]
    for of_states, of_patterns in zip(at_states, at_patterns, strict=True):
        if of_patterns[..., ~shown, :].any():
            raise LawBroken("a hidden pattern has derivatives that are not 0")
        results += [of_states[..., rows, :], of_patterns[..., shown, :]]
    return results


def _valued(case: Case, shown: Tensor) -> list[Tensor]:
    return [case.value()]


def _of_tokens(case: Case, rows: Tensor) -> list[Tensor]:
    """As `_felt`, of an energy of the states alone, at some of them."""
    xi = case.xi.clone().requires_grad_()
    value = case.energy(xi, xi, mask=case.mask, field=case.field)
    value = value if case.energy.states_interact else value[..., rows]
    slope = gradient(case.energy, xi, xi, mask=case.mask, field=case.field)[..., rows, :]
    first = [grads(value, [xi], 41, True)[0], grads(slope, [xi], 42, True)[0]]
    second = grads(torch.cat([f[..., rows, :].flatten() for f in first]), [xi], 43)
    return [value, slope, *(f[..., rows, :] for f in [*first, *second])]


def _without(case: Case, hidden: Tensor) -> Case:
    field = None if case.field is None else case.field[..., ~hidden]
    return case.with_(X=case.X[..., ~hidden, :], field=field)


def _rows(case: Case, rows: Tensor) -> Case:
    return case.with_(xi=take(case.xi, -2, rows), field=take(case.field, -2, rows))


def _check_empty_row(case: Case) -> None:
    assert case.mask is not None
    mask = case.mask.clone()
    mask[..., 1, :] = False
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    value = case.with_(mask=mask).value()
    if not (
        torch.isfinite(value).all() and (case.energy.states_interact or not value[..., 1].any())
    ):
        raise LawBroken("a state that sees no pattern has an energy other than 0")
    for backend in quick(case.energy):
        state = two_steps(case.with_(mask=mask, xi=xi, X=X), backend)
        if not torch.equal(state[..., 1, :], xi[..., 1, :]):
            raise LawBroken(f"a state that sees no pattern moved ({backend})")
        results = torch.autograd.grad(state.square().sum(), (xi, X), materialize_grads=True)
        if not all(torch.isfinite(g).all() for g in results):
            raise LawBroken(
                f"an empty row of the mask gives gradients that are not finite ({backend})"
            )
