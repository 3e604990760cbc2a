r"""Whether there is something to learn: the patterns and the state decide the update together.

The updates u of every state with every set of patterns are split as in an analysis of variance,

    u(xi_l; X_b) = mean + f(xi_l) + g(X_b) + r(xi_l, X_b),

and r/|u|, the part that no sum of a part for the state and one for the patterns explains, must not
vanish: without it a state cannot choose among patterns. The part of the derivative of u by xi that
depends on the patterns says whether a gradient reaches the queries through them, and the derivative
by X whether one reaches the keys.

Weights are how much the update changes if one pattern is hidden. They must be neither all on one
pattern nor equal at every setting in the search range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attenergy.search.discovery.filters.evaluate import energy_of, update_of
from attenergy.search.discovery.filters.probes import probes
from attenergy.search.discovery.filters.subject import Subject

#: Least share of the update that state and patterns decide together; softmax has 0.3 to 0.6.
_LEAST_SHARE = 0.01
#: Least share of derivatives: a piecewise constant update has none, rounding gives about 1e-16.
_LEAST_SLOPE = 1e-3
#: Sharpness (0: all patterns count alike, 1: one alone) that counts as one-hot and as uniform.
_ONE_HOT, _UNIFORM = 0.995, 0.01
#: Least and largest root mean square of the update at the first setting, for states of length 1.
_SIZES = (1e-4, 1e4)


def has_signal(subject: Subject) -> str:
    """The reason why nothing can be learned, or nothing."""
    settings = subject.settings
    update, by_state, by_patterns = _derivatives(subject, settings)
    size = update.square().mean((1, 2, 3)).sqrt()
    first = float(size[0])
    if not math.isfinite(first):
        return "the update is not finite at the first setting"
    size = size.nan_to_num(math.inf, math.inf)  # where it is none, no share of it counts
    if not _SIZES[0] < first < _SIZES[1]:
        return f"the update is {first:.2g} at the first setting, not of the order of 1"
    if not (torch.isfinite(by_state[0]).all() and torch.isfinite(by_patterns[0]).all()):
        return "the derivative of the update is not finite at the first setting"
    by_state, by_patterns = by_state.nan_to_num(), by_patterns.nan_to_num()
    share = _together(update) / size.clamp_min(1e-30)
    if float(share.nan_to_num().max()) < _LEAST_SHARE:
        return "state and patterns do not act together: a state cannot choose among patterns"
    by_state = by_state - by_state.mean(1, keepdim=True)  # what depends on the patterns
    if float((by_state.square().mean((1, 2, 3)).sqrt() / size).max()) < _LEAST_SLOPE:
        return "no gradient reaches the queries through the patterns"
    if float((by_patterns.square().mean((1, 2, 3)).sqrt() / size).max()) < _LEAST_SLOPE:
        return "no gradient reaches the keys"
    sharp = _sharpness(subject, settings, update)
    usable = (sharp > _UNIFORM) & (sharp < _ONE_HOT)
    if not usable.any():
        words = "on one pattern alone" if float(sharp.max()) >= _ONE_HOT else "equal"
        return f"the weights of the patterns are {words} at every setting"
    return ""


def _derivatives(subject: Subject, settings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Updates (P, B, L, D), and the derivatives of a projection of them by states and patterns."""
    at = probes()
    xi = at.xi.expand(len(settings), len(at.X), *at.xi.shape[1:]).clone().requires_grad_()
    X = at.X.expand(len(settings), *at.X.shape).clone().requires_grad_()
    with torch.enable_grad():
        energy = energy_of(subject.tree, subject.family.values(settings, xi, X))
        slope = torch.zeros_like(xi, requires_grad=False)
        if energy.requires_grad:
            (slope,) = torch.autograd.grad(
                energy.sum(), xi, create_graph=True, materialize_grads=True
            )
        if not slope.requires_grad:
            return -slope, torch.zeros_like(xi), torch.zeros_like(X)
        along = torch.linspace(0.5, 1.5, xi.shape[-1], dtype=xi.dtype, device="cpu")
        by_state, by_patterns = torch.autograd.grad(
            (slope * along).sum(), (xi, X), materialize_grads=True
        )
    return -slope.detach(), by_state, by_patterns


def _together(field: Tensor) -> Tensor:
    """Root mean square (P,) of what is no sum of a part of the state and one of the patterns."""
    by_set, by_state = field.mean(2, keepdim=True), field.mean(1, keepdim=True)
    rest = field - by_set - by_state + field.mean((1, 2), keepdim=True)
    return rest.square().mean((1, 2, 3)).sqrt()


def _sharpness(subject: Subject, settings: Tensor, update: Tensor) -> Tensor:
    """1 - (effective number of patterns - 1)/(N - 1) at each setting (P,), mean of all states."""
    at = probes()
    count = at.X.shape[-2]
    shape = (count, len(settings), len(at.X), *at.xi.shape[1:])
    mask = ~torch.eye(count, dtype=torch.bool, device="cpu").reshape(count, 1, 1, 1, count)
    values = subject.family.values(settings, at.xi.expand(shape), at.X)
    without = update_of(subject.tree, values, mask.expand(*shape[:-1], count))[1]
    change = torch.linalg.vector_norm(update - without, dim=-1)
    shares = change / change.sum(0).clamp_min(1e-30)
    effective = 1.0 / shares.square().sum(0).clamp_min(1e-30)
    sharp = 1.0 - (effective.clamp(1.0, count) - 1.0) / (count - 1.0)
    averaged: Tensor = sharp.mean((-2, -1))
    return averaged
