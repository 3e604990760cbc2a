"""What is written down while states move."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.solvers.problem import Problem


class Record:
    """States, energies, residuals and entropies, one after the other.

    Args:
        problem: what is relaxed.
        xi: states (..., L, D) before the first step.
    """

    def __init__(self, problem: Problem, xi: Tensor) -> None:
        self._problem = problem
        self._states: list[Tensor] = [xi]
        self._lengths: list[Tensor] = []

    def step(self, direction: Tensor, xi: Tensor) -> None:
        """Add the direction of a step (..., L, D) and the states after it."""
        self._lengths.append(torch.linalg.vector_norm(direction, dim=-1))
        self._states.append(xi)

    def states(self) -> Tensor:
        """(steps + 1, ..., L, D)."""
        return torch.stack(self._states)

    def energies(self) -> Tensor:
        """(steps + 1, ..., L), or (steps + 1, ...) for interacting states."""
        return torch.stack([self._problem.value(xi) for xi in self._states])

    def residuals(self) -> Tensor:
        """(steps, ..., L)."""
        first = self._states[0]
        return (
            torch.stack(self._lengths) if self._lengths else first.new_zeros(0, *first.shape[:-1])
        )

    def entropies(self) -> Tensor | None:
        """(steps + 1, ..., L); None if the energy has no weights."""
        if not self._problem.energy.has_weights:
            return None
        return torch.stack([_entropy(self._problem.weights(xi)) for xi in self._states])


def _entropy(weights: Tensor) -> Tensor:
    """-sum_n p_n log p_n of the shares p = |w|/sum |w|; 0 where all weights are 0."""
    sizes = weights.abs()
    total = sizes.sum(-1, keepdim=True)
    shares = sizes / torch.where(total > 0, total, 1.0)
    entropy: Tensor = torch.special.entr(shares).sum(-1)
    return entropy
