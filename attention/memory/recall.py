"""Repeat a step until each sample rests, without one sample touching another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.attention.solvers.convergence import at_rest


@dataclass(frozen=True)
class Recall:
    """What was recalled; a sample is a state, or all states together if they interact.

    Attributes:
        state: (..., D) after each sample's last step.
        steps_taken: (...), whole numbers; the last of them moved nothing if `converged`.
        converged: (...), whether the sample came to rest.
        cycling: (...), whether the sample goes back and forth between two states, as parallel
            updates may; `state` is one of them.
        energies: (steps + 1, ...) before the first and after every step; None without `trace`.
        residuals: (steps, ...), how far each step moved the sample, 0 after it has stopped; None
            without `trace`.

    Example:
        >>> memory = attenergy.AssociativeMemory("lse", beta=8.0).store(torch.eye(4))
        >>> recalled = memory.recall(torch.eye(4)[:2] + 0.1)
        >>> recalled.state.round(decimals=1)
        tensor([[1., 0., 0., 0.],
                [0., 1., 0., 0.]])
        >>> recalled.converged
        tensor([True, True])
    """

    state: Tensor
    steps_taken: Tensor
    converged: Tensor
    cycling: Tensor
    energies: Tensor | None = None
    residuals: Tensor | None = None


class Samples(NamedTuple):
    """States with what is known of them.

    Attributes:
        state: (n, D) or, for interacting states, (n, L, D).
        energy: (n,).
        scores: X xi (n, S), if the energy reads no more of the state and they are needed.
    """

    state: Tensor
    energy: Tensor
    scores: Tensor | None = None

    def take(self, rows: Tensor) -> Samples:
        """Some of the samples."""
        scores = None if self.scores is None else self.scores[rows]
        return Samples(self.state[rows], self.energy[rows], scores)

    def put(self, rows: Tensor, new: Samples) -> Samples:
        """All samples, some of them replaced."""
        scores = self.scores
        if scores is not None and new.scores is not None:
            scores = scores.index_copy(0, rows, new.scores)
        return Samples(
            self.state.index_copy(0, rows, new.state),
            self.energy.index_copy(0, rows, new.energy),
            scores,
        )


#: (samples, number of the step) -> samples after the step.
Step = Callable[[Samples, int], Samples]


def settle(
    samples: Samples, step: Step, steps: int, *, tolerance: float = 0.0, trace: bool = False
) -> Recall:
    """Take steps, each sample until one moves it by at most tolerance * max(|xi|, sqrt(D)).

    A sample also stops where it was two steps ago: it would go back and forth for ever.

    Args:
        samples: where to start.
        step: what is repeated; it must treat every sample alone.
        steps: how often at most.
        tolerance: when a sample rests, from 0.
        trace: whether to record energies and moves.
    """
    before = samples.state
    count, axes = len(before), tuple(range(1, before.ndim))
    taken = torch.zeros(count, dtype=torch.int64, device=before.device)
    converged, cycling = taken > 0, taken > 0
    energies = samples.energy.expand(steps + 1, count).clone() if trace else None
    residuals = before.new_zeros(steps, count) if trace else None
    for index in range(steps):
        rows = (~converged & ~cycling).nonzero().squeeze(-1)
        if not len(rows):
            break
        old = samples.take(rows)
        new = step(old, index)
        moved = torch.linalg.vector_norm((new.state - old.state).flatten(1), dim=-1)
        rests = at_rest(old.state, new.state, tolerance, axes).flatten()
        returns = (new.state == before[rows]).flatten(1).all(-1) & ~rests
        before = before.index_copy(0, rows, old.state)
        samples = samples.put(rows, new)
        taken[rows] += 1
        converged[rows], cycling[rows] = rests, returns
        if energies is not None and residuals is not None:
            energies[index + 1 :, rows] = new.energy
            residuals[index, rows] = moved
    return Recall(samples.state, taken, converged, cycling, energies, residuals)


def joined(parts: Sequence[Recall], state: torch.Size, samples: torch.Size) -> Recall:
    """Several recalls as one, with these shapes of `state` and of one number for each sample."""

    def whole(values: Sequence[Tensor], shape: torch.Size) -> Tensor:
        return torch.cat(list(values)).reshape(shape)

    def traced(values: Sequence[Tensor | None]) -> Tensor | None:
        known = [v for v in values if v is not None]
        return torch.cat(known, 1).reshape(len(known[0]), *samples) if known else None

    return Recall(
        whole([p.state for p in parts], state),
        whole([p.steps_taken for p in parts], samples),
        whole([p.converged for p in parts], samples),
        whole([p.cycling for p in parts], samples),
        traced([p.energies for p in parts]),
        traced([p.residuals for p in parts]),
    )
