"""Harder forms of multi-query recall: values that change, and keys of two parts."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Generator

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import check_whole
from attenergy.tasks.core.sampling import distinct, permutations
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.recall.base import QueriedRecall, check_keys, draw_pairs


class ForgettingRecall(QueriedRecall):
    """K pairs (key, value), then U of the keys again with new values: answer with the last value.

    As `MQAR`, but for the U updates that follow the pairs. The updated keys are drawn uniformly
    and without repeats; the new value is uniform over the values that the key did not have.

    Splits share no context, in whatever order entries of different keys come. Chance and ceiling
    are those of `MQAR`; answering with the first value gives 1 - U/K.

    Args:
        vocabulary: V, above L, >= 6.
        length: L, even.
        pairs: K, 4K + 2U <= L and K <= V/2 - 1.
        updates: U, 1 <= U <= K.
        power: a, above 0.
        random_non_queries: whether filler is any id, not 0.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few contexts.

    Source: the forgetting variant in the code of Arora et al. 2024, arXiv:2312.04927.

    Example:
        >>> ForgettingRecall(length=32, pairs=2, updates=1).batch("train", 0, 4).inputs.shape
        torch.Size([4, 32])
    """

    def __init__(
        self,
        *,
        vocabulary: int = 256,
        length: int = 64,
        pairs: int = 8,
        updates: int = 4,
        power: float = 0.01,
        random_non_queries: bool = False,
        name: str = "mqar-forgetting",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 6)
        self.length = check_whole("length", length, 6)
        self.pairs = check_whole("pairs", pairs, 1)
        self.updates = check_whole("updates", updates, 1)
        self.power, self.random_non_queries = power, random_non_queries
        if self.updates > self.pairs:
            raise TaskOptionError(f"'updates' must be <= 'pairs' = {self.pairs}, got {updates}")
        self.check_sizes(self.length, 2, self.pairs + self.updates, self.pairs)
        check_keys(self.vocabulary, self.pairs)
        self.declare(self.vocabulary - self.vocabulary // 2)
        super().__init__()

    def draw_context(self, count: int, generator: Generator) -> Fields:
        """Draw K pairs and U updates of them."""
        drawn = draw_pairs(count, self.pairs, self.vocabulary, generator)
        half = self.vocabulary // 2
        which = permutations(count, self.pairs, generator)[:, : self.updates]
        old = drawn["values"].gather(1, which) - half
        shift = torch.randint(1, self.vocabulary - half, which.shape, generator=generator)
        new = half + (old + shift) % (self.vocabulary - half)
        changed = torch.stack([drawn["keys"][..., 0].gather(1, which), new], -1)
        return {
            "entries": torch.cat([drawn["entries"], changed], 1),
            "keys": drawn["keys"],
            "values": drawn["values"].scatter(1, which, new),
        }


class CompositionalRecall(QueriedRecall):
    """K entries (first, second, value) on a grid of keys: neither half of a key tells the value.

    sqrt(K) first halves, distinct ids of 1..V/3-1, and as many second halves, distinct ids of
    V/3..2V/3-1, form all K keys; the values are K distinct ids of 2V/3..V-1. Entries come in
    random order. A query shows both halves, the target is at the second.

    Splits share no set of entries, in whatever order it is shown. Chance is that of a uniform guess
    over the V/3 values; half a key leaves sqrt(K) values to choose from. The ceiling is 1.

    Args:
        vocabulary: V, above L.
        length: L, even, >= 6K.
        pairs: K, a square number, K <= V/3.
        power: a, above 0.
        random_non_queries: whether filler is any id, not 0.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few contexts.

    Source: the compositional variant in the code of Arora et al. 2024, arXiv:2312.04927.

    Example:
        >>> CompositionalRecall(vocabulary=40, length=32, pairs=4).batch("train", 0, 4).inputs.shape
        torch.Size([4, 32])
    """

    def __init__(
        self,
        *,
        vocabulary: int = 256,
        length: int = 64,
        pairs: int = 9,
        power: float = 0.01,
        random_non_queries: bool = False,
        name: str = "mqar-compositional",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 6)
        self.length = check_whole("length", length, 6)
        self.pairs = check_whole("pairs", pairs, 1)
        self.power, self.random_non_queries = power, random_non_queries
        self.side, self.third = isqrt(self.pairs), self.vocabulary // 3
        if self.side**2 != self.pairs:
            raise TaskOptionError(f"'pairs' must be a square number (4, 9, 16, ...), got {pairs}")
        if self.side > self.third - 1 or self.pairs > self.third:
            raise TaskOptionError(f"'pairs' must be <= vocabulary/3 = {self.third}, got {pairs}")
        self.check_sizes(self.length, 3, self.pairs, self.pairs)
        self.declare(self.vocabulary - 2 * self.third)
        super().__init__()

    def draw_context(self, count: int, generator: Generator) -> Fields:
        """Draw the two halves, all their pairs, and a value for each."""
        first = 1 + distinct(count, self.side, self.third - 1, generator)
        second = self.third + distinct(count, self.side, self.third, generator)
        grid = torch.stack([first.repeat_interleave(self.side, 1), second.repeat(1, self.side)], -1)
        order = permutations(count, self.pairs, generator)
        keys = grid.gather(1, order[..., None].expand(-1, -1, 2))
        number = self.vocabulary - 2 * self.third
        values = 2 * self.third + distinct(count, self.pairs, number, generator)
        entries = torch.cat([keys, values[..., None]], -1)
        return {"entries": entries, "keys": keys, "values": values}
