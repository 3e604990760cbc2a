"""Elements that belong to sets: the edges that arrive at a node, the nodes of a graph.

`n` elements, `N` sets, `H` heads, `S` size of the largest set.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Sets:
    """Which of N sets each element belongs to.

    Args:
        index: set of each element, (n,), from 0 to N - 1, in any order.
        count: N.
    """

    def __init__(self, index: Tensor, count: int) -> None:
        self.index, self.count = index, count
        self.sizes = index.new_zeros(count).index_add(0, index, torch.ones_like(index))

    @property
    def occupied(self) -> Tensor:
        """Which sets have an element, (N, 1, 1, 1)."""
        return (self.sizes > 0).view(-1, 1, 1, 1)

    def sum(self, values: Tensor) -> Tensor:
        """The elements (n, ...) of every set added up, (N, ...)."""
        return values.new_zeros(self.count, *values.shape[1:]).index_add(0, self.index, values)


class Padding:
    """A block with a row for every set, as long as the largest set.

    The length is a number that Python must know, so the compiler cannot see through it unless it
    captures scalar outputs.

    Attributes:
        mask: which places hold an element, (N, 1, 1, S); S is at least 1.
    """

    def __init__(self, sets: Sets) -> None:
        self.sets = sets
        width = max(1, int(sets.sizes.max())) if sets.count else 1
        order = torch.argsort(sets.index, stable=True)
        counted = torch.arange(len(order), device=order.device)
        starts = sets.sizes.cumsum(0) - sets.sizes
        within = counted - starts[sets.index[order]]
        #: Place of each element within its set, (n,).
        self.place = torch.empty_like(order).index_copy(0, order, within)
        places = torch.arange(width, device=order.device)
        self.mask = (places < sets.sizes.unsqueeze(-1)).view(-1, 1, 1, width)

    def pad(self, values: Tensor) -> Tensor:
        """Elements (n, H, ...) as a block (N, H, S, ...), 0 where there is none."""
        block = values.new_zeros(self.sets.count, self.mask.shape[-1], *values.shape[1:])
        return block.index_put((self.sets.index, self.place), values).transpose(1, 2)

    def unpad(self, block: Tensor) -> Tensor:
        """The elements (n, H, ...) of a block (N, H, S, ...)."""
        return block.transpose(1, 2)[self.sets.index, self.place]
