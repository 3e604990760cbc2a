"""Relaxing many states at once to rest, and then exactly to a minimum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.analysis.landscapes.one_state import OneState

#: A state whose length exceeds the largest start's by this factor has left for infinity.
_AWAY = 1e3
#: A step is rounding, not a rise, below this share of the energies' size.
_ROUNDING = 1e-12
#: Half a difference of the numeric Hessian, as a share of the landscape's extent.
_DIFFERENCE = 1e-5
#: How far off a state is compared with others, as a share of the extent.
_AROUND = 1e-4
#: Rounds of Newton's method (fewer where a Hessian is dear), and how far one may go.
_ROUNDS, _FEW, _WIDE, _LONGEST = 30, 6, 16, 0.05
#: How often states relax again after some left a saddle, and for how many steps.
_SADDLES, _FROM_SADDLE = 4, 50


@dataclass(frozen=True, eq=False)
class Rested:
    """Where states came to rest.

    Attributes:
        states: (M, D).
        rests: (M,), whether the last full step moved the state by less than the tolerance.
        away: (M,), whether it left for infinity.
        steps: (M,), how many steps it took.
        path: (T, M, D), start and every step, if it was recorded; rested states stay.
    """

    states: Tensor
    rests: Tensor
    away: Tensor
    steps: Tensor
    path: Tensor | None = None


@torch.no_grad()
def settle(
    problem: OneState,
    starts: Tensor,
    *,
    extent: float,
    steps: int = 500,
    step_size: float | None = None,
    tolerance: float = 1e-9,
    trace: bool = False,
) -> Rested:
    """Take the energy's own steps from many starts until each state rests.

    Where theory does not promise that a step descends, a step that raised the energy is taken back
    and tried again at half its size, so every state goes downhill.

    Args:
        problem: whose energy.
        starts: (M, D), in the domain.
        extent: of the landscape; tolerances go by it.
        steps: most steps.
        step_size: the entry's if None.
        tolerance: when a state rests, as a share of the extent.
        trace: whether to record the paths.
    """
    gamma = problem.step_size if step_size is None else step_size
    promised = problem.always_descends and gamma <= problem.step_size
    states, count = starts.clone(), len(starts)
    sizes = starts.new_full((count, 1), gamma)
    taken = torch.zeros(count, dtype=torch.int64)
    rests, away = (torch.zeros(count, dtype=torch.bool) for _ in range(2))
    limit = _AWAY * max(extent, float(starts.norm(dim=-1).max()))
    path = [starts] if trace else None
    active = torch.arange(count)
    for _ in range(steps):
        here = states[active]
        d = problem.direction(here)
        new = problem.moved(here, sizes[active] * d)
        good = torch.isfinite(new).all(-1)
        if not promised:
            good &= _lower(problem, here, new)
        moved = (new - here).norm(dim=-1) * (gamma / sizes[active, 0])
        states[active] = torch.where(good[:, None], new, here)
        grown = (sizes[active] * torch.where(good, 1.5, 0.5)[:, None]).clamp(max=gamma)
        sizes[active] = grown
        taken[active] += 1
        at_rest = (good & (moved <= tolerance * extent)) | (grown[:, 0] < 1e-10 * gamma)
        gone = states[active].norm(dim=-1) > limit
        rests[active], away[active] = at_rest & ~gone, gone
        active = active[~(at_rest | gone)]
        if path is not None:
            path.append(states.clone())
        if not len(active):
            break
    return Rested(states, rests, away, taken, None if path is None else torch.stack(path))


def _lower(problem: OneState, here: Tensor, new: Tensor) -> Tensor:
    """Whether energies did not rise beyond rounding, (M,)."""
    before, after = problem.value(here), problem.value(new)
    return after <= before + _ROUNDING * before.abs().clamp_min(1.0)


@dataclass(frozen=True, eq=False)
class Curvature:
    """Slope and Hessian of the energy along the domain.

    Attributes:
        slope: (M, d), in an orthonormal basis of the tangent space.
        values: (M, d), eigenvalues of the Hessian from the smallest on.
        vectors: (M, d, d), its eigenvectors as columns, in that basis.
        basis: (M, d, D).
    """

    slope: Tensor
    values: Tensor
    vectors: Tensor
    basis: Tensor


def curvature(problem: OneState, states: Tensor, extent: float) -> Curvature:
    """Slope and Hessian of u -> E(retract(xi, -u)) at u = 0, u tangent at xi.

    The slope is exact, the Hessian a difference of slopes; 2 d gradients for d dimensions.

    Args:
        problem: whose energy.
        states: (M, D), of a domain in which all tangent spaces have the same dimension.
        extent: of the landscape.
    """
    basis = _tangents(problem, states)
    count, dim = basis.shape[:2]

    def slope(u: Tensor) -> Tensor:
        with torch.enable_grad():
            u = u.requires_grad_()
            moved = problem.moved(states, -(u.unsqueeze(-2) @ basis).squeeze(-2))
            (out,) = torch.autograd.grad(problem.value(moved).sum(), u)
        return out.detach()

    h = _DIFFERENCE * extent
    unit = h * torch.eye(dim, dtype=states.dtype)
    rows = [slope(e.repeat(count, 1)) - slope((-e).repeat(count, 1)) for e in unit]
    hessian = torch.stack(rows, -2) / (2 * h)
    values, vectors = torch.linalg.eigh((hessian + hessian.mT) / 2)
    return Curvature(slope(torch.zeros(count, dim, dtype=states.dtype)), values, vectors, basis)


def sharpen(problem: OneState, states: Tensor, extent: float) -> tuple[Tensor, Curvature]:
    """Go from where states nearly rest to minima, by Newton's method; off saddles first.

    A step is taken only if it does not raise the energy beyond rounding.

    Args:
        problem: whose energy.
        states: (M, D).
        extent: of the landscape.

    Returns:
        The states, and slope and curvature there.
    """
    states, saddles = states.clone(), 0
    for _ in range(_ROUNDS if problem.dim <= _WIDE else _FEW):
        shape = curvature(problem, states, extent)
        saddle = shape.values[:, 0] < -1e-6 * shape.values.abs().amax(-1).clamp_min(1e-9)
        with torch.no_grad():
            in_axes = (shape.slope.unsqueeze(-2) @ shape.vectors).squeeze(-2)
            # Along an axis that bends down, the way that goes down; elsewhere to the bottom.
            down = -torch.where(in_axes > 0, 1.0, -1.0) * _LONGEST * extent / 2
            steps = torch.where(shape.values > 0, -in_axes / shape.values.clamp_min(1e-9), down)
            flat = shape.values.abs() <= 1e-9
            steps = torch.where(flat, 0.0, steps)
            length = steps.norm(dim=-1, keepdim=True)
            steps = steps * (_LONGEST * extent / length.clamp_min(1e-300)).clamp(max=1.0)
            u = (shape.vectors @ steps.unsqueeze(-1)).squeeze(-1)
            new = problem.moved(states, -(u.unsqueeze(-2) @ shape.basis).squeeze(-2))
            good = torch.isfinite(new).all(-1) & _lower(problem, states, new)
            moved = torch.where(good, length[:, 0], 0.0)
            states = torch.where(good[:, None], new, states)
        if bool((moved <= 1e-12 * extent).all()):
            break
        if bool((saddle & good).any()) and saddles < _SADDLES:
            saddles += 1
            states = settle(problem, states, extent=extent, steps=_FROM_SADDLE).states
    return states, curvature(problem, states, extent)


@torch.no_grad()
def lower_nearby(problem: OneState, states: Tensor, shape: Curvature, extent: float) -> Tensor:
    """Whether the energy is lower a little way off along some axis, (M,).

    Args:
        problem: whose energy.
        states: (M, D).
        shape: slope and curvature there, whose axes are tried.
        extent: of the landscape.
    """
    here = problem.value(states)
    lower = torch.zeros(len(states), dtype=torch.bool)
    for axis in shape.basis.unbind(-2):
        for sign in (_AROUND, -_AROUND):
            there = problem.value(problem.moved(states, sign * extent * axis))
            lower |= there < here - _ROUNDING * here.abs().clamp_min(1.0)
    return lower


@torch.no_grad()
def _tangents(problem: OneState, states: Tensor) -> Tensor:
    """Orthonormal rows that span the tangent space at each state, (M, d, D)."""
    domain = problem.energy.domain
    unit = torch.eye(states.shape[-1], dtype=states.dtype)
    if not domain.tied:
        return unit.expand(len(states), *unit.shape)
    rows = torch.stack([domain.project_tangent(states, e.expand_as(states)) for e in unit], -2)
    _, sizes, directions = torch.linalg.svd(rows)
    spanning: Tensor = directions[:, : int((sizes[0] > 1e-6).sum())]
    return spanning
