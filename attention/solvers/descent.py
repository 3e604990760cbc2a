"""Steps of all states at once, with damping or momentum if asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from attenergy.attention.modules.arguments import is_number
from attenergy.attention.solvers.base import Rest, Solver
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import StepSize, scaled_step
from attenergy.attention.solvers.trace import Record
from attenergy.registry import ArgumentError


class Descent(Solver):
    r"""Steps xi <- (1 - damping) retract(xi, d) + damping xi, d <- gamma g(xi) + momentum d.

    g is the preconditioned gradient grad E / A, and d = 0 before the first step. In free space
    momentum is the heavy ball, d = gamma g - momentum (xi - xi of one step ago).

    A damped step lands between xi and where the step alone leads. Every guarantee of descent comes
    from a bound on E that is convex (on the sphere: from the distance to one point along an arc),
    so what holds at both ends holds between them: damping voids no guarantee. Momentum voids all.

    Source: Polyak 1964, doi:10.1016/0041-5553(64)90137-5 (heavy ball).
    """

    summary = "all sites at once"
    options = ("damping", "momentum")

    def direction(self, problem: Problem, xi: Tensor) -> Callable[[Tensor], Tensor]:
        """The map xi -> g(xi), for a problem and the states before the first step."""
        return problem.direction

    def run(
        self,
        problem: Problem,
        xi: Tensor,
        gammas: Sequence[StepSize],
        record: Record | None = None,
        *,
        steps: int,
        damping: float = 0.0,
        momentum: float = 0.0,
    ) -> Rest:
        """Take the steps.

        Args:
            problem: what is descended.
            xi: states (..., L, D) in the energy's domain.
            gammas: a step size for every step.
            record: where steps are written down.
            steps: as many as `gammas`.
            damping: share of the old state in the new one, in [0, 1).
            momentum: share of the last step that is taken again, in [0, 1).

        Raises:
            ValueError: damping or momentum out of range, or damping of spins, which have no
                between.
        """
        for name, share in (("damping", damping), ("momentum", momentum)):
            if not is_number(share) or not 0 <= share < 1:
                raise ArgumentError(f"{name} must lie in [0, 1), got {share}", topic="solver")
        if damping and problem.energy.domain.discrete:
            raise ArgumentError(
                f"'{problem.energy.spec.title}' has spins, which cannot be damped", topic="solver"
            )
        direction = self.direction(problem, xi)
        d = None
        for gamma in gammas:
            slope = direction(xi)
            step = scaled_step(gamma, slope)
            d = step if d is None or not momentum else step + momentum * d
            new = problem.moved(xi, d)
            if damping:
                mixed = problem.energy.project((1.0 - damping) * new + damping * xi)
                new = problem.where_occupied(xi, mixed)
            xi = new
            if record is not None:
                record.step(slope, xi)
        return Rest(xi)


def at_once(problem: Problem, xi: Tensor, gamma: StepSize) -> tuple[Tensor, Tensor]:
    """One plain step; returns its direction and the states after it."""
    direction = problem.direction(xi)
    return direction, problem.moved(xi, scaled_step(gamma, direction))
