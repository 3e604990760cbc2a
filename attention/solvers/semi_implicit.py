"""Semi-implicit steps: a quadratic term that couples states is solved for, not stepped along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attenergy.attention.solvers.descent import Descent
from attenergy.attention.solvers.problem import Problem
from attenergy.energies import Energy
from attenergy.registry import ArgumentError


@runtime_checkable
class QuadraticForm(Protocol):
    """What an energy has whose states are coupled by a quadratic form, besides being an energy."""

    def quadratic_form(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """M (..., L, L), positive definite, with E = 1/2 tr xi'M xi - v(xi), v convex."""


class SemiImplicit(Descent):
    r"""Steps xi <- xi - gamma M^-1 grad E for E = 1/2 tr xi'M xi - v(xi), v convex.

    With gamma = 1 the new states solve M xi_new = grad v(xi). As M is the whole quadratic part, no
    step with gamma in (0, 2) raises E, however strong the coupling; where steps that divide by a
    bound on M get shorter with it, these do not. M is factored once, at a cost of L^3/3. Damping
    and momentum are those of `Descent`.
    """

    summary = "a quadratic term that couples states is solved for, not stepped along"
    earlier_names = ("implicit",)

    def check(self, energy: Energy) -> None:
        """Check that an energy declares a quadratic part that couples its states.

        Raises:
            ValueError: it does not.
        """
        if not isinstance(energy, QuadraticForm):
            raise ArgumentError(
                f"'{energy.spec.title}' has no quadratic term between states to solve for; take "
                "the solver 'descent'",
                topic="solver",
            )

    def direction(self, problem: Problem, xi: Tensor) -> Callable[[Tensor], Tensor]:
        """The map xi -> M^-1 grad E, in at least single precision."""
        energy = problem.energy
        assert isinstance(energy, QuadraticForm)
        if not xi.shape[-2]:  # no states, so there is no form
            return problem.gradient
        form = energy.quadratic_form(xi, problem.mask)
        wide = torch.promote_types(form.dtype, torch.float32)
        factor = torch.linalg.cholesky(form.to(wide))

        def solved(state: Tensor) -> Tensor:
            slope = problem.gradient(state)
            # A state that sees nothing has no slope, no coupling, and a row of the identity in M.
            return torch.cholesky_solve(slope.to(wide), factor).to(slope.dtype)

        return solved
