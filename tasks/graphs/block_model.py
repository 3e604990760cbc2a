"""Communities in a random graph: from the class of a few nodes, tell that of all others."""

from __future__ import annotations

from math import factorial, log

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.contents import graph_codes
from attenergy.tasks.core.sampling import permutations
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.graphs.base import GraphNodes, GraphTask

_CEILING_INSTANCES = 1024
_MOST_ASSIGNMENTS = 1 << 17  # that the exact posterior sums over
_MOST_PAIRS = 1 << 25  # of nodes, in all of them
_MOST_NODES, _MOST_NODES_OF_CEILING = 512, 48


class BlockModel(GraphTask):
    """n nodes in k blocks of equal size; an edge is there with p_in or p_out, by the blocks.

    p_in = (1 - m) c / (n/k - 1) within a block and p_out = m c / (n - n/k) between two, so that a
    node has c neighbours on average, the share m of them in other blocks. The block of `shown`
    nodes of each block is told: features are one-hot there, zero at all others, which are scored.
    Metrics: see `GraphTask`. `ceiling` is the mean accuracy, over the first 1024 graphs of a
    split, of the best guess under the exact posterior (a sum over all assignments of the hidden
    nodes; None if these are more than 131072, or the nodes more than 48). In large sparse graphs
    the blocks can be found from the edges alone, by fast algorithms, if c (1 - m k/(k - 1))^2 > 1.

    Splits share no graph, however its nodes are numbered.

    Args:
        nodes: n, a multiple of k, at most 512.
        blocks: k >= 2.
        degree: c > 0, such that both probabilities are below 1.
        mixing: m, above 0 and below 1.
        shown: nodes of each block whose block is told, >= 1, fewer than n/k.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few graphs.

    Source: Holland, Laskey and Leinhardt 1983, doi:10.1016/0378-8733(83)90021-7; the threshold:
    Decelle et al. 2011, arXiv:1109.3041.

    Example:
        >>> print(BlockModel(nodes=6, degree=2).sample("train", 0))
        nodes (node:class, ? where it is asked for): 0:?1 1:?1 2:1 3:?0 4:?0 5:0
        edges: 0-1 0-4 1-2 2-3 3-4 3-5 4-5
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        nodes: int = 20,
        blocks: int = 2,
        degree: float = 4.0,
        mixing: float = 0.2,
        shown: int = 1,
        name: str = "sbm",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.size = check_whole("nodes", nodes, 2, _MOST_NODES)
        self.blocks = check_whole("blocks", blocks, 2)
        self.shown = check_whole("shown", shown, 1)
        each, rest = divmod(self.size, self.blocks)
        if rest:
            raise TaskOptionError(f"'nodes' must be a multiple of blocks = {blocks}, got {nodes}")
        if self.shown >= each:
            raise TaskOptionError(
                f"'shown' must be below nodes/blocks = {each}, so that some are asked for; "
                f"got {shown}"
            )
        if not 0 < mixing < 1:
            raise TaskOptionError(f"'mixing' must be above 0 and below 1, got {mixing!r}")
        self.within = degree * (1 - mixing) / (each - 1)
        self.across = degree * mixing / (self.size - each)
        if not 0 < min(self.within, self.across) <= max(self.within, self.across) < 1:
            raise TaskOptionError(
                f"'degree' must be above 0 and leave both probabilities of an edge below 1, got "
                f"{degree!r}: {self.within:.3g} within a block, {self.across:.3g} between two"
            )
        self.inputs = Inputs("vector", self.blocks, self.size)
        self.outputs = Outputs(self.blocks)
        right = 1 / self.blocks
        self.chance = {"accuracy": right, "solved": right ** (self.size - self.blocks * self.shown)}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `order` (N, n) and `edges` bool (N, n, n).

        Node i is in block `order[i]` modulo k, and is shown if `order[i]` is below k `shown`.
        """

        def draw(number: int) -> Fields:
            order = permutations(number, self.size, generator)
            label = order % self.blocks
            i, j = torch.triu_indices(self.size, self.size, 1)
            chance = torch.where(label[:, i] == label[:, j], self.within, self.across)
            there = torch.rand(chance.shape, generator=generator) < chance
            edges = torch.zeros(number, self.size, self.size, dtype=torch.bool)
            edges[:, i, j] = edges[:, j, i] = there
            return {"order": order, "edges": edges}

        return draw_in_part(draw, self._content, split, count)

    def _content(self, fields: Fields) -> Tensor:
        order = fields["order"]
        known = torch.where(self._is_shown(order), order % self.blocks, self.blocks)
        return graph_codes(fields["edges"], known)

    def _is_shown(self, order: Tensor) -> Tensor:
        return order < self.blocks * self.shown

    def nodes(self, instances: Fields) -> GraphNodes:
        """Features are the shown blocks, one-hot."""
        order, edges = instances["order"], instances["edges"]
        label, shown = order % self.blocks, self._is_shown(order)
        return GraphNodes(
            features=one_hot(label, self.blocks).float() * shown[..., None],
            edges=edges,
            classes=label,
            targets=label.masked_fill(shown, IGNORE),
        )

    def posterior(self, instances: Fields) -> Tensor:
        """Probability (N, n, k), float64, of every node's block, given the edges and features.

        With equal sizes the likelihood depends on an assignment only through the number of edges
        within blocks: each one counts p_in (1 - p_out) / (p_out (1 - p_in)).
        """
        hidden = self.size // self.blocks - self.shown
        order, edges = instances["order"], instances["edges"]
        known = torch.arange(self.blocks * self.shown) % self.blocks
        unknown = assignments([hidden] * self.blocks)
        table = torch.cat([known.expand(len(unknown), -1), unknown], 1)  # in the order of `order`
        i, j = torch.triu_indices(self.size, self.size, 1)
        small = table.to(torch.int16)
        joined = (small[:, i] == small[:, j]).float()
        odds = log(self.within * (1 - self.across) / (self.across * (1 - self.within)))
        blocks = one_hot(table, self.blocks).double().flatten(1)
        shares = []
        for part, graph in zip(torch.split(order, 64), torch.split(edges, 64), strict=True):
            rows = part.argsort(-1)
            there = graph.gather(1, rows[:, :, None].expand_as(graph))
            there = there.gather(2, rows[:, None, :].expand_as(graph))
            inside = there[:, i, j].float() @ joined.T
            weights = (odds * inside.double()).softmax(-1)
            sorted_nodes = (weights @ blocks).view(len(part), self.size, self.blocks)
            shares.append(sorted_nodes.gather(1, part[..., None].expand_as(sorted_nodes)))
        return torch.cat(shares)

    def _ceiling(self, split: str) -> Estimate | None:
        each = self.size // self.blocks - self.shown
        if self.size > _MOST_NODES_OF_CEILING:
            return None
        number = factorial(each * self.blocks) // factorial(each) ** self.blocks
        if number > _MOST_ASSIGNMENTS or number * self.size**2 // 2 > _MOST_PAIRS:
            return None
        instances = self.instances(split, 0, _CEILING_INSTANCES)
        hidden = ~self._is_shown(instances["order"])
        best = self.posterior(instances).amax(-1) * hidden
        return Estimate.of(best.sum(-1) / hidden.sum(-1))


def assignments(counts: list[int]) -> Tensor:
    """All rows in which label l occurs `counts[l]` times: (multinomial, sum of counts), sorted."""
    rows, left = torch.zeros(1, 0, dtype=torch.int64), torch.tensor([counts])
    for _ in range(sum(counts)):
        row, label = (left > 0).nonzero(as_tuple=True)
        rows = torch.cat([rows[row], label[:, None]], 1)
        left = left[row]
        left[torch.arange(len(row)), label] -= 1
    return rows
