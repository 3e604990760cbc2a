"""Graphs of the user's own as couplings: networkx, arrays, matrices, lists of edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attenergy.energies.graphs.couplings import Couplings, EdgeList, as_matrix, is_sparse
from attenergy.registry import ArgumentError


def own_couplings(
    graph: object,
    nodes: int | None = None,
    weights: object = None,
    batch: object = None,
) -> Couplings:
    """The couplings of a graph; arguments and errors as for `OnGraph.use_graph`."""
    weights, batch = _tensor("weights", weights), _tensor("batch", batch)
    if hasattr(graph, "is_directed") and hasattr(graph, "edges"):
        if not (nodes is None and weights is None and batch is None):
            raise ArgumentError(
                "a networkx graph has its own nodes and weights: give no nodes, weights or batch"
            )
        return _own_networkx(graph)
    tensor = _tensor("graph", graph)
    assert tensor is not None
    if not (tensor.is_floating_point() or tensor.dtype == torch.bool):
        return _own_edges(tensor, nodes, weights, batch)
    if weights is not None or batch is not None:
        raise ArgumentError("weights and batch go with edges (2, m), got an adjacency matrix")
    if nodes is not None and nodes != tensor.shape[-1]:
        raise ArgumentError(f"the adjacency matrix has {tensor.shape[-1]} nodes, got nodes={nodes}")
    return _own_matrix(tensor)


def _tensor(name: str, value: object) -> Tensor | None:
    if value is None or isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "bifu":
        return torch.from_numpy(np.ascontiguousarray(value))
    allowed = "a tensor or a numpy array of numbers"
    if name == "graph":
        allowed = f"a networkx graph, {allowed}: an adjacency matrix or edges (2, m)"
    got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise ArgumentError(f"'{name}' must be {allowed}; got {got}")


def _own_networkx(graph: Any) -> Couplings:
    """Nodes in the graph's order; the attribute `weight` of an edge is its coupling, else 1."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    edges = list(graph.edges(data="weight", default=1.0))
    index = torch.tensor([(places[i], places[j]) for i, j, _ in edges], dtype=torch.long)
    index = index.reshape(-1, 2).mT
    values = torch.tensor([float(w) for *_, w in edges], dtype=torch.get_default_dtype())
    if not graph.is_directed():
        index, values = torch.cat([index, index.flip(0)], 1), torch.cat([values, values])
    return _own_edges(index, len(places), values, None)


def _own_matrix(graph: Tensor) -> Tensor:
    if graph.ndim not in (2, 3) or graph.shape[-1] != graph.shape[-2]:
        raise ArgumentError(f"an adjacency matrix is (n, n) or (B, n, n), got {tuple(graph.shape)}")
    matrix = graph.to(torch.get_default_dtype()) if graph.dtype == torch.bool else graph
    _check_finite(matrix)
    _check_edges(torch.equal(matrix, matrix.mT), bool(matrix.diagonal(dim1=-2, dim2=-1).any()))
    return matrix


def _own_edges(
    index: Tensor, nodes: int | None, weights: Tensor | None, batch: Tensor | None
) -> Couplings:
    if index.ndim != 2 or index.shape[0] != 2:
        raise ArgumentError(f"edges are integers (2, m), got {tuple(index.shape)}")
    if weights is not None and weights.shape != index.shape[1:]:
        raise ArgumentError(
            f"there are {index.shape[1]} edges and weights of shape {tuple(weights.shape)}"
        )
    values = torch.ones(index.shape[1], device=index.device) if weights is None else weights
    _check_finite(values)
    if nodes is None and batch is not None:
        nodes = len(batch)
    if nodes is None:
        raise ArgumentError("edges do not say how many nodes there are: give `nodes`")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < nodes:
        raise ArgumentError(
            f"edges join nodes 0 to {nodes - 1}, got {int(index.min())} to {int(index.max())}"
        )
    if batch is not None:
        return _own_matrix(_padded(index, values, batch))
    if not is_sparse(nodes, index.shape[1]):
        return _own_matrix(as_matrix(EdgeList(index, values, nodes)))
    edges, mirrored = _coalesced(index, values, nodes), _coalesced(index.flip(0), values, nodes)
    same = torch.equal(edges.pairs, mirrored.pairs) and torch.equal(edges.values, mirrored.values)
    _check_edges(same, bool((edges.pairs[0] == edges.pairs[1]).any()))
    return edges


def _check_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ArgumentError("the graph's couplings must be finite numbers, got NaN or infinity")


def _check_edges(symmetric: bool, looped: bool) -> None:
    if not symmetric:
        raise ArgumentError(
            "the graph is not symmetric, and couplings of an energy are; list edges in both "
            "directions, as torch_geometric.utils.to_undirected does"
        )
    if looped:
        raise ArgumentError(
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
        raise ArgumentError("`batch` must be sorted, and edges must stay within a sample")
    place = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
    width = int(sizes.max())
    matrix = values.new_zeros(len(sizes), width, width)
    where = (batch[index[0]], place[index[0]], place[index[1]])
    return matrix.index_put(where, values, accumulate=True)
