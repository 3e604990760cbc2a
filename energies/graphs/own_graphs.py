"""Graphs of the user's own as couplings: networkx, arrays, matrices, lists of edges."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attenergy.energies.graphs.couplings import Couplings, EdgeList, as_matrix, is_sparse
from attenergy.registry import GraphError


def own_couplings(
    graph: object,
    nodes: int | None = None,
    weights: object = None,
    batch: object = None,
    order: Iterable[Hashable] | None = None,
) -> Couplings:
    """The couplings of a graph; arguments and errors as for `OnGraph.use_graph`."""
    if hasattr(graph, "is_directed") and hasattr(graph, "edges"):
        if not (nodes is None and batch is None and isinstance(weights, str | None)):
            raise GraphError(
                "a networkx graph has its own nodes and weights: give no nodes, no batch, and as "
                "weights no more than the name of the edges' attribute"
            )
        return _own_networkx(graph, "weight" if weights is None else weights, order)
    if order is not None:
        raise GraphError("order goes with a networkx graph, whose nodes have names")
    weights, batch = _tensor("weights", weights), _tensor("batch", batch)
    tensor = _tensor("graph", graph)
    assert tensor is not None
    if not (tensor.is_floating_point() or tensor.dtype == torch.bool):
        return _own_edges(tensor, nodes, weights, batch)
    if weights is not None or batch is not None:
        raise GraphError("weights and batch go with edges (2, m), got an adjacency matrix")
    if nodes is not None and nodes != tensor.shape[-1]:
        raise GraphError(f"the adjacency matrix has {tensor.shape[-1]} nodes, got nodes={nodes}")
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
    raise GraphError(f"'{name}' must be {allowed}; got {got}")


def _own_networkx(graph: Any, attribute: str, order: Iterable[Hashable] | None) -> Couplings:
    """Nodes in the graph's order or the one given; parallel edges add up."""
    nodes = list(graph.nodes) if order is None else _ordered(graph, order)
    places = {node: place for place, node in enumerate(nodes)}
    values: dict[tuple[int, int], float] = {}
    for i, j, weight in graph.edges(data=attribute, default=1.0):
        if i == j:
            raise GraphError(
                f"the graph has self-loops, of node {i!r} for one; take them away, as "
                "graph.remove_edges_from(list(networkx.selfloop_edges(graph))) does"
            )
        one, other, number = places[i], places[j], _number(i, j, attribute, weight)
        ways = [(one, other)] if graph.is_directed() else [(one, other), (other, one)]
        for way in ways:
            values[way] = values.get(way, 0.0) + number
    for (one, other), value in values.items():
        back = values.get((other, one))
        if back != value and math.isfinite(value):  # the others are refused below
            wrong = "there is no edge back" if back is None else f"the edge back has {back:g}"
            raise GraphError(
                f"the graph is not symmetric: the edge {nodes[one]!r} -> {nodes[other]!r} has "
                f"weight {value:g}, {wrong}; couplings of an energy are symmetric: take "
                "graph.to_undirected()"
            )
    index = torch.tensor(list(values), dtype=torch.long).reshape(-1, 2).mT
    numbers = torch.tensor(list(values.values()), dtype=torch.get_default_dtype())
    return _own_edges(index, len(nodes), numbers, None)


def _ordered(graph: Any, order: Iterable[Hashable]) -> list[Hashable]:
    nodes = list(order)
    unknown = [node for node in nodes if node not in graph]
    absent = [node for node in graph if node not in set(nodes)]
    if unknown or absent or len(nodes) != len(set(nodes)):
        what = (
            f"{unknown[0]!r} is no node of the graph"
            if unknown
            else f"node {absent[0]!r} is missing"
            if absent
            else "a node stands there twice"
        )
        raise GraphError(f"order must name every node of the graph once: {what}")
    return nodes


def _number(i: Hashable, j: Hashable, attribute: str, weight: Any) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError):
        raise GraphError(
            f"the attribute '{attribute}' of an edge must be a number, that of ({i!r}, {j!r}) is "
            f"{weight!r}"
        ) from None


def checked(couplings: Couplings) -> Couplings:
    """Couplings that somebody else saved, checked as if they were given anew.

    Raises:
        ValueError: types or shapes do not fit, or they are no couplings of an energy.
    """
    if isinstance(couplings, Tensor):
        if not couplings.is_floating_point():
            raise GraphError(f"an adjacency matrix holds numbers, not {couplings.dtype}")
        return _own_matrix(couplings)
    pairs, values, nodes = couplings
    whole = pairs.dtype == torch.long and values.is_floating_point()
    if not whole or pairs.ndim != 2 or len(pairs) != 2 or values.shape != pairs.shape[1:]:
        raise GraphError(
            f"a list of edges is whole numbers (2, m) and numbers (m,), got {tuple(pairs.shape)} "
            f"of {pairs.dtype} and {tuple(values.shape)} of {values.dtype}"
        )
    _check_range(pairs, nodes)
    _check_finite(values)
    _check_list(couplings)
    return couplings


def _own_matrix(graph: Tensor) -> Tensor:
    if graph.ndim not in (2, 3) or graph.shape[-1] != graph.shape[-2]:
        raise GraphError(f"an adjacency matrix is (n, n) or (B, n, n), got {tuple(graph.shape)}")
    matrix = graph.to(torch.get_default_dtype()) if graph.dtype == torch.bool else graph
    _check_finite(matrix)
    _check_edges(torch.equal(matrix, matrix.mT), bool(matrix.diagonal(dim1=-2, dim2=-1).any()))
    return matrix


def _own_edges(
    index: Tensor, nodes: int | None, weights: Tensor | None, batch: Tensor | None
) -> Couplings:
    if index.ndim != 2 or index.shape[0] != 2:
        raise GraphError(f"edges are integers (2, m), got {tuple(index.shape)}")
    if weights is not None and weights.shape != index.shape[1:]:
        raise GraphError(
            f"there are {index.shape[1]} edges and weights of shape {tuple(weights.shape)}"
        )
    values = torch.ones(index.shape[1], device=index.device) if weights is None else weights
    _check_finite(values)
    if nodes is None and batch is not None:
        nodes = len(batch)
    if nodes is None:
        raise GraphError("edges do not say how many nodes there are: give `nodes`")
    _check_range(index, nodes)
    if batch is not None:
        return _own_matrix(_padded(index, values, batch))
    if not is_sparse(nodes, index.shape[1]):
        return _own_matrix(as_matrix(EdgeList(index, values, nodes)))
    edges = _coalesced(index, values, nodes)
    _check_list(edges)
    return edges


def _check_range(index: Tensor, nodes: int) -> None:
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < nodes:
        raise GraphError(
            f"edges join nodes 0 to {nodes - 1}, got {int(index.min())} to {int(index.max())}"
        )


def _check_list(edges: EdgeList) -> None:
    there = _coalesced(*edges)
    back = _coalesced(edges.pairs.flip(0), edges.values, edges.nodes)
    same = torch.equal(there.pairs, back.pairs) and torch.equal(there.values, back.values)
    _check_edges(same, bool((edges.pairs[0] == edges.pairs[1]).any()))


def _check_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise GraphError("the graph's couplings must be finite numbers, got NaN or infinity")


def _check_edges(symmetric: bool, looped: bool) -> None:
    if not symmetric:
        raise GraphError(
            "the graph is not symmetric, and couplings of an energy are; list edges in both "
            "directions, as torch_geometric.utils.to_undirected does"
        )
    if looped:
        raise GraphError(
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
        raise GraphError("`batch` must be sorted, and edges must stay within a sample")
    place = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
    width = int(sizes.max())
    matrix = values.new_zeros(len(sizes), width, width)
    where = (batch[index[0]], place[index[0]], place[index[1]])
    return matrix.index_put(where, values, accumulate=True)
