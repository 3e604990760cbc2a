"""Law 5: samples and heads are independent, states and patterns as far as the entry says."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, cases, draw
from attenergy.testing.laws_tokens import moved_states, take
from attenergy.testing.results import LawBroken
from attenergy.testing.steps import EXACT, distance, two_steps

_PARTS = ("xi", "X", "mask", "field")


def no_cross_talk(spec: EnergySpec) -> tuple[float, float, str]:
    """5: samples and heads are independent and the order of patterns does not matter."""
    worst = 0.0
    for case in cases(spec):
        out, value = two_steps(case), case.value()
        _check_shapes(case, out, value)
        worst = max(worst, _samples(case, out, value), _heads(case, out, value))
        if not case.energy.reads_patterns:
            worst = max(worst, *(distance(a, b) for a, b in moved_states(case, two_steps)), 0.0)
            continue
        if not case.energy.patterns_interact:
            shuffle = torch.arange(case.sizes[2]).roll(2)
            moved = {n: take(getattr(case, n), -1, shuffle) for n in ("mask", "field")}
            other = case.with_(X=take(case.X, -2, shuffle), **moved)
            worst = max(worst, distance(two_steps(other), out))
        if not case.energy.states_interact:
            worst = max(worst, _states(case, out, value))
    return worst, EXACT, "samples, heads, patterns and states exchanged, changed or left out"


def _check_shapes(case: Case, out: Tensor, value: Tensor) -> None:
    shape = case.xi.shape[: -2 if case.energy.states_interact else -1]
    if value.shape != shape or out.shape != case.xi.shape:
        raise LawBroken(f"the energy has shape {tuple(value.shape)}, not {tuple(shape)}")


def _samples(case: Case, out: Tensor, value: Tensor) -> float:
    """Exchanged, and the last ones without the others."""
    worst = 0.0
    swap = torch.arange(case.sizes[0]).flip(0)
    for samples in (swap, swap[1:]):
        moved = {n: take(getattr(case, n), 0, samples) for n in _PARTS}
        other = case.with_(**moved)
        worst = max(worst, distance(two_steps(other), out[samples]))
        worst = max(worst, distance(other.value(), value[samples]))
    return worst


def _heads(case: Case, out: Tensor, value: Tensor) -> float:
    """What a head gives when the others have other states and patterns."""
    if case.energy.num_heads is None:
        return 0.0
    fresh = case.energy.from_real(draw(51, *case.xi.shape))
    stored = draw(52, *case.X.shape) if case.energy.reads_patterns else fresh
    first = torch.arange(case.energy.num_heads) == 0
    at = first[:, None, None]
    other = case.with_(xi=torch.where(at, case.xi, fresh), X=torch.where(at, case.X, stored))
    worst = distance(two_steps(other)[:, 0], out[:, 0])
    return max(worst, distance(other.value()[:, 0], value[:, 0]))


def _states(case: Case, out: Tensor, value: Tensor) -> float:
    """The states in another order, and all but the last one, without it."""
    worst = 0.0
    order = torch.arange(case.sizes[1]).flip(0)
    for states in (order, order[1:]):
        other = case.with_(
            **{n: take(getattr(case, n), -2, states) for n in ("xi", "mask", "field")}
        )
        worst = max(worst, distance(two_steps(other), out[..., states, :]))
        worst = max(worst, distance(other.value(), value[..., states]))
    return worst
