"""How the samples of a memory start and move, in free space or by turning spins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from attenergy.attention.memory.recall import Samples, Step
from attenergy.attention.memory.spin_updates import SpinUpdates
from attenergy.attention.solvers.relax import relax
from attenergy.energies import DOMAINS, Energy

Mode = Literal["continuous", "parallel", "sequential"]
Order = Literal["random", "fixed"]


def continuous(
    energy: Energy, X: Tensor, step_size: float | None, trace: bool
) -> tuple[Callable[[Tensor], Samples], Step]:
    """How samples start and move by steps of `relax`."""

    def first(state: Tensor) -> Samples:
        state = energy.project(state)
        value = energy(state, X) if trace else state.new_zeros(len(state))
        return Samples(state, value)

    def step(samples: Samples, _: int) -> Samples:
        return first(relax(energy, samples.state, X, step_size=step_size).state)

    return first, step


def binary(
    energy: Energy, X: Tensor, mode: Mode, order: Order, seed: int
) -> tuple[Callable[[Tensor], Samples], Step]:
    """How samples start and move by turning spins."""
    updates = SpinUpdates(energy, X)

    def first(state: Tensor) -> Samples:
        return updates.start(DOMAINS["spin"].project(state))

    def step(samples: Samples, index: int) -> Samples:
        if mode == "parallel":
            return updates.parallel(samples)
        sites = samples.state[0].numel()
        if order == "fixed":
            return updates.sequential(samples, range(sites))
        # A sweep's order depends on the seed and its number alone, never on other samples.
        generator = torch.Generator().manual_seed(seed + index)
        return updates.sequential(samples, torch.randperm(sites, generator=generator).tolist())

    return first, step
