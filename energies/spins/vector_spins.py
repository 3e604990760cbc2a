"""Spins on a graph that are vectors: of unit length, or Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.energies.spins.on_graph import SpinsOnGraph, pattern_exponent, pattern_pull


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
        return -pattern_pull(self, xi, X, mask, field)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(beta X xi + h), (..., L, S)."""
        return torch.softmax(pattern_exponent(self, xi, X, mask, field), -1)

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
