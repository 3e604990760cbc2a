"""Graphs on which states or patterns interact: rules, built for whatever size arrives.

A topology is a rule (`ring`, `lattice`, ...) and a seed. Its adjacency matrix is made with networkx
when a number of nodes is first seen and kept, so a layer takes sequences of any length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attenergy.registry import nearest

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.Graph[int]


def _ring(n: int, seed: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.path_graph(n) if n < 3 else nx.cycle_graph(n)
    return graph


def _lattice(n: int, seed: int) -> Graph:
    """The first n nodes, row by row, of the square lattice that is ceil(sqrt(n)) wide."""
    import networkx as nx

    width = math.isqrt(n - 1) + 1
    graph: Graph = nx.empty_graph(n)
    for node in range(n):
        if (node + 1) % width and node + 1 < n:
            graph.add_edge(node, node + 1)
        if node + width < n:
            graph.add_edge(node, node + width)
    return graph


def _watts_strogatz(n: int, seed: int) -> Graph:
    import networkx as nx

    if n < 6:
        return _complete(n, seed)
    graph: Graph = nx.watts_strogatz_graph(n, 4, 0.2, seed=seed)
    return graph


def _barabasi_albert(n: int, seed: int) -> Graph:
    import networkx as nx

    if n < 4:
        return _complete(n, seed)
    graph: Graph = nx.barabasi_albert_graph(n, 2, seed=seed)
    return graph


def _complete(n: int, seed: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.complete_graph(n)
    return graph


TOPOLOGIES: dict[str, Callable[[int, int], Graph]] = {
    "lattice": _lattice,
    "ring": _ring,
    "watts_strogatz": _watts_strogatz,
    "barabasi_albert": _barabasi_albert,
    "complete": _complete,
}


def check_topology(rule: str) -> str:
    """Return the rule's name.

    Raises:
        ValueError: unknown rule; names the nearest and all known ones.
    """
    if rule not in TOPOLOGIES:
        hint = nearest(rule, TOPOLOGIES)
        known = ", ".join(TOPOLOGIES)
        raise ValueError(f"no graph '{rule}'{f' ({hint})' if hint else ''}; known: {known}")
    return rule


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def adjacency(rule: str, nodes: int, seed: int = 0) -> Tensor:
    """The symmetric 0/1 adjacency matrix (nodes, nodes) of a rule, float64, zero diagonal.

    Rules: `lattice` (square, row by row), `ring`, `watts_strogatz` (4 neighbours, rewired with
    probability 0.2), `barabasi_albert` (2 edges a node), `complete`. Sizes too small for a rule
    give the complete graph. The matrix is shared: copy it before changing it.

    Raises:
        ValueError: unknown rule, or no nodes.
    """
    if nodes < 1:
        raise ValueError(f"a graph has at least 1 node, got {nodes}")
    key = (check_topology(rule), nodes, seed)
    if key not in _KEPT:
        made = torch.from_numpy(_adjacency(*key))
        if type(made) is not Tensor:  # no real tensor is made while a graph is traced
            return made
        if len(_KEPT) >= 128:
            del _KEPT[next(iter(_KEPT))]  # the oldest
        _KEPT[key] = made
    return _KEPT[key]


#: The compiler wants one tensor, not equal ones.
_KEPT: dict[tuple[str, int, int], Tensor] = {}


def _adjacency(rule: str, nodes: int, seed: int) -> NDArray[np.float64]:
    import networkx as nx

    graph = TOPOLOGIES[rule](nodes, seed)
    return nx.to_numpy_array(graph, nodelist=range(nodes))
