"""The terms of a relaxation, by which theory guarantees that no step raises the energy, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.energies import Energy


@dataclass(frozen=True)
class Terms:
    """What the guarantee of a relaxation depends on; every method returns what is wrong, or "".

    Attributes:
        energy: what was descended.
        gammas: the step sizes.
        momentum: whether steps carried momentum.
    """

    energy: Energy
    gammas: Sequence[StepSize]
    momentum: bool = False

    def energy_descends(self) -> str:
        """Whether its entry knows of steps that never raise the energy."""
        if self.energy.guarantee == "none":
            return f"'{self.energy.spec.title}' promises no descent"
        return ""

    def energy_descends_at_once(self) -> str:
        """Whether they may move all sites at once."""
        if self.energy.guarantee == "sequential":
            return f"'{self.energy.spec.title}' descends one site after the other, not all at once"
        return ""

    def free_of_momentum(self) -> str:
        """Whether no step carried on an earlier one."""
        return "steps with momentum may raise the energy" if self.momentum else ""

    def step_sizes_are_safe(self) -> str:
        """Whether they lie in the safe range; synchronises if they are on an accelerator."""
        largest = self.energy.domain.largest_step
        outside = [gamma for gamma in self.gammas if not _within(gamma, largest)]
        if not outside:
            return ""
        shown = "a tensor" if isinstance(outside[0], Tensor) else f"{outside[0]:g}"
        return f"step sizes from 0 to {largest:g} are safe, {shown} is not among them"


def _within(gamma: StepSize, largest: float) -> bool:
    inside = (gamma > 0) & (gamma <= largest) if isinstance(gamma, Tensor) else gamma <= largest
    return bool(inside.all()) if isinstance(inside, Tensor) else inside
