"""State patterns that interact on a graph: a graph Hopfield network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.graphs import adjacency, check_topology
from attenergy.energies.masks import open_rows
from attenergy.energies.parameters import Setting
from attenergy.registry import EnergySpec


class GraphHopfield(Energy):
    r"""E = sum_v [1/2 |xi_v|^2 - lse(beta X xi_v + h_v)/beta] + coupling tr(xi' Lap xi).

    Lap is the symmetrically normalised Laplacian I - D^-1/2 A D^-1/2 of a networkx graph whose
    nodes are the states; an isolated state has no term. Its eigenvalues lie in [0, 2], so the
    quadratic part lies in [1, 1 + 4 coupling], whatever the graph and its size.

    A state that sees no pattern takes no part: it has no energy, no edges, and does not move.

    Options:
        graph: rule of the graph (`attenergy.energies.graphs`).
        graph_seed: seed of the rules that are random.

    Shapes: as `Energy`, with E of shape (...): the joint energy of all states.

    Source: log-sum-exp energy of Ramsauer et al. 2020, arXiv:2008.02217, with a graph Laplacian.
    """

    states_interact: ClassVar[bool] = True
    has_weights = True

    def __init__(
        self,
        spec: EnergySpec,
        dim: int,
        num_heads: int | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        super().__init__(spec, dim, num_heads, settings)
        self.graph, self.graph_seed = graph_options(spec, self.settings)

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

    def _laplacian_times(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """Lap xi on the graph of the states that see something."""
        edges = adjacency(self.graph, xi.shape[-2], self.graph_seed).to(xi)
        if mask is not None:
            occupied = mask.any(-1, keepdim=True).to(xi.dtype)
            edges = edges * occupied * occupied.mT
        degree = edges.sum(-1, keepdim=True)
        scale = torch.where(degree > 0, degree, 1.0).rsqrt()
        found: Tensor = (degree > 0) * xi - scale * (edges @ (scale * xi))
        return found


class GraphMemory(Energy):
    r"""E(xi; X, h) = 1/2 |xi|^2 - lse(beta M X xi + h)/beta,  M = (1 - mixing) I + mixing P.

    P averages over a pattern's visible neighbours in a networkx graph whose nodes are the stored
    patterns; a pattern without visible neighbours stays as it is. The weights over patterns are
    M' softmax(beta M X xi + h), so a retrieved pattern brings its neighbours along.

    Options and shapes: as `GraphHopfield`, with E of shape (..., L).

    Source: pattern-pattern mixing, after correlated dense associative memories (Burns 2024).
    """

    patterns_interact: ClassVar[bool] = True
    has_weights = True

    def __init__(
        self,
        spec: EnergySpec,
        dim: int,
        num_heads: int | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        super().__init__(spec, dim, num_heads, settings)
        self.graph, self.graph_seed = graph_options(spec, self.settings)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        values = self.values()
        mixed = self._mix(xi @ X.mT, mask, transposed=False)
        exponent = _exponent(mixed, mask, field, values["beta"])
        lse = torch.logsumexp(exponent, -1, keepdim=True) / values["beta"]
        return 0.5 * (xi * xi).sum(-1) - lse.squeeze(-1)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """M' softmax(beta M X xi + h), (..., L, S)."""
        mixed = self._mix(xi @ X.mT, mask, transposed=False)
        chosen = _weights(mixed, mask, field, self.values()["beta"])
        return self._mix(chosen, mask, transposed=True)

    def _mix(self, scores: Tensor, mask: Tensor | None, *, transposed: bool) -> Tensor:
        """M or M' times (..., L, S) along the patterns, on the graph of visible patterns."""
        mixing = self.values()["mixing"]
        edges = adjacency(self.graph, scores.shape[-1], self.graph_seed).to(scores)
        if mask is None:
            degree = edges.sum(-1)
        else:
            degree = mask.to(scores.dtype) @ edges
            scores = torch.where(mask, scores, 0.0)
        lone = (degree == 0).to(scores.dtype)
        inverse = torch.where(degree > 0, degree, 1.0).reciprocal()
        # The adjacency is symmetric, so P' differs from P only in where the degree divides.
        neighbours = (scores * inverse) @ edges if transposed else (scores @ edges) * inverse
        result = (1.0 - mixing) * scores + mixing * (neighbours + lone * scores)
        return result if mask is None else torch.where(mask, result, 0.0)


def graph_options(spec: EnergySpec, settings: Mapping[str, Setting]) -> tuple[str, int]:
    """The rule and seed of a graph from settings and the entry's defaults.

    Raises:
        ValueError: unknown rule, or a seed that is not a whole number from 0.
    """
    chosen = {name: settings.get(name, option.default) for name, option in spec.options.items()}
    rule, seed = str(chosen.get("graph", "lattice")), chosen.get("graph_seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"'graph_seed' must be a whole number from 0, got {seed!r}")
    return check_topology(rule), seed


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
