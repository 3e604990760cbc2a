"""Step sizes that are learned, and never leave the range in which a step is safe."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from attenergy.energies.parameters import Settled
from attenergy.registry import ArgumentError, UnknownName

Vary = Literal["shared", "per_head", "per_step", "per_head_and_step"]

_EDGE = 0.99  # largest share of the range at the start; at 1 the sigmoid would have no slope


class LearnedStepSize(Settled):
    """gamma = bound * sigmoid(raw) for an energy with a safe range (0, bound), else exp(raw).

    `raw` starts where gamma = `start`, at most 0.99 bound.

    Args:
        start: the step size to start from, above 0.
        bound: largest safe step size; None or infinity if there is no promise or no limit.
        vary: `shared`, or what has a step size of its own: `per_head`, `per_step`,
            `per_head_and_step`.
        steps: number of steps that are taken.
        num_heads: H.

    Raises:
        ValueError: unknown `vary`, no step to learn from, or a start outside the range.
    """

    def __init__(
        self, start: float, bound: float | None, *, vary: Vary, steps: int, num_heads: int
    ) -> None:
        super().__init__()
        if not isinstance(vary, str) or vary not in get_args(Vary):
            raise UnknownName("learn_step_size", str(vary), get_args(Vary))
        if steps < 1:
            raise ArgumentError(
                "no step is taken from which a step size could be learned: reading by weights "
                "moves the state steps - 1 times; take more steps, or read the state",
                topic="step-size",
            )
        self.vary = vary
        self.bound = None if bound is None or math.isinf(bound) else bound
        if self.bound is not None and start > self.bound:
            raise ArgumentError(
                f"a learned step_size stays in (0, {self.bound:g}), where no step raises this "
                f"energy; it cannot start at {start:g}",
                topic="step-size",
            )
        self.per_step = vary.endswith("step")
        heads = (num_heads, 1, 1) if "head" in vary else ()
        each = (steps,) if self.per_step else ()
        self.raw = nn.Parameter(torch.full((*each, *heads), self._inverse(start)))
        self.settle()

    def forward(self) -> Tensor | list[Tensor]:
        """One gamma, () or (H, 1, 1), or a list of them, one per step."""
        raw = self.raw
        gamma = raw.exp() if self.bound is None else self.bound * raw.sigmoid()
        return list(gamma.unbind(0)) if self.per_step else gamma

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"{self.vary}, bound={self.bound}"

    def _inverse(self, start: float) -> float:
        if self.bound is None:
            return math.log(start)
        share = min(start / self.bound, _EDGE)
        return math.log(share / (1 - share))
