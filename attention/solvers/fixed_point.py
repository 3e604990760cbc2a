"""Steps until every sample rests, and derivatives by the implicit function theorem."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attenergy.attention.gradients.chunked import autocast_now
from attenergy.attention.modules.arguments import check_from_zero
from attenergy.attention.solvers.base import ImplicitGradient, Rest, Solver
from attenergy.attention.solvers.conjugate_gradients import conjugate_gradients
from attenergy.attention.solvers.convergence import at_rest
from attenergy.attention.solvers.coordinate_descent import CoordinateDescent, sweep
from attenergy.attention.solvers.descent import at_once
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy
from attenergy.registry import ArgumentError

#: Largest number of iterations for a system with the Hessian.
ITERATIONS = 200
#: Most steps, if nobody says otherwise.
MOST_STEPS = 100


class UnsolvedGradient(RuntimeWarning):
    """Some samples got the derivative of one step in place of that of their fixed point."""


class FixedPoint(Solver):
    r"""Repeat a step until it moves a sample by at most tolerance * max(|xi|, sqrt(n)), n its size.

    The step is that of `Descent`, or a sweep of `CoordinateDescent` if the energy descends only one
    site after the other. A sample that rests is left alone: its numbers depend on no other.

    At rest grad E = 0 along the domain, whatever the step and the start were, so with H the Hessian

        d xi*/d theta = -H^-1 d(grad E)/d theta,

    and backward solves H w = u by conjugate gradients (on the sphere and the like within the
    tangent space, with the multiplier of the constraint in H). The memory needed is that of one
    gradient, for any number of steps. Start and step size get derivatives of 0. A sample that has
    not come to rest, or whose system is not solved, as at a saddle, gets the derivative of one
    step, with a warning. Second derivatives are not there.

    Stopping looks at numbers, so neither `vmap` nor a compiled full graph goes through.

    Source: Bai et al. 2019, arXiv:1909.01377, with a symmetric Jacobian.
    """

    summary = "steps until each sample rests, with derivatives at the fixed point"
    options = ("tolerance",)
    rests = True
    default_steps = MOST_STEPS
    one_step_size = True
    one_by_one = True  # where the energy needs it

    def check(self, energy: Energy) -> None:
        """Check that an energy has fixed points with derivatives.

        Raises:
            ValueError: its states are spins, or it is a game (none of all states together), or it
                would have to move components one by one that cannot move alone.
        """
        if energy.domain.discrete:
            raise ArgumentError(
                f"'{energy.spec.title}' has spins, which have no derivatives; take the solver "
                "'coordinate_descent'",
                topic="solver",
            )
        if not (energy.reads_patterns or energy.states_interact):
            raise ArgumentError(
                f"'{energy.spec.title}' is no energy of all states: there is no Hessian",
                topic="solver",
            )
        if energy.guarantee == "sequential":
            CoordinateDescent().check(energy)

    def run(
        self,
        problem: Problem,
        xi: Tensor,
        gammas: Sequence[StepSize],
        record: Record | None = None,
        *,
        steps: int,
        tolerance: float = 1e-6,
    ) -> Rest:
        """Take the steps.

        Args:
            problem: what is descended.
            xi: states (..., L, D) in the energy's domain.
            gammas: the step size of all steps, alone.
            record: where steps are written down.
            steps: most steps.
            tolerance: when a sample rests, from 0.

        Raises:
            ValueError: the tolerance is out of range.
        """
        check_from_zero("tolerance", tolerance)
        (gamma,) = gammas
        step = sweep if problem.energy.guarantee == "sequential" else at_once
        start, xi = xi, xi.detach()
        with torch.no_grad():
            shape = [1 if i - xi.ndim in problem.axes else n for i, n in enumerate(xi.shape)]
            converged = torch.zeros(shape, dtype=torch.bool, device=xi.device)
            taken = torch.zeros(shape, dtype=torch.int64, device=xi.device)
            for _ in range(steps):
                direction, new = step(problem, xi, gamma)
                new = torch.where(converged, xi, new)
                rests = at_rest(xi, new, tolerance, problem.axes)
                xi, taken, converged = new, taken + ~converged, converged | rests
                if record is not None:
                    record.step(direction, xi)
                if bool(converged.all()):
                    break
        report = None
        if torch.is_grad_enabled():
            report = ImplicitGradient()
            slope = problem.tangent(xi, problem.gradient(xi))
            cast = autocast_now(xi.device.type)
            system = _System(problem, xi, converged, tolerance_of(xi), report, cast)
            attached: Tensor = _Attach.apply(start, xi, slope, system)  # type: ignore[no-untyped-call]
            xi = problem.where_occupied(start, attached)
        return Rest(xi, converged.squeeze(problem.axes), taken.squeeze(problem.axes), report)


def tolerance_of(xi: Tensor) -> float:
    """The share of the right-hand side that may be left of a system with the Hessian."""
    return float(torch.finfo(xi.dtype).eps ** 0.75)


@dataclass(frozen=True)
class _System:
    """H w = u at a fixed point, and what became of it."""

    problem: Problem
    xi: Tensor
    converged: Tensor
    tolerance: float
    report: ImplicitGradient
    autocast: torch.autocast

    def solve(self, u: Tensor) -> Tensor:
        """The derivative of the loss by grad E, from its derivative u by the fixed point."""
        with self.autocast:  # as it was forward, wherever the backward pass is called from
            return self._solved(u)

    def _solved(self, u: Tensor) -> Tensor:
        xi, problem = self.xi, self.problem

        def slope(state: Tensor) -> Tensor:
            return problem.tangent(state, problem.gradient(state))

        # H is symmetric, so the product with a vector from the left is that from the right.
        grad, pull = torch.func.vjp(slope, xi)[:2]

        def times(v: Tensor) -> Tensor:
            return problem.tangent(xi, pull(v)[0])

        # Without derivatives a system of states that see nothing is 0 = 0, and solved.
        target = problem.tangent(xi, problem.where_occupied(torch.zeros_like(u), u))
        solution = conjugate_gradients(
            times, target, problem.axes, tolerance=self.tolerance, most=ITERATIONS
        )
        solved = solution.solved & self.converged
        self.report.solved = solved.squeeze(problem.axes)
        self.report.iterations = solution.iterations.squeeze(problem.axes)
        if bool(solved.all()):
            return -solution.x
        warnings.warn(
            "some samples have not come to rest, or at no strict minimum; their derivative is that "
            "of one step (see `Relaxation.gradient`)",
            UnsolvedGradient,
            stacklevel=2,
        )
        return torch.where(solved, -solution.x, self.one_step(grad, u))

    def one_step(self, grad: Tensor, u: Tensor) -> Tensor:
        """The derivative of the loss by grad E if the fixed point were one step with gamma = 1."""
        xi, problem = self.xi, self.problem
        pull = torch.func.vjp(lambda g: problem.moved(xi, problem.scaled(xi, g)), grad)[1]
        pulled: Tensor = pull(u)[0]
        return pulled


class _Attach(torch.autograd.Function):
    """The fixed point, with derivatives that reach everything through grad E."""

    @staticmethod
    def forward(start: Tensor, xi: Tensor, slope: Tensor, system: _System) -> Tensor:
        return xi.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.system = inputs[-1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, None, Tensor, None]:
        return torch.zeros_like(u), None, ctx.system.solve(u), None
