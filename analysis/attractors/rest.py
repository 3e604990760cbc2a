"""Every state of a head iterated to rest, and what became of those that did not come to rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attenergy.attention.solvers.catalogue import SOLVERS
from attenergy.attention.solvers.convergence import at_rest
from attenergy.attention.solvers.coordinate_descent import sweep
from attenergy.attention.solvers.descent import at_once
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import default_step_size

#: What can become of a state, in the order of their numbers in `Iterated.outcome`.
OUTCOMES: Final = ("rest", "moving", "cycle", "diverged", "empty")
REST, MOVING, CYCLE, DIVERGED, EMPTY = range(len(OUTCOMES))
#: A state that is this much longer than its start and all patterns, and whose steps do not shrink,
#: has diverged.
FAR = 10.0


@dataclass(frozen=True, eq=False)
class Iterated:
    """Where states ended, (B, H, L) each.

    Attributes:
        state: (B, H, L, D).
        outcome: the place in `OUTCOMES`: at rest; still moving after all steps; going to and fro
            between two points; diverged; or empty, without any pattern to see.
        steps: whole numbers, steps taken.
    """

    state: Tensor
    outcome: Tensor
    steps: Tensor


def iterate(
    problem: Problem, xi: Tensor, *, tolerance: float = 1e-5, max_steps: int = 200
) -> Iterated:
    """Repeat the energy's step, with its entry's step size, until each state rests.

    That is the solver `fixed_point` (a sweep over the sites where the energy descends only one site
    after the other); spins are iterated too, whose energies have no derivatives at rest.

    Args:
        problem: what is descended.
        xi: (B, H, L, D), in the energy's domain.
        tolerance: a state rests when a step moves it by at most this share of its length (of
            sqrt(D) if it is shorter); not finer than 8 units of rounding of its type.
        max_steps: most steps.
    """
    tolerance = max(tolerance, 8 * torch.finfo(xi.dtype).eps)
    gamma = default_step_size(problem.energy)
    with torch.no_grad():
        rest = SOLVERS["fixed_point"].run(
            problem, xi, (gamma,), steps=max_steps, tolerance=tolerance
        )
        assert rest.converged is not None
        assert rest.steps_taken is not None
        shape = xi.shape[:-1]
        first = update(problem, rest.state)
        second = update(problem, first)
        outcome = torch.full(shape, MOVING, device=xi.device)
        back = at_rest(rest.state, second, 4 * tolerance, problem.axes)
        outcome[back.squeeze(-1).expand(shape)] = CYCLE
        far = _grows(problem, xi, rest.state, first, second)
        outcome[far] = DIVERGED
        outcome[_per_state(rest.converged, problem, shape)] = REST
        if problem.occupied is not None:
            outcome[~problem.occupied.squeeze(-1).expand(shape)] = EMPTY
    return Iterated(rest.state, outcome, _per_state(rest.steps_taken, problem, shape))


def update(problem: Problem, xi: Tensor) -> Tensor:
    """One step with the step size of the energy's entry: the map that is iterated."""
    step = sweep if problem.energy.guarantee == "sequential" else at_once
    return step(problem, xi, default_step_size(problem.energy))[1]


def no_rest(problem: Problem) -> str:
    """Why the states of a problem cannot be iterated to rest; empty if they can."""
    energy = problem.energy
    if not (energy.reads_patterns or energy.states_interact):
        return (
            f"'{energy.spec.title}' is a game: each state has an energy of its own, in which the "
            "others stand still"
        )
    return ""


def _grows(problem: Problem, xi: Tensor, state: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Which states are not finite, or far out with steps that do not shrink, (B, H, L)."""
    size = torch.linalg.vector_norm(xi, dim=-1)
    stored = torch.linalg.vector_norm(problem.X, dim=-1).amax(-1, keepdim=True)
    least = torch.full_like(size, xi.shape[-1] ** 0.5)
    size = torch.maximum(torch.maximum(size, least), stored.expand(size.shape))
    now = torch.linalg.vector_norm(first - state, dim=-1)
    later = torch.linalg.vector_norm(second - first, dim=-1)
    outside = torch.linalg.vector_norm(state, dim=-1) > FAR * size
    finite = torch.isfinite(state).all(-1)
    growing: Tensor = ~finite | (outside & ~(later < 0.999 * now))
    return growing


def _per_state(numbers: Tensor, problem: Problem, shape: torch.Size) -> Tensor:
    """One number for each state, also where states interact and rest together."""
    if problem.energy.states_interact:
        numbers = numbers.unsqueeze(-1)
    return numbers.expand(shape)
