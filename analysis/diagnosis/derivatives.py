"""What is seen of a head through derivatives: curl, the factor of a step, the query's signal.

`B` batch, `H` heads, `L` states, `S` stored patterns, `D` width of a head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from attenergy.analysis.calls import AttentionCall
from attenergy.analysis.diagnosis.linear_maps import (
    LinearMap,
    asymmetry,
    random_signs,
    spectral_norm,
)
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.relax import take_steps
from attenergy.attention.solvers.step_sizes import StepSize, scaled_step

#: Samples and states of each that derivatives are taken of; probes and iterations.
SAMPLES, STATES, PROBES, ITERATIONS = 2, 48, 4, 8
#: Solvers whose step is the plain one, xi - gamma/A grad E, as far as derivatives go.
_PLAIN = ("descent", "fixed_point", "langevin")


def some_states(call: AttentionCall, generator: torch.Generator) -> tuple[Problem, Tensor, Tensor]:
    """A smaller problem, of a few samples and states, with their first and last states.

    Where states interact, or are their own patterns, all states of a sample stay together.
    """
    problem, relaxation = call.problem, call.relaxation
    assert problem is not None
    assert relaxation is not None
    assert relaxation.states is not None
    start, end = relaxation.states[0], relaxation.state
    batch, length = start.shape[0], start.shape[-2]
    apart = problem.energy.reads_patterns and not problem.energy.states_interact
    rows = torch.arange(length)
    if apart and length > STATES:
        rows = torch.randperm(length, generator=generator)[:STATES].sort().values
    rows = rows.to(start.device)

    def some(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        value = _samples(value, batch)
        by_state = len(rows) < length and value.shape[-2] == length
        return value.index_select(-2, rows) if by_state else value

    def state(value: Tensor) -> Tensor:
        value = value[:SAMPLES]
        return value.index_select(-2, rows) if len(rows) < length else value

    smaller = dataclasses.replace(
        problem,
        X=_samples(problem.X, batch),
        mask=some(problem.mask),
        field=some(problem.field),
        opened=some(problem.opened),
        occupied=some(problem.occupied),
        backend="scores" if problem.energy.has_closed_form else "eager",
    )
    return smaller, state(start).detach(), state(end).detach()


def _samples(value: Tensor, batch: int) -> Tensor:
    """A few samples of what has one part for each."""
    return value[:SAMPLES] if value.ndim == 4 and value.shape[0] == batch else value


def curl_of_update(problem: Problem, xi: Tensor, generator: torch.Generator) -> Tensor:
    """(H,): |J - J'| / |J| of the gradient at states xi."""
    jacobian = LinearMap(problem.gradient, xi)
    axes = tuple(i for i in range(xi.ndim) if i != xi.ndim - 3)
    return asymmetry(jacobian, xi, generator, probes=PROBES, axes=axes)


def factors(
    problem: Problem, xi: Tensor, gamma: StepSize, solver: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Median and 95th percentile (H,) of the spectral norm of a step's Jacobian at states xi."""
    jacobian = LinearMap(step_of(problem, gamma, solver), xi)
    norms = spectral_norm(jacobian, xi, generator, steps=ITERATIONS, axes=problem.axes)
    heads = norms.movedim(1, 0).flatten(1).double()
    return heads.quantile(0.5, dim=1), heads.quantile(0.95, dim=1)


def step_of(problem: Problem, gamma: StepSize, solver: str) -> Callable[[Tensor], Tensor]:
    """One step as a function of the states."""
    if solver in _PLAIN:
        return lambda xi: problem.moved(xi, scaled_step(gamma, problem.direction(xi)))
    return lambda xi: take_steps(problem, xi, 1, gamma, solver=solver, trace=False).state


def signal(
    layer: EnergyLayer | None, problem: Problem, start: Tensor, generator: torch.Generator
) -> Tensor:
    """(H,): (|dr/dxi| |xi|) / (|dr/dX| |X|), r what a head reads of its patterns from states xi.

    r = w X by the weights of the last state, or that state itself; |dr/d.| is the length of the
    gradient of r'u, u of random signs. Multiplied by |xi| and |X| it says how much r changes if
    the states, or the patterns, change by a share of themselves; so it has no unit.

    Args:
        layer: that moves the states; None where the reading is the only step.
        problem: with the patterns.
        start: states before the first move.
        generator: of u.
    """
    with torch.enable_grad():
        xi = start.clone().requires_grad_()
        X = problem.X.detach().clone().requires_grad_()
        moved = dataclasses.replace(problem, X=X)
        state = xi
        if layer is not None and layer.moves:
            state = layer.moved(moved, xi, False).state
        by_state = layer is not None and layer.read == "state"
        read = state if by_state else moved.weights(state) @ X
        slopes = torch.autograd.grad(
            read, (xi, X), random_signs(read, generator), allow_unused=True
        )
    of_states, of_patterns = (
        _relative(slope, value) for slope, value in zip(slopes, (xi, X), strict=True)
    )
    return torch.where(of_patterns > 0, of_states / of_patterns.clamp_min(1e-30), torch.nan)


def _relative(slope: Tensor | None, value: Tensor) -> Tensor:
    """(H,): the length of a gradient times that of what it is taken by."""
    axes = tuple(i for i in range(value.ndim) if i != value.ndim - 3)
    if slope is None:
        slope = torch.zeros_like(value)
    size: Tensor = torch.linalg.vector_norm(slope, dim=axes)
    length: Tensor = torch.linalg.vector_norm(value.detach(), dim=axes)
    return size * length
