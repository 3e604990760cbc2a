"""Energies on a graph: a rule from the entry's options, or the user's own graph."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.couplings import (
    Couplings,
    EdgeList,
    as_matrix,
    check_kind,
    is_sparse,
    rule_couplings,
)
from attenergy.energies.graphs import KNN, Shape, check_shape, check_topology, nearest_neighbours


class OnGraph(Energy):
    """An energy whose states, patterns or components are the nodes of a graph.

    Options, as far as the entry has them:
        graph: rule of the graph (`attenergy.energies.graphs`); `knn` joins nearest patterns.
        graph_seed: seed of the rules and couplings that are random.
        graph_degree, graph_rewire, graph_blocks, graph_mixing: numbers of the rules (`Shape`).
        couplings: kind of the numbers on the edges (`attenergy.energies.couplings`).

    `use_graph` puts a graph of the user's own in the rule's place.

    Raises:
        ValueError: unknown rule or kind, or a number out of range.
    """

    #: Kinds of couplings besides those of `attenergy.energies.couplings`.
    own_kinds: ClassVar[tuple[str, ...]] = ()

    def setup(self) -> None:
        """Read the options of the graph."""
        chosen = {
            n: self.settings.get(n, option.default) for n, option in self.spec.options.items()
        }
        self.chosen = chosen
        self.graph = check_topology(str(chosen.get("graph", "lattice")))
        self.kind = check_kind(str(chosen.get("couplings", "ferromagnetic")), self.own_kinds)
        self.graph_seed = self.whole_option("graph_seed", 0)
        given = {n: chosen[f"graph_{n}"] for n in Shape._fields if f"graph_{n}" in chosen}
        self.shape = Shape(**given)  # type: ignore[arg-type]
        check_shape(self.shape)
        self._own: Couplings | None = None

    def use_graph(
        self,
        graph: Tensor | None,
        *,
        nodes: int | None = None,
        weights: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Self:
        """Take a graph of your own instead of the rule; None goes back to the rule.

        Its weights are the couplings J_ij, 1 if it has none. It is no part of the state
        dictionary: give it again to a copy, or before every batch if it changes.

        Args:
            graph: floating point or boolean: an adjacency matrix (n, n), or (B, n, n) with one for
                each sample; integers: edges (2, m) as PyTorch Geometric's `edge_index`, both
                directions listed.
            nodes: n, for edges.
            weights: of the edges, (m,); PyTorch Geometric's `edge_weight`.
            batch: sample of every node, for the edges of a PyTorch Geometric batch; the graphs
                are padded to the size of the largest.

        Returns:
            The energy itself.

        Raises:
            ValueError: a shape does not fit, or the graph is not symmetric or has self-loops.
        """
        if graph is None:
            self._own = None
        elif graph.is_floating_point() or graph.dtype == torch.bool:
            self._own = _own_matrix(graph)
        else:
            self._own = _own_edges(graph, nodes, weights, batch)
        return self

    def constants(self) -> tuple[object, ...]:
        """The graph of the user's own, or None."""
        return (self._own,)

    def couplings_of_states(self, xi: Tensor) -> Couplings:
        """J between states, a list or (..., L, L).

        Raises:
            ValueError: another number of states than the graph has nodes, or `knn`.
        """
        if self._own is None and self.graph == KNN:
            raise ValueError(
                "the graph 'knn' is one of stored patterns, and here states interact; build one "
                "with `nearest_neighbours` and give it to `use_graph`"
            )
        return self._by_position(xi.shape[-2], xi, 0)

    def couplings_of_patterns(self, X: Tensor, mask: Tensor | None) -> Couplings:
        """J between patterns, a list, (S, S) or (..., L|1, S, S).

        Raises:
            ValueError: another number of patterns than the graph has nodes.
        """
        if self._own is None and self.graph == KNN:
            return nearest_neighbours(X, self.shape.degree, mask)
        return self._by_position(X.shape[-2], X, 1)

    def _by_position(self, nodes: int, like: Tensor, extra_axes: int) -> Couplings:
        if self._own is None:
            return rule_couplings(
                self.kind, self.graph, nodes, self.graph_seed, tuple(self.shape), like
            )
        own = self._own
        size = own.nodes if isinstance(own, EdgeList) else own.shape[-1]
        if size != nodes:
            raise ValueError(f"the graph in use has {size} nodes, there are {nodes}")
        if isinstance(own, EdgeList):
            return EdgeList(own.pairs.to(like.device), own.values.to(like), size)
        own = own.to(like)
        if own.ndim == 2:
            return own
        extra_axes += self.num_heads is not None
        return own.reshape(-1, *(1,) * extra_axes, nodes, nodes)


def _own_matrix(graph: Tensor) -> Tensor:
    if graph.ndim not in (2, 3) or graph.shape[-1] != graph.shape[-2]:
        raise ValueError(f"an adjacency matrix is (n, n) or (B, n, n), got {tuple(graph.shape)}")
    matrix = graph.to(torch.get_default_dtype()) if graph.dtype == torch.bool else graph
    _check_edges(torch.equal(matrix, matrix.mT), bool(matrix.diagonal(dim1=-2, dim2=-1).any()))
    return matrix


def _own_edges(
    index: Tensor, nodes: int | None, weights: Tensor | None, batch: Tensor | None
) -> Couplings:
    if index.ndim != 2 or index.shape[0] != 2:
        raise ValueError(f"edges are integers (2, m), got {tuple(index.shape)}")
    if weights is not None and weights.shape != index.shape[1:]:
        raise ValueError(
            f"there are {index.shape[1]} edges and weights of shape {tuple(weights.shape)}"
        )
    values = torch.ones(index.shape[1], device=index.device) if weights is None else weights
    if nodes is None and batch is not None:
        nodes = len(batch)
    if nodes is None:
        raise ValueError("edges do not say how many nodes there are: give `nodes`")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < nodes:
        raise ValueError(
            f"edges join nodes 0 to {nodes - 1}, got {int(index.min())} to {int(index.max())}"
        )
    if batch is not None:
        return _own_matrix(_padded(index, values, batch))
    if not is_sparse(nodes, index.shape[1]):
        return _own_matrix(as_matrix(EdgeList(index, values, nodes)))
    found, mirrored = _coalesced(index, values, nodes), _coalesced(index.flip(0), values, nodes)
    same = torch.equal(found.pairs, mirrored.pairs) and torch.equal(found.values, mirrored.values)
    _check_edges(same, bool((found.pairs[0] == found.pairs[1]).any()))
    return found


def _check_edges(symmetric: bool, looped: bool) -> None:
    if not symmetric:
        raise ValueError(
            "the graph is not symmetric, and couplings of an energy are; list edges in both "
            "directions, as torch_geometric.utils.to_undirected does"
        )
    if looped:
        raise ValueError(
            "the graph has self-loops; take them away, as torch_geometric.utils.remove_self_loops"
        )


def _coalesced(index: Tensor, values: Tensor, nodes: int) -> EdgeList:
    """The edges in order, values of repeated ones added up."""
    keys, where = torch.unique(index[0] * nodes + index[1], return_inverse=True)
    summed = values.new_zeros(len(keys)).index_add(0, where, values)
    return EdgeList(torch.stack([keys // nodes, keys % nodes]), summed, nodes)


def _padded(index: Tensor, values: Tensor, batch: Tensor) -> Tensor:
    """Adjacency matrices (B, n, n) of the graphs in a batch, n the size of the largest."""
    sizes = torch.bincount(batch)
    if (batch.diff() < 0).any() or (batch[index[0]] != batch[index[1]]).any():
        raise ValueError("`batch` must be sorted, and edges must stay within a sample")
    place = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
    width = int(sizes.max())
    matrix = values.new_zeros(len(sizes), width, width)
    where = (batch[index[0]], place[index[0]], place[index[1]])
    return matrix.index_put(where, values, accumulate=True)
