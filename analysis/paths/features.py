"""What a path brings to the scored position: products of attention patterns on the input.

    xi_pi = r A_n^{h_n} ... A_1^{h_1} x0        one head h_l of every layer l: the path pi

with r the scored position (or the mean over positions), A_l^h the pattern of head h in layer l and
x0 what the first layer reads. The residual connection is one more head of every layer, whose
pattern is the identity: `SKIP`.

`N` points (scored positions), `P` paths, `H` heads, `L`, `S` positions, `E` model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from attenergy.analysis.paths.patterns import Patterns

#: The residual connection, among the heads of a path.
SKIP = -1
#: One head of every layer, from the first to the last.
Path = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Points:
    """The scored positions of one batch that are looked at.

    Attributes:
        instance: which instance of the batch each is of, (N,).
        readout: r, the weight of every computed position, (N, L).
        places: which positions of the sequence are computed, (L,).
    """

    instance: Tensor
    readout: Tensor
    places: Tensor

    def first(self, most: int) -> Points:
        """The first so many of them."""
        return Points(self.instance[:most], self.readout[:most], self.places)

    def read(self, outputs: Tensor) -> Tensor:
        """What is read at the points of outputs (B, L, E), (N, E)."""
        return (self.readout[:, None] @ outputs[self.instance])[:, 0]


def count_paths(heads: Sequence[int], skip: bool) -> int:
    """How many paths there are."""
    return prod(each + skip for each in heads)


def all_paths(heads: Sequence[int], skip: bool) -> list[Path]:
    """Every path, in the order of `path_features`: the first layer's head changes fastest."""
    paths: list[Path] = [()]
    for count in reversed(heads):
        paths = [(head, *path) for head in _heads(count, skip) for path in paths]
    return paths


def path_features(patterns: Patterns, points: Points, skip: bool) -> Tensor:
    """The features xi of all paths at all points, (N, P, E)."""
    rows = points.readout[:, None]  # (N, paths so far, L)
    for number in range(len(patterns.weights) - 1, -1, -1):
        read = rows[:, None] @ patterns.weights[number][points.instance]  # (N, H, paths, S)
        if skip:
            stay = rows if number + 1 < len(patterns.weights) else _spread(rows, points, read)
            read = torch.cat([read, stay[:, None]], 1)
        rows = read.flatten(1, 2)
    return rows @ patterns.inputs[points.instance]


def head_features(patterns: Patterns, points: Points, skip: bool) -> list[Tensor]:
    """Of every layer the mean of xi over the paths through each of its heads, [(N, H, E)].

    By dynamic programming: (r M_n ... M_{l+1}) A_l^h (M_{l-1} ... M_1 x0), with M the mean of the
    patterns of a layer, the identity among them where there is a residual connection.
    """
    n = len(patterns.weights)
    states = [patterns.inputs]  # before each layer, (B, S, E)
    for weights in patterns.weights[:-1]:
        moved = weights.sum(1) @ states[-1] + (states[-1] if skip else 0)
        states.append(moved / (weights.shape[1] + skip))
    rows, features = points.readout, []  # (N, L)
    for number in range(n - 1, -1, -1):
        weights = patterns.weights[number][points.instance]  # (N, H, L, S)
        read = (rows[:, None, None] @ weights)[:, :, 0]  # (N, H, S)
        features.append(read @ states[number][points.instance])
        stay: Tensor | float = 0.0
        if skip:
            stay = rows if number < n - 1 else _spread(rows[:, None], points, read)[:, 0]
        rows = (read.sum(1) + stay) / (weights.shape[1] + skip)
    return features[::-1]


def _heads(count: int, skip: bool) -> list[int]:
    return [*range(count), *([SKIP] if skip else [])]


def _spread(rows: Tensor, points: Points, like: Tensor) -> Tensor:
    """Rows over the computed positions (N, P, L) as rows over all of them, (N, P, S)."""
    spread = rows.new_zeros(*rows.shape[:-1], like.shape[-1])
    return spread.index_add(-1, points.places, rows)
