"""Implicit steps: a quadratic term that couples states is solved for, not stepped along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attenergy.attention.solvers.descent import descent
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy
from attenergy.registry import ArgumentError


@runtime_checkable
class QuadraticForm(Protocol):
    """What an energy has whose states are coupled by a quadratic form, besides being an energy."""

    def quadratic_form(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """M (..., L, L), positive definite, with E = 1/2 tr xi'M xi - v(xi), v convex."""


def implicit(
    problem: Problem,
    xi: Tensor,
    gammas: Sequence[StepSize],
    record: Record | None = None,
    *,
    damping: float = 0.0,
    momentum: float = 0.0,
) -> Tensor:
    r"""Take steps xi <- xi - gamma M^-1 grad E for E = 1/2 tr xi'M xi - v(xi), v convex.

    With gamma = 1 the new states solve M xi_new = grad v(xi). As M is the whole quadratic part, no
    step with gamma in (0, 2) raises E, however strong the coupling; where steps that divide by a
    bound on M get shorter with it, these do not. M is factored once, at a cost of L^3/3.

    Args:
        problem: what is descended.
        xi: states (..., L, D).
        gammas: a step size for every step.
        record: where steps are written down.
        damping: as for `descent`.
        momentum: as for `descent`.

    Raises:
        ValueError: the energy has no such part, or damping or momentum is out of range.
    """
    check_quadratic_form(problem.energy)
    return descent(
        problem, xi, gammas, record,
        direction=_solved(problem, xi), damping=damping, momentum=momentum,
    )  # fmt: skip


def check_quadratic_form(energy: Energy) -> None:
    """Check that an energy declares a quadratic part that couples its states.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(energy, QuadraticForm):
        raise ArgumentError(
            f"'{energy.spec.title}' has no quadratic term between states to solve for; take the "
            "solver 'descent'"
        )


def _solved(problem: Problem, xi: Tensor) -> Callable[[Tensor], Tensor]:
    """The map xi -> M^-1 grad E, in at least single precision."""
    energy = problem.energy
    assert isinstance(energy, QuadraticForm)
    if not xi.shape[-2]:  # no states, so there is no form
        return problem.gradient
    form = energy.quadratic_form(xi, problem.mask)
    wide = torch.promote_types(form.dtype, torch.float32)
    factor = torch.linalg.cholesky(form.to(wide))

    def direction(state: Tensor) -> Tensor:
        slope = problem.gradient(state)
        # A state that sees nothing has no slope, no coupling, and a row of the identity in M.
        return torch.cholesky_solve(slope.to(wide), factor).to(slope.dtype)

    return direction
