"""States that are spins on a graph, coupled along its edges.

    E = sum_i own(S_i; X, h_i) - coupling/2 sum_ij K_ij S_i.S_j

with K the couplings of a graph over the states, normalised
(`attenergy.energies.graphs.couplings.normalised`). A state that sees no pattern takes no part: it
has no energy, does not move, and the rule's graph is built on the others.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import normalised, times
from attenergy.energies.masks import open_rows


class SpinsOnGraph(OnGraph):
    """Spins that a graph couples; sub-classes say what a state does on its own."""

    states_interact: ClassVar[bool] = True
    has_weights = True

    def own(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy of each state alone, (..., L), for an opened mask."""
        raise NotImplementedError(f"{type(self).__name__} defines no energy of a state")

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        opened, occupied = (None, None) if mask is None else open_rows(mask)
        own = self.own(xi, X, opened, field).unsqueeze(-1)
        if occupied is not None:
            own = torch.where(occupied, own, 0.0)
        pairs = (xi * neighbours_pull(self, xi, mask)).sum(-1, keepdim=True)
        return (own - 0.5 * pairs).sum((-2, -1))

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """-coupling K S, (..., L, D)."""
        return -neighbours_pull(self, xi, mask)


def neighbours_pull(energy: OnGraph, xi: Tensor, mask: Tensor | None) -> Tensor:
    """Coupling K S, (..., L, D), among the states that see something."""
    edges = normalised(energy.couplings_of_states(xi, mask))
    coupling = energy.values()["coupling"]
    if mask is None:
        return coupling * times(edges, xi)
    occupied = mask.any(-1, keepdim=True)
    # Multiplying alone would let values that are not finite through.
    return torch.where(occupied, coupling * times(edges, torch.where(occupied, xi, 0.0)), 0.0)


def pattern_exponent(
    energy: SpinsOnGraph, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> Tensor:
    """Beta X xi + h, (..., L, S), -inf where hidden."""
    exponent = energy.values()["beta"] * (xi @ X.mT)
    exponent = exponent if field is None else exponent + field
    return exponent if mask is None else exponent.masked_fill(~mask, -torch.inf)


def pattern_pull(
    energy: SpinsOnGraph, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> Tensor:
    """lse(beta X xi + h)/beta, (..., L)."""
    pull = torch.logsumexp(pattern_exponent(energy, xi, X, mask, field), -1, keepdim=True)
    return (pull / energy.values()["beta"]).squeeze(-1)
