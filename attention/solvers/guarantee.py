"""Whether steps keep to the terms under which theory promises that they never raise the energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.energies import Energy


@dataclass(frozen=True)
class Promise:
    """The terms under which steps were taken.

    Attributes:
        energy: what was descended.
        solver: name of the solver.
        gammas: the step sizes.
        momentum: whether steps carried momentum.
    """

    energy: Energy
    solver: str
    gammas: Sequence[StepSize]
    momentum: bool = False

    def objection(self) -> str:
        """Why nothing is promised; empty if it is promised that no step raised the energy.

        Looks at the step sizes, which synchronises if they are tensors on an accelerator.
        """
        spec, largest = self.energy.spec, self.energy.largest_step_size()
        if self.solver == "langevin":
            return "noise raises the energy as often as not"
        if largest is None:
            return f"'{spec.title}' promises no descent"
        if self.momentum:
            return "steps with momentum may raise the energy"
        if self.solver == "descent" and self.energy.guarantee == "sequential":
            return f"'{spec.title}' descends one site after the other, not all at once"
        outside = [gamma for gamma in self.gammas if not _within(gamma, largest)]
        if outside:
            shown = "a tensor" if isinstance(outside[0], Tensor) else f"{outside[0]:g}"
            return f"step sizes from 0 to {largest:g} are safe, {shown} is not among them"
        return ""


def _within(gamma: StepSize, largest: float) -> bool:
    inside = (gamma > 0) & (gamma <= largest) if isinstance(gamma, Tensor) else gamma <= largest
    return bool(inside.all()) if isinstance(inside, Tensor) else inside
