"""States that are spins on a graph: unit vectors, Gaussian vectors, colours.

All three are E = sum_i own(S_i; X, h_i) - coupling/2 sum_ij K_ij S_i.S_j with K the couplings of a
graph over the states, normalised (`attenergy.energies.graphs.couplings.normalised`). A state that
sees no pattern takes no part: it has no energy, does not move, and the rule's graph is built on the
others.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import normalised, times
from attenergy.energies.masks import open_rows


class SpinsOnGraph(OnGraph):
    """What the three share; sub-classes say what a state does on its own."""

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
        pairs = (xi * self._pull(xi, mask)).sum(-1, keepdim=True)
        return (own - 0.5 * pairs).sum((-2, -1))

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """-coupling K S, (..., L, D)."""
        return -self._pull(xi, mask)

    def _pull(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        edges = normalised(self.couplings_of_states(xi, mask))
        coupling = self.values()["coupling"]
        if mask is None:
            return coupling * times(edges, xi)
        occupied = mask.any(-1, keepdim=True)
        # Multiplying alone would let values that are not finite through.
        return torch.where(occupied, coupling * times(edges, torch.where(occupied, xi, 0.0)), 0.0)


class VectorSpins(SpinsOnGraph):
    r"""E = -coupling/2 sum_ij K_ij xi_i.xi_j - sum_i lse(beta X xi_i + h_i)/beta.

    The O(D) model, |xi_i| = sqrt(D): a spin of one component is Ising's, of two XY, of three
    Heisenberg's. The stored patterns pull on a spin as attention does, by sum_n p_n x_n with
    p = softmax(beta X xi + h); one stored pattern is a plain external field. Turning one spin after
    the other against its gradient never raises E, whatever the step size; large ones align it with
    its local field.

    Options: as `OnGraph`. Shapes: as `Energy`, with E of shape (...).

    Source: Stanley 1968, doi:10.1103/PhysRevLett.20.589, with a pattern field.
    """

    latex = (
        r"-\tfrac{\lambda}{2}\sum_{ij} K_{ij}\, \xi_i\cdot\xi_j"
        r" - \tfrac1\beta\sum_i \operatorname{lse}(\beta X\xi_i + h_i)"
    )

    def own(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """-lse(beta X xi + h)/beta, (..., L)."""
        return -_lse(self, xi, X, mask, field)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(beta X xi + h), (..., L, S)."""
        return torch.softmax(_exponent(self, xi, X, mask, field), -1)

    def radial(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> float:
        """0: the length of a spin is fixed."""
        return 0.0


class GaussianSpins(SpinsOnGraph):
    r"""E = sum_i [1/2 |S_i|^2 - b_i.S_i] - coupling/2 sum_ij K_ij S_i.S_j,  b_i = sum_n a_in x_n.

    a_i = softmax(h_i) over the visible patterns: their mean, tilted by the field; a mask that shows
    state i only pattern i gives b_i = x_i. The eigenvalues of K lie in [-1, 1] and coupling in
    (0, 1), so E is strictly convex, with the one fixed point S = (I - coupling K)^-1 b.

    Options: as `OnGraph`. Shapes: as `Energy`, with E of shape (...).

    Source: deep implicit attention with Gaussian spins (Bal 2021).
    """

    latex = (
        r"\sum_i \left[\tfrac12\lVert S_i\rVert^2 - b_i\cdot S_i\right]"
        r" - \tfrac{\lambda}{2}\sum_{ij} K_{ij}\, S_i\cdot S_j"
    )

    def own(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """1/2 |S_i|^2 - b_i.S_i, (..., L)."""
        driven = (self.weights(xi, X, mask, field) * (xi @ X.mT)).sum(-1)
        return 0.5 * (xi * xi).sum(-1) - driven

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(h), (..., L, S)."""
        logits = xi.new_zeros(1, X.shape[-2]) if field is None else field.to(xi.dtype)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        return torch.softmax(logits, -1).expand(*xi.shape[:-1], X.shape[-2])

    def quadratic_form(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """M = I - coupling K, (..., L, L): E = 1/2 tr xi'M xi - v(xi) with v linear."""
        unit = torch.eye(xi.shape[-2], dtype=xi.dtype, device=xi.device)
        return unit + self.coupling(unit, mask)


class Potts(SpinsOnGraph):
    r"""E = -coupling/2 sum_ij K_ij p_i.p_j - sum_i [lse(beta X p_i + h_i) + H(p_i)]/beta.

    Mean field of Potts spins: a state p_i is a distribution over D colours, H its entropy; the
    stored patterns pull on it as attention does, and one stored pattern is a plain field over the
    colours. E is stationary where p_i = softmax(beta (sum_n w_in x_n + coupling sum_j K_ij p_j));
    setting one state after the other to that never raises E.

    Options: as `OnGraph`. Shapes: as `Energy`, with E of shape (...).

    Source: Wu 1982, doi:10.1103/RevModPhys.54.235, with a pattern field.
    """

    latex = (
        r"-\tfrac{\lambda}{2}\sum_{ij} K_{ij}\, p_i\cdot p_j"
        r" - \tfrac1\beta\sum_i \left[\operatorname{lse}(\beta X p_i + h_i) + H(p_i)\right]"
    )

    def own(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """-[lse(beta X p + h) + H(p)]/beta, (..., L)."""
        p = self._inside(xi)
        negative_entropy = (p * torch.log(p)).sum(-1, keepdim=True) / self.values()["beta"]
        return negative_entropy.squeeze(-1) - _lse(self, xi, X, mask, field)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(beta X p + h), (..., L, S)."""
        return torch.softmax(_exponent(self, xi, X, mask, field), -1)

    def radial(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> float:
        """0: what belongs to a state alone is its entropy, in `coupling`."""
        return 0.0

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """-coupling K p + (log p + 1)/beta, (..., L, D)."""
        p = self._inside(xi)
        slope = torch.where(p == xi, torch.log(p) + 1.0, 0.0)
        return super().coupling(xi, mask) + slope / self.values()["beta"]

    @staticmethod
    def _inside(xi: Tensor) -> Tensor:
        return xi.clamp_min(torch.finfo(xi.dtype).eps ** 2)


def _exponent(
    energy: SpinsOnGraph, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> Tensor:
    """Beta X xi + h, (..., L, S), -inf where hidden."""
    exponent = energy.values()["beta"] * (xi @ X.mT)
    exponent = exponent if field is None else exponent + field
    return exponent if mask is None else exponent.masked_fill(~mask, -torch.inf)


def _lse(
    energy: SpinsOnGraph, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> Tensor:
    """lse(beta X xi + h)/beta, (..., L)."""
    found = torch.logsumexp(_exponent(energy, xi, X, mask, field), -1, keepdim=True)
    return (found / energy.values()["beta"]).squeeze(-1)
