"""Hidden binary units that interact on a graph over the stored patterns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import (
    Couplings,
    EdgeList,
    along_last,
    as_matrix,
    normalised,
    squared,
)
from attenergy.energies.graphs.transfer_matrix import chain_log_sum, chain_means
from attenergy.registry import ArgumentError, GraphError, UnknownName

if TYPE_CHECKING:
    from attenergy.energies.graphs.base import Array, Graph

INFERENCE = ("exact", "mean_field", "tap", "chain")

#: Most hidden units whose 2^S configurations are enumerated.
MOST_ENUMERATED = 12

#: The drive of a unit that is hidden: its mean is exactly 0 in every floating-point type.
_OFF = -1e4


class Boltzmann(OnGraph):
    r"""E = 1/2 |xi|^2 - 1/beta log sum_s exp(s'u + 1/2 s'Ks) over s in {0, 1}^S.

    u = beta (X xi + c) + h drives the hidden units s, and K couples them.

    Every stored pattern has a hidden unit, and the units interact on a graph over the patterns: a
    semi-restricted Boltzmann machine whose visible units are Gaussian. The weights over patterns
    are the units' means <s>. The sum is convex in xi whatever K, so steps with gamma in (0, 2)
    never raise E. K = 4 coupling * (normalised couplings); with 0 < coupling < 1 the mean field is
    unique and a plain iteration finds it.

    Options, besides those of `OnGraph`:
        inference: how the sum over 2^S configurations is done.
            exact       by enumeration, up to 12 patterns
            chain       by transfer matrices, any number of patterns; the graph is a chain
            mean_field  min_m [-m'u - 1/2 m'Km - H(m)], an upper bound of -log sum;
                        m = sigmoid(u + Km)
            tap         with the Onsager term -1/4 sum_ij K_ij^2 v_i v_j, v = m(1 - m); no bound
        iterations: of the fixed-point iteration for m; in the mean field each shrinks the error at
            least by the factor `coupling`.

    Hidden patterns are removed exactly: their units are 0. The couplings are normalised on the
    graph of all patterns that some state sees. The descent of `tap` holds while its means vary
    smoothly with u, as they do for small couplings.

    Shapes: as `Energy`, with E of shape (..., L).

    Raises:
        ValueError: unknown inference, a number out of range, or too many patterns to enumerate.

    Source: semi-restricted Boltzmann machines (Osindero and Hinton 2008); mean field and Onsager
    term for units in {0, 1} as in Gabrie, Tramel and Krzakala 2015, arXiv:1506.02914.
    """

    latex = (
        r"\tfrac12\lVert\xi\rVert^2 - \tfrac1\beta\log\sum_{s}"
        r"\exp\left(s^\top (\beta X\xi + \beta c + h) + \tfrac12 s^\top K s\right)"
    )
    patterns_interact: ClassVar[bool] = True
    has_weights = True

    def setup(self) -> None:
        """Read the options of the graph and of the inference."""
        super().setup()
        self.inference = str(self.chosen.get("inference", "mean_field"))
        if self.inference not in INFERENCE:
            raise UnknownName("inference", self.inference, INFERENCE)
        if self.inference == "chain":
            self.graph = "chain"
        self.iterations = self.whole_option("iterations", 1)

    def use_graph(
        self,
        graph: Graph | Tensor | Array | None,
        *,
        nodes: int | None = None,
        weights: Tensor | Array | str | None = None,
        batch: Tensor | Array | None = None,
        order: Iterable[Hashable] | None = None,
    ) -> Self:
        """Take a graph of your own over the patterns; see `OnGraph.use_graph`.

        Raises:
            ValueError: as there, or inference is `chain`.
        """
        if graph is not None and self.inference == "chain":
            raise GraphError("inference 'chain' has the chain as its graph; take 'mean_field'")
        return super().use_graph(graph, nodes=nodes, weights=weights, batch=batch, order=order)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The free energy, (..., L)."""
        drive = self._drive(xi, X, mask, field)
        log_sum = self._log_sum(drive, X, mask).unsqueeze(-1) / self.values()["beta"]
        return 0.5 * (xi * xi).sum(-1) - log_sum.squeeze(-1)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """Means of the hidden units, (..., L, S)."""
        drive = self._drive(xi, X, mask, field)
        if self.inference == "exact":
            exponents, configurations = self._exponents(drive, X, mask)
            return torch.softmax(exponents, -1) @ configurations
        if self.inference == "chain":
            drive, links, back = self._in_a_row(drive, X, mask)
            means = chain_means(drive, links)
            return means if back is None else means.take_along_dim(back, -1)
        return torch.sigmoid(self._local_field(drive, X, mask))

    def _drive(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        values = self.values()
        drive = values["beta"] * (xi @ X.mT + values["c"])
        drive = drive if field is None else drive + field
        return drive if mask is None else torch.where(mask, drive, _OFF)

    def _couplings(self, X: Tensor, mask: Tensor | None) -> tuple[Couplings, Tensor | float]:
        """The normalised couplings and the factor before them, (H, 1, 1) or a number."""
        return normalised(self.couplings_of_patterns(X, mask)), 4.0 * self.values()["coupling"]

    def _log_sum(self, drive: Tensor, X: Tensor, mask: Tensor | None) -> Tensor:
        if self.inference == "exact":
            return torch.logsumexp(self._exponents(drive, X, mask)[0], -1)
        if self.inference == "chain":
            return chain_log_sum(*self._in_a_row(drive, X, mask)[:2])
        couplings, strength = self._couplings(X, mask)
        local = self._local_field(drive, X, mask)
        means = torch.sigmoid(local)
        # -H(m) = m z - log(1 + exp z) with m = sigmoid(z).
        negative_entropy = means * local - torch.nn.functional.softplus(local, threshold=40.0)
        pairs = 0.5 * strength * means * along_last(couplings, means)
        total = means * drive + pairs - negative_entropy
        if self.inference == "tap":
            variance = means * (1.0 - means)
            reaction = along_last(squared(couplings), variance)
            total = total + 0.25 * strength**2 * variance * reaction
        return total.sum(-1)

    def _local_field(self, drive: Tensor, X: Tensor, mask: Tensor | None) -> Tensor:
        """Z with m = sigmoid(z) = sigmoid(u + Km), after `iterations` steps."""
        couplings, strength = self._couplings(X, mask)
        squares = squared(couplings)
        local = drive
        for _ in range(self.iterations):
            means = torch.sigmoid(local)
            wanted = drive + strength * along_last(couplings, means)
            if self.inference == "tap":
                reaction = along_last(squares, means * (1.0 - means))
                wanted = wanted + 0.5 * strength**2 * (1.0 - 2.0 * means) * reaction
            local = wanted if mask is None else torch.where(mask, wanted, _OFF)
        return local

    def _exponents(self, drive: Tensor, X: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """S'u + 1/2 s'Ks of every configuration (..., L, 2^S), and the configurations (2^S, S)."""
        count = drive.shape[-1]
        if count > MOST_ENUMERATED:
            raise ArgumentError(
                f"exact inference enumerates 2^S configurations of S patterns, at most "
                f"S = {MOST_ENUMERATED}, got {count}; take inference 'mean_field' or 'chain'",
                topic="density",
            )
        digits = torch.arange(count, device=drive.device)
        numbers = torch.arange(2**count, device=drive.device).unsqueeze(-1)
        configurations = ((numbers >> digits) & 1).to(drive.dtype)
        couplings, strength = self._couplings(X, mask)
        matrix = as_matrix(couplings) if isinstance(couplings, EdgeList) else couplings
        pairs = ((configurations @ matrix) * configurations).sum(-1)
        return drive @ configurations.mT + 0.5 * strength * pairs, configurations

    def _in_a_row(
        self, drive: Tensor, X: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The chain's drive (..., L, S), K between neighbours (..., 1, S - 1), and the way back.

        With padding, the present units are moved to the front, so that neighbours lie side by side.
        """
        couplings, strength = self._couplings(X, mask)
        if isinstance(couplings, EdgeList):  # a chain lists its edges n, n + 1 first, in order
            return drive, strength * couplings.values[: couplings.nodes - 1].unsqueeze(-2), None
        if mask is None or couplings.ndim == 2:
            links = couplings.diagonal(1, dim1=-2, dim2=-1).unsqueeze(-2)
            return drive, strength * links, None
        order = (~mask.any(-2, keepdim=True)).to(torch.int8).argsort(dim=-1, stable=True)
        rows = couplings.squeeze(-3).take_along_dim(order[..., :-1].mT, -2)
        links = rows.take_along_dim(order[..., 1:].mT, -1).mT
        return drive.take_along_dim(order, -1), strength * links, order.argsort(-1)
