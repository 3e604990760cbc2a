"""Graphs on which states, patterns or components interact: rules, built for whatever size arrives.

A topology is a rule (`ring`, `lattice`, ...), a seed and a few numbers. Its edges are made with
networkx when a number of nodes is first seen and kept, so a layer takes sequences of any length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, ParamSpec

import numpy as np
import torch
from torch import Tensor

from attenergy.registry import GraphError, UnknownName

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.Graph[int]


P = ParamSpec("P")


class Shape(NamedTuple):
    """The numbers of a rule; each rule reads those that it has a use for.

    Attributes:
        degree: mean number of neighbours (`watts_strogatz`, `barabasi_albert`, `erdos_renyi`,
            `stochastic_block`, and `knn`, which is built from patterns).
        rewire: probability of rewiring an edge (`watts_strogatz`).
        blocks: number of blocks (`stochastic_block`).
        mixing: share of the edges that join different blocks (`stochastic_block`).
    """

    degree: int = 4
    rewire: float = 0.2
    blocks: int = 4
    mixing: float = 0.1


def _complete(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    graph: Graph = nx.complete_graph(n)
    return graph


def _chain(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    graph: Graph = nx.path_graph(n)
    return graph


def _ring(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    return _chain(n, seed, shape) if n < 3 else nx.cycle_graph(n)


def _lattice(n: int, seed: int, shape: Shape) -> Graph:
    """The first n nodes, row by row, of the square lattice that is ceil(sqrt(n)) wide."""
    return _grid(n, math.isqrt(n - 1) + 1, 2)


def _lattice3(n: int, seed: int, shape: Shape) -> Graph:
    """The first n nodes, layer by layer, of the smallest cubic lattice that holds them."""
    width = 1
    while width**3 < n:
        width += 1
    return _grid(n, width, 3)


def _grid(n: int, width: int, axes: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.empty_graph(n)
    for node in range(n):
        for stride in (width**axis for axis in range(axes)):
            if node + stride < n and (node // stride) % width < width - 1:
                graph.add_edge(node, node + stride)
    return graph


def _erdos_renyi(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    graph: Graph = nx.gnp_random_graph(n, min(1.0, shape.degree / max(n - 1, 1)), seed=seed)
    return graph


def _watts_strogatz(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    if n < shape.degree + 2:
        return _complete(n, seed, shape)
    graph: Graph = nx.watts_strogatz_graph(n, shape.degree, shape.rewire, seed=seed)
    return graph


def _barabasi_albert(n: int, seed: int, shape: Shape) -> Graph:
    import networkx as nx

    new = max(1, shape.degree // 2)
    if n < new + 2:
        return _complete(n, seed, shape)
    graph: Graph = nx.barabasi_albert_graph(n, new, seed=seed)
    return graph


def _stochastic_block(n: int, seed: int, shape: Shape) -> Graph:
    """Blocks of consecutive nodes, as equal as can be."""
    import networkx as nx

    count = min(shape.blocks, n)
    sizes = [n // count + (block < n % count) for block in range(count)]
    within = min(1.0, shape.degree * (1 - shape.mixing) / max(n / count - 1, 1))
    across = min(1.0, shape.degree * shape.mixing / max(n - n / count, 1))
    chances = np.full((count, count), across) + (within - across) * np.eye(count)
    drawn = nx.stochastic_block_model(sizes, chances.tolist(), seed=seed)
    graph: Graph = nx.empty_graph(n)
    graph.add_edges_from(drawn.edges)
    return graph


TOPOLOGIES: dict[str, Callable[[int, int, Shape], Graph]] = {
    "chain": _chain,
    "ring": _ring,
    "lattice": _lattice,
    "lattice3": _lattice3,
    "complete": _complete,
    "erdos_renyi": _erdos_renyi,
    "watts_strogatz": _watts_strogatz,
    "barabasi_albert": _barabasi_albert,
    "stochastic_block": _stochastic_block,
}

#: The rule that joins every pattern to its nearest ones instead of looking at positions.
KNN = "knn"


def check_topology(rule: str) -> str:
    """Return the rule's name.

    Raises:
        ValueError: unknown rule; names the nearest and all known ones.
    """
    names = [*TOPOLOGIES, KNN]
    if rule not in names:
        raise UnknownName("graph", rule, names)
    return rule


def constant(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Tell the compiler that equal arguments give equal results.

    What `torch.compiler.assume_constant_result` does, which would import the compiler, and so cost
    every process a second.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def edge_index(
    rule: str,
    nodes: int,
    seed: int = 0,
    degree: int = 4,
    rewire: float = 0.2,
    blocks: int = 4,
    mixing: float = 0.1,
) -> Tensor:
    """The edges of a rule, int64 (2, m): first i < j in order, then the same ones as j, i.

    The tensor is kept and shared: copy it before changing it.

    Raises:
        ValueError: unknown rule, one built from patterns, no nodes, or a number out of range.
    """
    shape = Shape(degree, rewire, blocks, mixing)
    return cached(("index", rule, nodes, seed, shape), lambda: _edges(rule, nodes, seed, shape))


@constant
def adjacency(
    rule: str,
    nodes: int,
    seed: int = 0,
    degree: int = 4,
    rewire: float = 0.2,
    blocks: int = 4,
    mixing: float = 0.1,
) -> Tensor:
    """The symmetric 0/1 adjacency matrix (nodes, nodes) of a rule, float64, zero diagonal.

    Rules: `chain`, `ring`, `lattice` (square, row by row), `lattice3` (cubic), `complete`,
    `erdos_renyi`, `watts_strogatz`, `barabasi_albert`, `stochastic_block`; the numbers are those of
    `Shape`. Sizes too small for a rule give the complete graph. The matrix is kept and shared: copy
    it before changing it.

    Raises:
        ValueError: unknown rule, one built from patterns, no nodes, or a number out of range.

    Example:
        >>> adjacency("ring", 4, degree=2).int()
        tensor([[0, 1, 0, 1],
                [1, 0, 1, 0],
                [0, 1, 0, 1],
                [1, 0, 1, 0]], dtype=torch.int32)
    """
    shape = Shape(degree, rewire, blocks, mixing)

    def make() -> Tensor:
        i, j = _edges(rule, nodes, seed, shape)
        matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
        matrix[i, j] = 1.0
        return matrix

    return cached(("matrix", rule, nodes, seed, shape), make)


def cached(key: tuple[object, ...], make: Callable[[], Tensor]) -> Tensor:
    """The tensor of a key, made once: the compiler wants one tensor, not equal ones."""
    if key not in _CACHE:
        # Imported here: it brings torch's compiler along, which takes a second.
        from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

        with temporarily_clear_interpreter_stack():  # or a gradient's wrapper would be kept
            made = make()
        if type(made) is not Tensor:  # no real tensor is made while a graph is traced
            return made
        if len(_CACHE) >= 128:
            del _CACHE[next(iter(_CACHE))]  # the oldest
        _CACHE[key] = made
    return _CACHE[key]


_CACHE: dict[tuple[object, ...], Tensor] = {}


def _edges(rule: str, nodes: int, seed: int, shape: Shape) -> Tensor:
    if check_topology(rule) == KNN:
        raise GraphError("the graph 'knn' is built from patterns, not from a number of nodes")
    if nodes < 1:
        raise GraphError(f"a graph has at least 1 node, got {nodes}")
    check_shape(shape)
    pairs = sorted((min(e), max(e)) for e in TOPOLOGIES[rule](nodes, seed, shape).edges)
    half = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return torch.from_numpy(np.concatenate([half, half[::-1]], axis=1))


def check_shape(shape: Shape) -> None:
    """Check the numbers of a rule.

    Raises:
        ValueError: a number out of range.
    """
    for name, value in (("degree", shape.degree), ("blocks", shape.blocks)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise GraphError(
                f"a graph's {name} must be a whole number from 1, got {value!r} (graph_{name})"
            )
    for name, share in (("rewire", shape.rewire), ("mixing", shape.mixing)):
        if not 0 <= share <= 1:
            raise GraphError(f"a graph's {name} must lie in [0, 1], got {share!r} (graph_{name})")


def nearest_neighbours(X: Tensor, degree: int, mask: Tensor | None = None) -> Tensor:
    """1 where a pattern is among the `degree` nearest of another or the other way round, else 0.

    No gradient passes through the choice. Hidden patterns are nobody's neighbours.

    Args:
        X: patterns (..., S, D).
        degree: number of neighbours that each pattern chooses.
        mask: boolean (..., L, S), True = visible; every state has the graph of what it sees.

    Returns:
        (..., L, S, S), with L = 1 without a mask; symmetric, zero diagonal.
    """
    X = X.detach()
    square = (X * X).sum(-1, keepdim=True)
    distance = (square + square.mT - 2.0 * X @ X.mT).unsqueeze(-3)
    barred = torch.eye(X.shape[-2], dtype=torch.bool, device=X.device)
    if mask is not None:
        barred = barred | ~(mask.unsqueeze(-1) & mask.unsqueeze(-2))
    distance, barred = torch.broadcast_tensors(distance, barred)  # type: ignore[no-untyped-call]
    distance = distance.masked_fill(barred, torch.inf)
    chosen = distance.topk(min(degree, X.shape[-2]), dim=-1, largest=False).indices
    edges = torch.zeros_like(distance).scatter(-1, chosen, 1.0).masked_fill(barred, 0.0)
    return torch.maximum(edges, edges.mT)
