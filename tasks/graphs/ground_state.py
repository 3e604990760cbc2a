"""Ground states of small spin glasses: which way does every spin point at lowest energy?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_known, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.graphs.base import GraphNodes, GraphTask

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.Graph[int]

_MOST_NODES = 16  # 2^15 states are compared for every instance


class GroundState(GraphTask):
    """E(s) = -sum_{i<j} J_ij s_i s_j over s in {-1, +1}^n; J ~ N(0, 1) on the edges of a graph.

    The graph is the same in all instances. One spin, drawn at random, is pinned to a random side,
    which leaves one state of lowest energy, up to chances of probability 0; it is found by
    comparing all 2^(n-1). Features of node i, width 2n + 1: its row of J, its number one-hot, and
    its spin if it is pinned, else 0. Class 1 is spin +1; all but the pinned one are scored.
    Metrics: see `GraphTask`; at best 1. Each spin by itself is +1 or -1 with probability 1/2.

    Splits share no set of couplings' strengths, so neither renumbering a graph nor turning some of
    its spins over leads from one split to another.

    Args:
        nodes: n, from 2 to 16; what the graph allows.
        graph: `chain` (no frustration: signs multiply along it), `ring`, `lattice` (the torus that
            is nearest to square, sides from 3), `regular` (three random neighbours) or `complete`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets and the graph `regular`.

    Raises:
        ValueError: for options out of range, or a graph that does not have so many nodes.

    Source: Edwards and Anderson 1975, doi:10.1088/0305-4608/5/5/017 (lattice); Sherrington and
    Kirkpatrick 1975, doi:10.1103/PhysRevLett.35.1792 (complete).

    Example:
        >>> GroundState(nodes=9).batch("train", 0, 4).inputs.shape
        torch.Size([4, 9, 19])
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        nodes: int = 12,
        graph: str = "lattice",
        name: str = "ground-state",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.size = check_whole("nodes", nodes, 2, _MOST_NODES)
        self.graph = check_known("graph", graph, tuple(GRAPHS))
        made = GRAPHS[graph](self.size, check_whole("split_seed", split_seed))
        pairs = sorted((min(edge), max(edge)) for edge in made.edges)
        self.pairs = torch.tensor(pairs).T  # (2, m)
        self.inputs = Inputs("vector", 2 * self.size + 1, self.size)
        self.outputs = Outputs(2)
        self.chance = {"accuracy": 0.5, "solved": 0.5 ** (self.size - 1)}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `couplings` (N, m), `pinned` (N,) and the `spins` (N, n) of lowest energy."""

        def draw(number: int) -> Fields:
            size = (number, self.pairs.shape[1])
            couplings = torch.randn(size, generator=generator, dtype=torch.float64)
            return {"couplings": couplings}

        def strengths(fields: Fields) -> Tensor:
            return fields["couplings"].abs().sort(-1).values.view(torch.int64)

        fields = draw_in_part(draw, strengths, split, count)
        pinned = torch.randint(self.size, (count,), generator=generator)
        side = 2 * torch.randint(2, (count, 1), generator=generator) - 1
        spins = lowest(fields["couplings"], self.pairs, self.size)
        turn = side * spins.gather(1, pinned[:, None])
        return {**fields, "pinned": pinned, "spins": spins * turn}

    def nodes(self, instances: Fields) -> GraphNodes:
        """Features are the couplings, the node's number and the pinned spin."""
        couplings, pinned, spins = (instances[name] for name in ("couplings", "pinned", "spins"))
        count, (i, j) = len(spins), self.pairs
        weights = torch.zeros(count, self.size, self.size)
        weights[:, i, j] = couplings.float()
        weights = weights + weights.mT
        edges = torch.zeros(self.size, self.size, dtype=torch.bool)
        edges[i, j] = edges[j, i] = True
        is_pinned = torch.arange(self.size) == pinned[:, None]
        number = torch.eye(self.size).expand(count, -1, -1)
        shown = (spins * is_pinned).float()[..., None]
        classes = (spins + 1) // 2
        return GraphNodes(
            features=torch.cat([weights, number, shown], -1),
            edges=edges.expand(count, -1, -1),
            classes=classes,
            targets=classes.masked_fill(is_pinned, IGNORE),
            weights=weights,
        )

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # the input decides the state of lowest energy


def lowest(couplings: Tensor, pairs: Tensor, size: int) -> Tensor:
    """Spins (N, n), +-1, of lowest energy for couplings (N, m) on pairs (2, m); the last is +1."""
    states = torch.arange(2 ** (size - 1))[:, None] >> torch.arange(size) & 1
    spins = 1 - 2 * states
    i, j = pairs
    agree = (spins[:, i] * spins[:, j]).to(couplings.dtype)
    best = [(part @ agree.T).argmax(-1) for part in torch.split(couplings, 128)]
    return spins[torch.cat(best)]


def _chain(n: int, seed: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.path_graph(n)
    return graph


def _ring(n: int, seed: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.cycle_graph(n)
    return graph


def _lattice(n: int, seed: int) -> Graph:
    import networkx as nx

    rows = next(r for r in range(math.isqrt(n), 0, -1) if n % r == 0)
    if rows < 3:
        raise TaskOptionError(
            f"'nodes' of a lattice must be a product of two sides from 3 (9, 12, 15 or 16), got {n}"
        )
    grid = nx.grid_2d_graph(rows, n // rows, periodic=True)
    graph: Graph = nx.convert_node_labels_to_integers(grid, ordering="sorted")
    return graph


def _regular(n: int, seed: int) -> Graph:
    import networkx as nx

    if n < 4 or n % 2:
        raise TaskOptionError(
            f"'nodes' of a regular graph of degree 3 must be even, from 4, got {n}"
        )
    graph: Graph = nx.random_regular_graph(3, n, seed=seed)
    while not nx.is_connected(graph):  # else the pinned spin leaves the others undecided
        seed += 1
        graph = nx.random_regular_graph(3, n, seed=seed)
    return graph


def _complete(n: int, seed: int) -> Graph:
    import networkx as nx

    graph: Graph = nx.complete_graph(n)
    return graph


GRAPHS: dict[str, Callable[[int, int], Graph]] = {
    "chain": _chain,
    "ring": _ring,
    "lattice": _lattice,
    "regular": _regular,
    "complete": _complete,
}
