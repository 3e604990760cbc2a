"""Law 9: an energy that falls without bound says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from attenergy.energies import Domain, domain_of, guarantee_of
from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, build, draw, random_case, settings_of, wide_cases
from attenergy.testing.results import WARNING, LawBroken
from attenergy.testing.sweeps import betas, parameter_sweep

#: Distances from the origin at which the energy is looked at.
FAR = tuple(10.0 ** (3 + step / 2) for step in range(8))
_DIRECTIONS = 32
_TURNS = 8


def bounded(spec: EnergySpec) -> tuple[float, float, str] | str:
    """9: far from the origin the energy does not fall on and on.

    Looked at along random directions, along the patterns and where the energy is least, for every
    value of a parameter that law 4 looks at. An entry that falls without bound passes no more than
    a warning; if it promises that steps descend, they run away, and its `doc` must say "unbounded".
    """
    if _is_bounded(domain_of(spec)):
        return 0.0, 0.0, f"the domain '{spec.domain}' is bounded"
    for case, settings in _looked_at(spec):
        if not _falls(case):
            continue
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        what = f"{WARNING}the energy falls without bound" + (f" at {shown}" if shown else "")
        if guarantee_of(spec) != "none" and "unbounded" not in spec.doc.lower():
            raise LawBroken(
                f"{what}, and the entry promises that steps descend; let its doc say 'unbounded'"
            )
        return f"{what}; states may run away"
    return 0.0, 0.0, "the energy far from the origin"


def _looked_at(spec: EnergySpec) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Problems, and what is set in each: settings and parameters; then many patterns."""
    for settings in (*settings_of(spec), *betas(spec), *parameter_sweep(spec)):
        yield random_case(build(spec, **settings)), settings
    yield from wide_cases(spec)


def _is_bounded(domain: Domain) -> bool:
    """Whether what lies far out is put no further out than what lies near."""
    along = _unit(draw(62, _DIRECTIONS, 8))
    near, far = (domain.project(distance * along).abs().amax() for distance in (FAR[0], FAR[-1]))
    return bool(far < 2 * near)


def _falls(case: Case) -> bool:
    """Whether the energy still falls at the last distances, in some direction."""
    along, X = _directions(case)
    path = torch.stack([_energy(case, far * along, X).detach() for far in FAR])
    return bool(falls_on(path).any())


def falls_on(path: Tensor) -> Tensor:
    """Where energies (distances, ...) at the distances `FAR` still fall at the last of them.

    From each to the next as much as before or more, as a logarithm does; or, over the last four of
    them, at least three times as much, as what begins to fall far out does. What approaches a limit
    or goes up and down does not.

    Example:
        >>> far = torch.tensor(FAR)
        >>> falls_on(torch.stack([-far.log(), -1/far, far, far**2 - 1e-9 * far**4], -1))
        tensor([ True, False, False,  True])
    """
    fall = path[:-1] - path[1:]
    lasting = (fall[1:] > 0.9 * fall[:-1]) & (fall[:-1] > 0.01)
    steady = lasting | (path[2:] == -torch.inf) | path[2:].isnan()
    growing = (fall[1:] > 3 * fall[:-1]) & (fall[:-1] > 1)
    return steady.all(0) | growing[-2:].all(0)


def _directions(case: Case) -> tuple[Tensor, Tensor]:
    """Directions (directions, ..., L, D) of length 1 for the states, and the patterns (1, ...)."""
    X, states = case.X[:1], case.xi.shape[1:]
    each = X.movedim(-2, 0).squeeze(1).unsqueeze(-2)  # a pattern for all states at a time
    each = torch.cat([each, X.mean(-2, keepdim=True)]).expand(-1, *states)
    along = _unit(torch.cat([draw(61, _DIRECTIONS, *states), each, -each]))
    turned, angle = along, torch.full_like(along[..., :1], 0.5)
    for _ in range(_TURNS):  # down the energy at a fixed distance
        at = (FAR[0] * turned).requires_grad_()
        before = _energy(case, at, X)
        (slope,) = torch.autograd.grad(before.sum(), at)
        slope = slope - (slope * turned).sum(-1, keepdim=True) * turned
        trial = _unit(turned - angle * _unit(slope.nan_to_num(0.0, 0.0, 0.0)))
        lower = _energy(case, FAR[0] * trial, X) < before
        lower = lower.reshape(*lower.shape, *(1,) * (trial.ndim - lower.ndim))
        turned, angle = torch.where(lower, trial, turned), torch.where(lower, angle, angle / 2)
    return torch.cat([along, turned]), X


def _energy(case: Case, xi: Tensor, X: Tensor) -> Tensor:
    """The energy; one that reads no patterns reads the states in their place."""
    stored = X.expand(len(xi), *X.shape[1:]) if case.energy.reads_patterns else xi
    value: Tensor = case.energy(case.energy.project(xi), stored)
    return value


def _unit(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.clamp_min(1e-30)
