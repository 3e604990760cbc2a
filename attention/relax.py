"""`relax`: the one place where states take steps down an energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from attenergy.attention.langevin import langevin
from attenergy.attention.update import Backend, all_states, check_backend, gradient
from attenergy.energies import Energy
from attenergy.registry import UnknownName

Solver = Literal["descent", "sequential", "langevin"]


@dataclass(frozen=True)
class Relaxation:
    """Where states came to rest, and how.

    Attributes:
        state: (..., L, D) after the last step.
        energies: (steps + 1, ..., L), or (steps + 1, ...) for interacting states, before the first
            and after every step; None without `trace`.
        residuals: (steps, ..., L), length of each state's preconditioned gradient before the step;
            None without `trace`.
    """

    state: Tensor
    energies: Tensor | None = None
    residuals: Tensor | None = None


def relax(  # noqa: PLR0913 - every choice of a relaxation, each with a default
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    steps: int = 1,
    step_size: float | Tensor | None = None,
    solver: Solver = "descent",
    backend: Backend = "auto",
    trace: bool = False,
    temperature: float | None = None,
    generator: torch.Generator | None = None,
) -> Relaxation:
    r"""Take steps xi <- move(xi, gamma/A grad_xi E(xi; X, h)), `steps` times.

    A is the energy's quadratic part (1 if it declares none), gamma the step size, and
    move(xi, d) = xi - d in free space (`attenergy.energies.domains` for the others). If
    E = 1/2 xi'A xi - v(xi) with v convex, no step with gamma in (0, 2) raises E, at any beta; on
    the sphere no step of any size does, if -E is convex. States are projected to the domain before
    the first step. A state that sees no pattern does not move.

    `sequential` moves one site after the other, each seeing what the ones before it did: the states
    in turn if they interact, else the components of every state. One step is one sweep. It descends
    where moving all at once need not: spins coupled in pairs, whatever the sign of the couplings.

    `langevin` draws instead of descending: xi <- xi - gamma grad E + sqrt(2 gamma T) noise, without
    A and without derivatives (`attenergy.attention.langevin`).

    Args:
        energy: what is descended.
        xi: states (..., L, D).
        X: stored patterns (..., S, D).
        mask: boolean (..., L, S), True = visible.
        field: (..., L, S).
        steps: number of steps, from 0.
        step_size: gamma; the entry's default if None.
        solver: `descent` (all at once), `sequential` (site by site) or `langevin` (with noise).
        backend: how the gradient is computed (`attenergy.attention.update`).
        trace: whether to record energies and residuals.
        temperature: T of `langevin`; 1/beta if None, for an energy with a parameter beta.
        generator: source of the randomness of `langevin`.

    Raises:
        ValueError: a shape, number or name does not fit, or an argument does not go with the
            solver.

    Source: the concave-convex procedure (Yuille and Rangarajan 2003) gives gamma = 1.
    """
    check_solver(solver)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be a whole number from 0, got {steps!r}")
    gamma = default_step_size(energy) if step_size is None else step_size
    if not isinstance(gamma, Tensor) and not gamma > 0:
        raise ValueError(f"step_size must be above 0, got {gamma}")
    check_backend(energy, backend)
    if solver == "langevin":
        eta = _noisy_step_size(gamma, field, trace, backend)
        return Relaxation(
            langevin(
                energy, xi, X, steps=steps, step_size=eta, temperature=temperature, mask=mask,
                generator=generator,
            ).state
        )  # fmt: skip
    if temperature is not None or generator is not None:
        raise ValueError(f"temperature and generator are for 'langevin', the solver is '{solver}'")
    mask, field = energy.check(xi, X, mask, field)
    xi = all_states(energy, xi, X, mask, field)
    occupied = None if mask is None else mask.any(-1, keepdim=True)
    xi = _moved(xi, energy.project(xi), occupied)
    residuals = []

    def stored(state: Tensor) -> Tensor:
        return X if energy.reads_patterns else state

    energies = [energy(xi, stored(xi), mask=mask, field=field)] if trace else []

    def direction(state: Tensor) -> Tensor:
        grad = gradient(energy, state, stored(state), mask=mask, field=field, backend=backend)
        curvature = energy.curvature(state, stored(state), mask, field)
        return grad if curvature is None else grad / curvature

    for _ in range(steps):
        first = direction(xi)
        if solver == "descent":
            xi = _moved(xi, energy.domain.move(xi, gamma * first), occupied)
        else:
            for site in _sites(energy, xi):
                moved = energy.domain.move(xi, gamma * direction(xi))
                xi = torch.where(site, _moved(xi, moved, occupied), xi)
        if trace:
            energies.append(energy(xi, stored(xi), mask=mask, field=field))
            residuals.append(torch.linalg.vector_norm(first, dim=-1))
    if not trace:
        return Relaxation(xi)
    kept = torch.stack(residuals) if residuals else xi.new_zeros(0, *xi.shape[:-1])
    return Relaxation(xi, torch.stack(energies), kept)


def check_solver(solver: str) -> None:
    """Check the name of a solver.

    Raises:
        ValueError: it is unknown; names the nearest and all known ones.
    """
    if solver not in get_args(Solver):
        raise UnknownName("solver", str(solver), get_args(Solver))


def default_step_size(energy: Energy) -> float:
    """Return gamma of the energy's entry."""
    return float(energy.spec.step_size.default)


def _noisy_step_size(
    gamma: float | Tensor, field: Tensor | None, trace: bool, backend: Backend
) -> float:
    """The step size of `langevin`; refuses what that solver does not take."""
    for name, given in (("field", field is not None), ("trace", trace)):
        if given:
            raise ValueError(f"solver 'langevin' takes no {name}")
    if backend != "auto":
        raise ValueError(f"solver 'langevin' takes no backend but 'auto', got '{backend}'")
    if isinstance(gamma, Tensor):
        raise ValueError("solver 'langevin' takes one number as step_size, got a tensor")
    return gamma


def _sites(energy: Energy, xi: Tensor) -> Iterator[Tensor]:
    """One mask after the other, (L, 1) over states or (D,) over components."""
    axis = -2 if energy.states_interact else -1
    for site in torch.eye(xi.shape[axis], dtype=torch.bool, device=xi.device):
        yield site.unsqueeze(-1) if energy.states_interact else site


def _moved(old: Tensor, new: Tensor, occupied: Tensor | None) -> Tensor:
    return new if occupied is None else torch.where(occupied, new, old)
