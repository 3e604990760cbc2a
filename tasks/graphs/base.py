"""What tasks over the nodes of a graph share: masks, metrics, PyTorch Geometric's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attenergy.tasks.core.base import IGNORE, Task, scored_hits
from attenergy.tasks.core.batches import Batch
from attenergy.tasks.core.streams import Fields

if TYPE_CHECKING:
    from torch_geometric.data.data import Data


class GraphTask(Task):
    """A class for every node: `generate` draws what `nodes`, written by a subclass, turns into it.

    A batch holds the nodes as a sequence of vectors, and as its mask the edges, by which a node
    sees its neighbours and itself. `data` gives the same instance to PyTorch Geometric.

    Metrics: `accuracy`, the share of an instance's scored nodes that are right, and `solved`,
    whether all of them are.

    Example:
        >>> [each.__name__ for each in (BlockModel, GroundState) if issubclass(each, GraphTask)]
        ['BlockModel', 'GroundState']
    """

    metric = "accuracy"
    masks_pairs = True

    def nodes(self, instances: Fields) -> GraphNodes:
        """Turn drawn instances into features, edges and targets."""
        raise NotImplementedError

    def encode(self, instances: Fields) -> Batch:
        """Features (B, L, size) float32, targets (B, L), mask (B, L, L) with the diagonal."""
        nodes = self.nodes(instances)
        itself = torch.eye(nodes.edges.shape[-1], dtype=torch.bool)
        return Batch(nodes.features, nodes.targets, nodes.edges | itself)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy` and `solved`, from logits (B, L, C) and targets (B, L)."""
        hits, scored = scored_hits(logits, targets)
        return {
            "accuracy": hits.sum(-1) / scored.sum(-1),
            "solved": (hits | ~scored).all(-1).to(logits.dtype),
        }

    def data(self, split: str, index: int) -> Data:
        """Instance `index` of `split` for PyTorch Geometric.

        Returns:
            `x` (L, size) features; `edge_index` (2, m), both directions, no self-loops; `y` (L,)
            classes, `IGNORE` where nothing is asked; `scored` bool (L,); `edge_attr` (m, 1), if the
            edges have weights. torch_geometric is imported here.
        """
        from torch_geometric.data.data import Data

        nodes = self.nodes(self.instances(split, index, 1))
        edge_index = nodes.edges[0].nonzero().T.contiguous()
        weights = {}
        if nodes.weights is not None:
            weights["edge_attr"] = nodes.weights[0][tuple(edge_index)][:, None]
        return Data(
            x=nodes.features[0],
            edge_index=edge_index,
            y=nodes.targets[0],
            scored=nodes.targets[0] != IGNORE,
            **weights,
        )

    def sample(self, split: str, index: int) -> GraphInstance:
        """Instance `index` of `split`, to look at."""
        nodes = self.nodes(self.instances(split, index, 1))
        pairs = nodes.edges[0].triu(1).nonzero().tolist()
        weights = None if nodes.weights is None else nodes.weights[0]
        return GraphInstance(
            classes=tuple(nodes.classes[0].tolist()),
            shown=tuple((nodes.targets[0] == IGNORE).tolist()),
            edges=tuple((i, j, 1.0 if weights is None else weights[i, j].item()) for i, j in pairs),
            weighted=weights is not None,
        )


@dataclass(frozen=True)
class GraphNodes:
    """The nodes of a batch of graphs with L nodes.

    features: float32 (B, L, size). edges: bool (B, L, L), symmetric, no self-loops.
    classes: int64 (B, L), of all nodes. targets: the same, `IGNORE` where the class is shown.
    weights: float32 (B, L, L) of the edges, or None.
    """

    features: Tensor
    edges: Tensor
    classes: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class GraphInstance:
    """The class of every node, whether it is shown, and the edges (i, j, weight), i < j.

    Example:
        >>> BlockModel(nodes=6, degree=2).sample("train", 0).classes
        (1, 1, 1, 0, 0, 0)
    """

    classes: tuple[int, ...]
    shown: tuple[bool, ...]
    edges: tuple[tuple[int, int, float], ...]
    weighted: bool

    def __str__(self) -> str:
        pairs = zip(self.classes, self.shown, strict=True)
        nodes = " ".join(f"{i}:{'' if shown else '?'}{c}" for i, (c, shown) in enumerate(pairs))
        edges = " ".join(f"{i}-{j}" + f"({w:+.2f})" * self.weighted for i, j, w in self.edges)
        return f"nodes (node:class, ? where it is asked for): {nodes}\nedges: {edges}"
