"""What is measured of the paths and heads of a model: plain data.

`P` paths, `N` points, `E` model width, `C` outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attenergy.analysis.paths.alignment import Alignment
from attenergy.analysis.paths.features import SKIP, Path
from attenergy.analysis.paths.pruning import Curve, Head

#: Rows of a table, and bars of a picture.
MOST_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Measures:
    """The paths and heads of a model, how well they fit the task, and what pruning costs.

    `P` paths, `N` points, `E` model width, `C` outputs, or E where they are not known.

    Attributes:
        layers: names of the layers, from the first to the last.
        heads: H of each.
        skip: whether a path may go around a layer.
        points: N.
        number_of_paths: of the model.
        head_alignment: of every head, layer by layer: the mean feature of all paths through it.
        head_written: of every head: what all paths through it write to the outputs; None where the
            values of a layer are not known.
        norms: of every head the norm of its output map; None where a layer has none of its own.
        explained: share of the variance of the last layer's output that the linear sum over paths
            gives; None where values are not known.
        paths: one head of every layer, -1 for going around it; empty where there are too many.
        features: xi of every path, (N, P, E).
        alignment: of every path.
        written: of what every path writes to the outputs; None where that is not known.
        overlaps: alignments of the kernels of paths with each other, (P, P).
        path_weights: effective weights, (P, E, C): the last state, or what a linear `out` makes of
            it, is sum_p features[:, p] @ path_weights[p] in a model that is linear so.
        weight_overlaps: U, (P, P).
        head_scores: of every head the share of |U| in paths through it.
        sums: what kernels of all paths together `sum_alignment` is of.
        sum_alignment: their alignment.
        curves: the score against the number of removed heads, in three orders.
        scores_without: the score without each head alone; None where they are more than 24.
        metric: what the score is.
        apart: whether those are scored on other instances than the alignments.
        draws: random orders.
        unpruned: why there are no curves.
    """

    layers: tuple[str, ...]
    heads: tuple[int, ...]
    skip: bool
    points: int
    number_of_paths: int
    head_alignment: Alignment
    head_written: Alignment | None = None
    norms: tuple[float, ...] | None = None
    explained: float | None = None
    paths: tuple[Path, ...] = ()
    features: Tensor | None = None
    alignment: Alignment | None = None
    written: Alignment | None = None
    overlaps: Tensor | None = None
    path_weights: Tensor | None = None
    weight_overlaps: Tensor | None = None
    head_scores: tuple[float, ...] | None = None
    sums: tuple[str, ...] = ()
    sum_alignment: Alignment | None = None
    curves: tuple[Curve, ...] = ()
    scores_without: tuple[float, ...] | None = None
    metric: str = "score"
    apart: bool = False
    draws: int = 0
    unpruned: str = ""

    @property
    def every_head(self) -> list[Head]:
        """All heads, as `prune_heads` takes them, in the order of `head_alignment`."""
        return [
            (name, head)
            for name, count in zip(self.layers, self.heads, strict=True)
            for head in range(count)
        ]

    @property
    def head_relevance(self) -> Alignment:
        """What heads are judged by: what they write where that is known, else their patterns."""
        return self.head_alignment if self.head_written is None else self.head_written

    @property
    def path_relevance(self) -> Alignment | None:
        """What paths are judged by, in the same way; None where they are too many to follow."""
        return self.alignment if self.written is None else self.written

    @property
    def irrelevant(self) -> list[Head]:
        """The heads that are aligned no better than with shuffled targets, the least first."""
        out = self.head_relevance.stands_out.tolist()
        order = self.head_relevance.value.argsort(stable=True).tolist()
        return [self.every_head[i] for i in order if not out[i]]

    @property
    def costly(self) -> Head | None:
        """The head within the null whose removal alone costs the most; None if none costs."""
        weak, without = set(self.irrelevant), self.scores_without
        if not weak or without is None:
            return None
        score, head = min(
            (value, head)
            for head, value in zip(self.every_head, without, strict=True)
            if head in weak
        )
        return head if score < self.curves[0].at(0) else None

    @property
    def best_paths(self) -> list[int]:
        """Places of the paths above the null, the best aligned first."""
        return [] if self.path_relevance is None else self.path_relevance.best()

    def path_name(self, path: Path) -> str:
        """A path from the first layer to the last, `1 > skip > 0`."""
        return " > ".join("skip" if head == SKIP else str(head) for head in path)

    def shown_paths(self, most: int = MOST_SHOWN) -> list[int]:
        """Places of the best aligned paths."""
        if self.path_relevance is None:
            return []
        order = self.path_relevance.value.argsort(descending=True, stable=True)
        return [int(i) for i in order[:most]]
