"""State patterns that interact on a graph: a graph Hopfield network."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import Couplings, EdgeList, absolute, along_last, times
from attenergy.energies.masks import may_look, open_rows, same_for_all_states
from attenergy.energies.rows.kernel import MixedPatterns


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

    Example:
        >>> energy = attenergy.make_energy("graph_hopfield", dim=4)
        >>> states = torch.randn(6, 4)
        >>> energy(states, torch.randn(5, 4)).shape  # one number for all states: they interact
        torch.Size([])
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

    Example:
        >>> energy = attenergy.make_energy("graph_memory", dim=4)
        >>> energy(torch.randn(3, 4), torch.randn(6, 4)).shape
        torch.Size([3])
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

    def mixed_patterns(
        self, X: Tensor, values: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> MixedPatterns | None:
        """M X and M V, where all states see the same patterns: S numbers a component, not L S."""
        if not same_for_all_states(mask):
            return None
        mixing = self._mixing(X.new_ones(1, X.shape[-2]), X, mask)
        both = mixing.of_patterns((X,) if values is X else (X, values))
        keys, read = both[..., : X.shape[-1]], both[..., -values.shape[-1] :]
        return MixedPatterns(keys, read, self.values()["beta"], field, mask)

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

    def of_patterns(self, parts: tuple[Tensor, ...]) -> Tensor:
        """M times patterns (..., S, e) side by side; what no state sees is of no account.

        For a mask that is the same for all states. With the patterns' axis first, everything is
        read in the order in which it lies in memory.
        """
        batch = torch.broadcast_shapes(*(p.shape[:-1] for p in parts))  # type: ignore[no-untyped-call]
        x = torch.cat([_first(p.expand(*batch, p.shape[-1])) for p in parts], -1)
        seen = x if self.mask is None else x * _beside(x, self.mask)
        neighbours = self._neighbours(seen) * _beside(x, self.inverse)
        if not may_look(self.lone) or bool(self.lone.any()):
            neighbours = neighbours + x * _beside(x, self.lone)
        share = torch.as_tensor(self.mixing).to(x)
        share = share if share.ndim < 2 else share.squeeze(-2)
        return torch.addcmul(x, neighbours - x, share).movedim(0, -2)

    def _neighbours(self, x: Tensor) -> Tensor:
        """The sum over each pattern's neighbours, of (S, ..., e)."""
        if isinstance(self.edges, EdgeList) or self.edges.ndim == 2:
            return times(self.edges, x.reshape(x.shape[0], -1)).view_as(x)
        return _first(self.edges.squeeze(-3) @ x.movedim(0, -2))

    def _joined(self, scores: Tensor, neighbours: Tensor) -> Tensor:
        mixed = (1.0 - self.mixing) * scores + self.mixing * (neighbours + self.lone * scores)
        return self._visible(mixed)

    def _visible(self, scores: Tensor) -> Tensor:
        return scores if self.mask is None else torch.where(self.mask, scores, 0.0)


def _first(x: Tensor) -> Tensor:
    """The last axis but one in front."""
    return x.movedim(-2, 0)


def _beside(x: Tensor, of_patterns: Tensor) -> Tensor:
    """Numbers of patterns (..., 1, S) as factors of (S, ..., e)."""
    factors = _first(of_patterns.mT)
    return factors.reshape(len(x), *(1,) * (x.ndim - factors.ndim), *factors.shape[1:])


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
