"""What changes while a run is trained: enough of it to go on from there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from torch import nn

from attenergy.search.runs.config import RunConfig
from attenergy.search.training.energy_loss import EnergyLoss
from attenergy.search.training.optimizers import Optimizers


@dataclass
class Clock:
    """How much of the budget is spent: steps, or seconds of training.

    Attributes:
        steps: of the schedule.
        seconds: of training, where they are the budget.
        pause: step after which the run pauses, if it does.
        done: training steps.
        busy: seconds of training, evaluations not counted.
    """

    steps: int
    seconds: float | None
    pause: int | None = None
    done: int = 0
    busy: float = 0.0

    @property
    def last(self) -> int:
        """The step after which the run ends or pauses."""
        return self.pause or self.steps

    @property
    def position(self) -> int:
        """The step of the schedule."""
        if self.seconds is None:
            return self.done
        return min(self.steps, int(self.steps * self.busy / self.seconds))

    @property
    def over(self) -> bool:
        """Whether all of it is spent."""
        spent = self.done >= self.last if self.seconds is None else self.busy >= self.seconds
        return self.done > 0 and spent


@dataclass
class Progress:
    """What is known of a run so far, as its record will say it; it survives an exception.

    Attributes:
        continued: steps from which the run went on after an interruption.
        earlier: seconds that the run took before this process had it.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    continued: list[int] = field(default_factory=list)
    earlier: float = 0.0
    _begin: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """That the run has taken, evaluations included."""
        return self.earlier + time.perf_counter() - self._begin


@dataclass
class TrainingState:
    """A run in the middle of its training.

    Attributes:
        losses: of the steps since the last evaluation.
        energy_loss: the term of the loss on the layers' energies, if there is one.
        energies: its values of the same steps, without its weight.
    """

    config: RunConfig
    model: nn.Module
    optimizers: Optimizers
    clock: Clock
    progress: Progress
    losses: list[float] = field(default_factory=list)
    energy_loss: EnergyLoss | None = None
    energies: list[float] = field(default_factory=list)
