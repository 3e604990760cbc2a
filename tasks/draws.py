"""Random draws that several tasks need, vectorised over instances."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def permutations(count: int, size: int, generator: Generator) -> Tensor:
    """Draw `count` independent uniform permutations of 0..size-1: (count, size), int64."""
    return torch.rand(count, size, generator=generator, dtype=torch.float64).argsort(-1)


def distinct(count: int, size: int, population: int, generator: Generator) -> Tensor:
    """Draw `count` ordered selections without repeats of `size` of 0..population-1, uniformly.

    Floyd's algorithm picks the set in `size` steps, whatever the population; a permutation then
    orders it. Result (count, size), int64.
    """
    if not 0 < size <= population:
        raise ValueError(f"cannot draw {size} distinct numbers out of {population}")
    chosen = torch.empty(count, size, dtype=torch.int64)
    for k, top in enumerate(range(population - size, population)):
        number = torch.randint(top + 1, (count,), generator=generator)
        taken = (chosen[:, :k] == number[:, None]).any(-1)
        chosen[:, k] = torch.where(taken, top, number)
    return chosen.gather(1, permutations(count, size, generator))
