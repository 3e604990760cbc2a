"""Binary states that turn one component wherever the energy falls by it.

    parallel     xi_i <- -xi_i for all i with E(xi with -xi_i) < E(xi), at once (Little)
    sequential   the same for one i after the other, each seeing what the ones before it did

Both signs of a component are compared by their energies. That is exact for any energy, and a
self-coupling, which gives both signs the same energy, never counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attenergy.attention.memory.recall import Samples
from attenergy.energies import Energy, score_readout

#: Numbers in the largest temporary tensor.
BLOCK = 2**22


class SpinUpdates:
    """Updates of binary states of one energy over fixed patterns.

    Args:
        energy: any energy, without heads.
        X: stored patterns (S, D).
    """

    def __init__(self, energy: Energy, X: Tensor) -> None:
        self.of, self.X = energy, X
        self.readout = score_readout(energy)
        self.columns = X.mT.contiguous()

    def start(self, state: Tensor) -> Samples:
        """What is known of states whose components are +-1."""
        if self.readout is None:
            return Samples(state, self.of(state, self.X))
        scores = state @ self.X.mT
        return Samples(state, self.readout(_square(state), scores, self.X), scores)

    def parallel(self, spins: Samples) -> Samples:
        """All components at once."""
        flat = spins.state.flatten(1)
        sites = torch.arange(flat.shape[1], device=flat.device)
        lengths = spins.state[..., 0].numel()  # rows of scores for one site
        blocks = torch.split(sites, max(1, BLOCK // max(flat.numel(), lengths * self.X.shape[-2])))
        turns = torch.cat([_falls(spins.energy[:, None], self.turned(spins, b)) for b in blocks], 1)
        return self.start(torch.where(turns, -flat, flat).reshape(spins.state.shape))

    def sequential(self, spins: Samples, order: Sequence[int]) -> Samples:
        """One component after the other, in the given order."""
        state, scores, energy = spins.state.clone(), spins.scores, spins.energy
        flat = state.flatten(1)  # shares memory with `state`
        for site in order:
            here = torch.tensor([site], device=flat.device)
            turned = self.turned(Samples(state, energy, scores), here)[:, 0]
            turns = _falls(energy, turned)
            if scores is not None:
                change = torch.where(turns, -2 * flat[:, site], 0.0)
                scores = torch.addcmul(scores, change[:, None], self.columns[site])
            flat[:, site] = torch.where(turns, -flat[:, site], flat[:, site])
            energy = torch.where(turns, turned, energy)
        return self.start(state)  # anew: sums of many small changes drift

    def turned(self, spins: Samples, sites: Tensor) -> Tensor:
        """The energies (n, len(sites)) after turning each of the sites alone."""
        flat = spins.state.flatten(1)
        if self.readout is not None and spins.scores is not None:
            change = -2 * flat[:, sites, None]
            scores = spins.scores[:, None] + change * self.columns[sites]
            return self.readout(_square(spins.state)[:, None], scores, self.X)
        rows = torch.arange(len(sites), device=flat.device)
        states = flat[:, None].repeat(1, len(sites), 1)
        states[:, rows, sites] *= -1
        energies: Tensor = self.of(states.reshape(-1, *spins.state.shape[1:]), self.X)
        return energies.reshape(len(flat), len(sites))


def _square(state: Tensor) -> Tensor:
    return (state * state).sum(-1, keepdim=True)


def _falls(before: Tensor, after: Tensor) -> Tensor:
    """Whether the energy falls by more than rounding; a tie must not turn a spin for ever."""
    noise = 8 * torch.finfo(before.dtype).eps * torch.maximum(before.abs(), after.abs())
    return after < before - noise
