"""Steps of one site after the other, each seeing what the ones before it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attenergy.attention.solvers.base import Rest, Solver
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy
from attenergy.registry import ArgumentError


class CoordinateDescent(Solver):
    """Sweeps over the sites, one sweep for every step size.

    Sites are the states if they interact, else the components of every state. A sweep descends
    where moving all at once need not: spins coupled in pairs, whatever the sign of the couplings.
    """

    summary = "one site after the other, each seeing what the ones before it did"
    earlier_names = ("sequential",)
    one_by_one = True

    def check(self, energy: Energy) -> None:
        """Check that an energy has sites that move alone.

        Raises:
            ValueError: its states do not interact, and a constraint ties the components of each.
        """
        if not energy.states_interact and energy.domain.tied:
            raise ArgumentError(
                f"the components of a state of '{energy.spec.title}' are tied "
                f"({energy.spec.domain}), none moves alone; take the solver 'descent'",
                topic="solver",
            )

    def run(
        self,
        problem: Problem,
        xi: Tensor,
        gammas: Sequence[StepSize],
        record: Record | None = None,
        *,
        steps: int,
    ) -> Rest:
        """Take the sweeps; arguments as of `Descent.run`."""
        for gamma in gammas:
            direction, xi = sweep(problem, xi, gamma)
            if record is not None:
                record.step(direction, xi)
        return Rest(xi)


def sweep(problem: Problem, xi: Tensor, gamma: StepSize) -> tuple[Tensor, Tensor]:
    """One step at every site; returns the direction before the first, and the states at the end."""
    first = direction = problem.direction(xi)
    for index, site in enumerate(_sites(problem.energy, xi)):
        direction = problem.direction(xi) if index else first
        xi = torch.where(site, problem.moved(xi, gamma * direction), xi)
    if not xi.shape[-2]:  # no state has a site, but all that it depends on gets derivatives of 0
        xi = problem.moved(xi, gamma * first)
    return first, xi


def _sites(energy: Energy, xi: Tensor) -> Iterator[Tensor]:
    """One mask after the other, (L, 1) over states or (D,) over components."""
    axis = -2 if energy.states_interact else -1
    for site in torch.eye(xi.shape[axis], dtype=torch.bool, device=xi.device):
        yield site.unsqueeze(-1) if energy.states_interact else site
