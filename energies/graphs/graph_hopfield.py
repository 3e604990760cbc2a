"""State patterns that interact on a graph: a graph Hopfield network."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import Couplings, absolute, along_last, times
from attenergy.energies.masks import open_rows


class GraphHopfield(OnGraph):
    r"""E = sum_v [1/2 |xi_v|^2 - lse(beta X xi_v + h_v)/beta] + coupling tr(xi' Lap xi).

    Lap is the symmetrically normalised Laplacian I - D^-1/2 A D^-1/2 of a networkx graph whose
    nodes are the states; an isolated state has no term. Its eigenvalues lie in [0, 2], so the
    quadratic part lies in [1, 1 + 4 coupling], whatever the graph and its size.

    A state that sees no pattern takes no part: it has no energy, does not move, and the rule's
    graph is built on the others.

    Options: as `OnGraph`; `use_graph` takes a graph of your own. With couplings of both signs the
    degree is the sum of their sizes, and an edge below 0 pulls two states apart.

    Shapes: as `Energy`, with E of shape (...): the joint energy of all states.

    Source: log-sum-exp energy of Ramsauer et al. 2020, arXiv:2008.02217, with a graph Laplacian.
    """

    latex = (
        r"\sum_v \left[\tfrac12 \lVert\xi_v\rVert^2"
        r" - \tfrac1\beta\operatorname{lse}(\beta X\xi_v + h_v)"
        r"\right] + \lambda \operatorname{tr}(\xi^\top \mathcal{L}\, \xi)"
    )
    states_interact: ClassVar[bool] = True
    has_weights = True

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        values = self.values()
        own = 0.5 * (xi * xi).sum(-1) - _lse(xi, X, mask, field, values["beta"]).squeeze(-1)
        if mask is not None:
            own = torch.where(mask.any(-1), own, 0.0)
        smooth = (xi * self._laplacian_times(xi, mask)).sum(-1, keepdim=True)
        return (own.unsqueeze(-1) + values["coupling"] * smooth).sum((-2, -1))

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """softmax(beta X xi + h), (..., L, S)."""
        return _weights(xi @ X.mT, mask, field, self.values()["beta"])

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """2 coupling Lap xi, (..., L, D)."""
        return 2.0 * self.values()["coupling"] * self._laplacian_times(xi, mask)

    def quadratic_form(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """M = I + 2 coupling Lap, (..., L, L): E = 1/2 tr xi'M xi - v(xi) with v convex."""
        unit = torch.eye(xi.shape[-2], dtype=xi.dtype, device=xi.device)
        return unit + self.coupling(unit, mask)

    def _laplacian_times(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """Lap xi on the graph of the states that see something."""
        edges = self.couplings_of_states(xi, mask)
        alive = torch.ones_like(xi[..., :1])
        if mask is not None:
            alive = alive * mask.any(-1, keepdim=True)
        degree = alive * times(absolute(edges), alive)
        scale = alive * torch.where(degree > 0, degree, 1.0).rsqrt()
        product: Tensor = (degree > 0) * xi - scale * times(edges, scale * xi)
        return product


class GraphMemory(OnGraph):
    r"""E(xi; X, h) = 1/2 |xi|^2 - lse(beta M X xi + h)/beta,  M = (1 - mixing) I + mixing P.

    P averages over a pattern's visible neighbours in a networkx graph whose nodes are the stored
    patterns; a pattern without visible neighbours stays as it is. The weights over patterns are
    M' softmax(beta M X xi + h), so a retrieved pattern brings its neighbours along.

    Options and shapes: as `GraphHopfield`, with E of shape (..., L).

    Source: pattern-pattern mixing, after correlated dense associative memories (Burns 2024).
    """

    latex = r"\tfrac12\lVert\xi\rVert^2 - \tfrac1\beta\operatorname{lse}(\beta M X \xi + h)"
    patterns_interact: ClassVar[bool] = True
    has_weights = True

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        values, scores = self.values(), xi @ X.mT
        mixed = self._mixing(scores, X, mask).times(scores)
        exponent = _exponent(mixed, mask, field, values["beta"])
        lse = torch.logsumexp(exponent, -1, keepdim=True) / values["beta"]
        return 0.5 * (xi * xi).sum(-1) - lse.squeeze(-1)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """M' softmax(beta M X xi + h), (..., L, S)."""
        scores = xi @ X.mT
        mixing = self._mixing(scores, X, mask)
        chosen = _weights(mixing.times(scores), mask, field, self.values()["beta"])
        return mixing.transposed_times(chosen)

    def _mixing(self, scores: Tensor, X: Tensor, mask: Tensor | None) -> _Mixing:
        """M on the graph of visible patterns, for scores (..., L, S)."""
        edges = self.couplings_of_patterns(X, mask)
        alive = torch.ones_like(scores) if mask is None else mask.to(scores.dtype)
        degree = along_last(absolute(edges), alive)
        lone = (degree == 0).to(scores.dtype)
        inverse = torch.where(degree > 0, degree, 1.0).reciprocal()
        return _Mixing(self.values()["mixing"], edges, mask, inverse, lone)


class _Mixing(NamedTuple):
    """M = (1 - mixing) I + mixing P, along the patterns."""

    mixing: Tensor | float
    edges: Couplings
    mask: Tensor | None
    inverse: Tensor  # 1/degree among the visible, (..., L|1, S)
    lone: Tensor  # 1 where a pattern has no visible neighbour

    def times(self, scores: Tensor) -> Tensor:
        """M times (..., L, S)."""
        scores = self._visible(scores)
        return self._joined(scores, along_last(self.edges, scores) * self.inverse)

    def transposed_times(self, scores: Tensor) -> Tensor:
        """M' times (..., L, S)."""
        # The adjacency is symmetric, so P' differs from P only in where the degree divides.
        scores = self._visible(scores)
        return self._joined(scores, along_last(self.edges, scores * self.inverse))

    def _joined(self, scores: Tensor, neighbours: Tensor) -> Tensor:
        mixed = (1.0 - self.mixing) * scores + self.mixing * (neighbours + self.lone * scores)
        return self._visible(mixed)

    def _visible(self, scores: Tensor) -> Tensor:
        return scores if self.mask is None else torch.where(self.mask, scores, 0.0)


def _exponent(
    scores: Tensor, mask: Tensor | None, field: Tensor | None, beta: Tensor | float
) -> Tensor:
    exponent = beta * scores if field is None else beta * scores + field
    if mask is None:
        return exponent
    return exponent.masked_fill(~open_rows(mask)[0], -torch.inf)


def _weights(
    scores: Tensor, mask: Tensor | None, field: Tensor | None, beta: Tensor | float
) -> Tensor:
    return torch.softmax(_exponent(scores, mask, field, beta), -1)


def _lse(
    xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None, beta: Tensor | float
) -> Tensor:
    return torch.logsumexp(_exponent(xi @ X.mT, mask, field, beta), -1, keepdim=True) / beta
