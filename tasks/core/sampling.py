"""Random draws that several tasks need, vectorised over instances."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.registry import ArgumentError


def permutations(count: int, size: int, generator: Generator) -> Tensor:
    """Draw `count` independent uniform permutations of 0..size-1: (count, size), int64."""
    return torch.rand(count, size, generator=generator, dtype=torch.float64).argsort(-1)


def distinct(count: int, size: int, population: int, generator: Generator) -> Tensor:
    """Draw `count` ordered selections without repeats of `size` of 0..population-1, uniformly.

    Floyd's algorithm picks the set in `size` steps, whatever the population; a permutation then
    orders it. Result (count, size), int64.
    """
    if not 0 < size <= population:
        raise ArgumentError(f"cannot draw {size} distinct numbers out of {population}")
    chosen = torch.empty(count, size, dtype=torch.int64)
    for k, top in enumerate(range(population - size, population)):
        number = torch.randint(top + 1, (count,), generator=generator)
        taken = (chosen[:, :k] == number[:, None]).any(-1)
        chosen[:, k] = torch.where(taken, top, number)
    return chosen.gather(1, permutations(count, size, generator))


def weighted_order(count: int, size: int, weights: Tensor, generator: Generator) -> Tensor:
    """Draw `size` of M things one after another without putting back: (count, size), int64.

    Each draw takes one of those left with probability in proportion to `weights` (M,), all > 0.
    It is a race: thing m arrives at a time exponential with rate w_m, the first `size` are drawn.
    """
    if not 0 < size <= len(weights):
        raise ArgumentError(f"cannot draw {size} distinct numbers out of {len(weights)}")
    times = torch.empty(count, len(weights), dtype=torch.float64).exponential_(generator=generator)
    return (times / weights).topk(size, largest=False, sorted=True).indices


def one_of(allowed: Tensor, generator: Generator) -> Tensor:
    """Draw one true entry of every row of `allowed` (N, M), all alike: (N,), int64."""
    return torch.multinomial(allowed.double(), 1, generator=generator).squeeze(-1)
