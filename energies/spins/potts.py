"""Spins on a graph that are distributions over colours."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.energies.spins.on_graph import SpinsOnGraph, pattern_exponent, pattern_pull


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
        return negative_entropy.squeeze(-1) - pattern_pull(self, xi, X, mask, field)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(beta X p + h), (..., L, S)."""
        return torch.softmax(pattern_exponent(self, xi, X, mask, field), -1)

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
