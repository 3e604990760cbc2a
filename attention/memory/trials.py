"""Damaged copies of stored patterns, and which of them were recalled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.memory.noise import Noise
from attenergy.energies import Energy

#: Patterns closer than this share of the longest one cannot be told apart.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Trials:
    """Damaged copies of patterns (N, D).

    A copy counts as recalled if it ends within a share of the way from its pattern to the nearest
    other one: |z - x| <= within min_j |x - x_j|, j over patterns that differ from x. With 1/2 or
    less that implies that x is the nearest of all.

    Attributes:
        rows: (n,), whose copy each is.
        states: (n, D), the damaged copies; (n, 1, D), each alone, if states interact.
        targets: (n, D), the undamaged patterns, in the energy's domain.
        gaps: (n,), distances to the nearest other pattern; infinite if there is none.
        twins: (n,), whether the pattern is stored more than once.
        within: the share.
    """

    rows: Tensor
    states: Tensor
    targets: Tensor
    gaps: Tensor
    twins: Tensor
    within: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def radii(self) -> Tensor:
        """(n,), how far from its pattern a copy may end."""
        return self.within * self.gaps

    def recalled(self, ends: Tensor) -> Tensor:
        """(n,), which copies were recalled, for the states in which they ended."""
        away = ends.reshape(self.targets.shape) - self.targets
        distances: Tensor = torch.linalg.vector_norm(away, dim=-1)
        return distances <= self.radii


def draw_trials(
    energy: Energy, patterns: Tensor, noise: Noise, *, tries: int, within: float, seed: int
) -> Trials:
    """Damage `tries` patterns, drawn without replacement as long as there are enough.

    Args:
        energy: whose domain patterns are put into, as a memory puts states into it.
        patterns: (N, D).
        noise: the damage.
        tries: how many copies.
        within: see `Trials`.
        seed: of the choice and of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    count = len(patterns)
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-tries // count))]
    rows = torch.cat(rounds)[:tries].to(patterns.device)
    stored = energy.project(patterns)
    gaps, twins = _separations(stored, rows)
    states = noise(patterns[rows], generator)
    if energy.states_interact:
        states = states[:, None]
    return Trials(rows, states, stored[rows], gaps, twins, within)


def distances_between(points: Tensor, others: Tensor) -> Tensor:
    """Euclidean distances (n, N) of points (n, D) and (N, D), in float32 at least."""
    if points.dtype in {torch.float16, torch.bfloat16}:  # PyTorch has none of these on a CPU
        points, others = points.float(), others.float()
    # Not through a matrix product, which is exact to a root of the precision only.
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def _separations(stored: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (n,) to the nearest pattern that differs, and which patterns have a twin."""
    same = SAME * torch.linalg.vector_norm(stored, dim=-1).max()
    gaps, twins = [], []
    for part in torch.split(rows, max(1, 2**24 // len(stored))):
        distances = distances_between(stored[part], stored)
        alike = distances <= same
        twins.append(alike.sum(-1) > 1)
        gaps.append(torch.where(alike, torch.inf, distances).amin(-1))
    return torch.cat(gaps), torch.cat(twins)
