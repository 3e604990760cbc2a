"""Multi-query associative recall: of one size, and of several sizes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole, scored_hits
from attenergy.tasks.core.batches import Inputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.recall.base import QueriedRecall, check_keys, draw_pairs, memory

_MOST_SIZES = 1024  # of a mixture: they take turns in a block of so many instances


class MQAR(QueriedRecall):
    """k1 v1 k2 v2 ... kK vK, the same P times, then every key once; answer with its value.

    Keys are K distinct ids of 1..V/2-1, values K distinct ids of V/2..V-1, uniform. Inputs (B, L);
    targets at the K queries. Where queries go and what lies between them: `QueriedRecall`.

    Splits `train`, `valid`, `test` share no set of pairs, in whatever order it is shown.
    Metric `accuracy`: share of the queries answered right. Chance is that of a uniform guess over
    the V/2 values; guessing among the K values of the context gives 1/K. The ceiling is 1.

    Args:
        vocabulary: V, above L.
        length: L, even.
        pairs: K, 2KP + 2K <= L and K <= V/2 - 1.
        power: a, above 0.
        passes: P.
        random_non_queries: whether filler is any id, not 0.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few contexts
            to fill it.

    Source: Arora et al. 2024, arXiv:2312.04927; several passes after arXiv:2407.05483.

    Example:
        >>> print(MQAR(vocabulary=32, length=16, pairs=2).sample("train", 0))
        inputs:   8 16 14 30  8  0  0  0 14  0  0  0  0  0  0  0
        targets:  .  .  .  . 16  .  .  . 30  .  .  .  .  .  .  .
    """

    def __init__(
        self,
        *,
        vocabulary: int = 256,
        length: int = 64,
        pairs: int = 8,
        power: float = 0.01,
        passes: int = 1,
        random_non_queries: bool = False,
        train_instances: int = 0,
        name: str = "mqar",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 4)
        self.length = check_whole("length", length, 4)
        self.pairs = check_whole("pairs", pairs, 1)
        self.power, self.random_non_queries = power, random_non_queries
        self.passes = check_whole("passes", passes, 1)
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.check_sizes(self.length, 2, self.pairs * self.passes, self.pairs)
        check_keys(self.vocabulary, self.pairs)
        self.declare(self.vocabulary - self.vocabulary // 2)
        super().__init__()

    def draw_context(self, count: int, generator: Generator) -> Fields:
        """Draw K pairs and repeat them."""
        drawn = draw_pairs(count, self.pairs, self.vocabulary, generator)
        return {**drawn, "entries": drawn["entries"].repeat(1, self.passes, 1)}


class MixedMQAR(QueriedRecall):
    """MQAR of several sizes: trained on some, tested on each and on larger ones.

    A size LxK is a sequence of L tokens with K pairs, as in `MQAR`; `LxK*n` counts n times as much
    in the mixture. Splits `train`, `valid` and `test` are mixtures of the training sizes, padded
    to the longest of them (the mask says where); in every 1024 instances the sizes take turns.
    Every test size is a split of its own, named like it: `64x8`.

    Metric `accuracy`: the mean over instances of the share of the queries answered right. In a
    mixture, `accuracy@K8` is the same over the instances of 8 pairs alone, for every K that
    occurred. Chance is that of a uniform guess over the V/2 values. The ceiling is 1.

    Args:
        train_sizes: such as "64x4*5 128x8".
        test_sizes: such as "64x4 1024x256".
        vocabulary: V, above every L.
        power: weight of a place for a query, see `QueriedRecall`.
        random_non_queries: whether filler is any id, not 0.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few contexts.

    Source: the memory-against-recall setting in the code of Arora et al. 2024, arXiv:2312.04927.

    Example:
        >>> MixedMQAR(train_sizes="64x4").batch("train", 0, 4).inputs.shape
        torch.Size([4, 64])
    """

    def __init__(
        self,
        *,
        train_sizes: str = "64x4*5 128x8 256x16 256x32 256x64",
        test_sizes: str = "64x4 64x8 64x16 128x32 256x64 512x128 1024x256",
        vocabulary: int = 8192,
        power: float = 0.01,
        random_non_queries: bool = True,
        train_instances: int = 0,
        name: str = "mqar-memory",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 4)
        self.power, self.random_non_queries = power, random_non_queries
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.mixture = _read_sizes("train_sizes", train_sizes)
        self.tests = {f"{L}x{K}": (L, K) for L, K in _read_sizes("test_sizes", test_sizes)}
        for length, pairs in (*self.mixture, *self.tests.values()):
            self.check_sizes(length, 2, pairs, pairs)
            check_keys(self.vocabulary, pairs)
        self.length = max(L for L, _ in self.mixture)
        self.splits = ("train", "valid", "test", *self.tests)
        self.declare(self.vocabulary - self.vocabulary // 2)
        longest = max(self.length, *(L for L, _ in self.tests.values()))
        self.inputs = Inputs("token", self.vocabulary, longest)
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L), and in a mixture their `lengths` (N,)."""
        if split in self.tests:
            return self._draw(*self.tests[split], "test", count, generator)
        turns = torch.arange(count) % len(self.mixture)
        tokens = torch.zeros(count, self.length, dtype=torch.int64)
        targets = torch.full_like(tokens, IGNORE)
        lengths = torch.tensor([length for length, _ in self.mixture])[turns]
        for length, pairs in sorted(set(self.mixture)):
            sizes = torch.tensor([size == (length, pairs) for size in self.mixture])
            rows = sizes[turns].nonzero().squeeze(-1)
            if len(rows):
                drawn = self._draw(length, pairs, split, len(rows), generator)
                tokens[rows, :length] = drawn["tokens"]
                targets[rows, :length] = drawn["targets"]
        return {"tokens": tokens, "targets": targets, "lengths": lengths}

    def _draw(self, length: int, pairs: int, part: str, count: int, generator: Generator) -> Fields:
        def draw(size: int) -> Fields:
            return draw_pairs(size, pairs, self.vocabulary, generator)

        drawn = draw_in_part(draw, memory, part, count, at_once=4096)
        return self.place(drawn, length, generator)

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Instances and summed accuracies by number of pairs K, each (largest K + 1,)."""
        hits, scored = scored_hits(logits, targets)
        pairs = scored.sum(-1)
        size = 1 + max(K for _, K in {*self.mixture, *self.tests.values()})
        return {
            "instances": pairs.bincount(minlength=size),
            "right": pairs.bincount(hits.sum(-1) / pairs, minlength=size),
        }

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`accuracy@K` of every K that occurred."""
        means = tally["right"] / tally["instances"]
        occurred = tally["instances"].nonzero().flatten().tolist()
        return {f"accuracy@K{pairs}": means[pairs].item() for pairs in occurred}


def _read_sizes(option: str, text: str) -> tuple[tuple[int, int], ...]:
    """Read `64x4*2 128x8` as (64, 4), (128, 8), (64, 4): all sizes once, then those left."""
    counts: dict[tuple[int, int], int] = {}
    for word in str(text).split():
        match = re.fullmatch(r"(\d+)x(\d+)(?:\*(\d+))?", word)
        if match is None or "0" in match.groups():
            raise TaskOptionError(
                f"'{option}' must be sizes LENGTHxPAIRS, such as '64x4 128x8*2'; got {word!r}"
            )
        length, pairs, times = (int(number or 1) for number in match.groups())
        check_whole(f"{option}: length", length, 1)
        counts[length, pairs] = counts.get((length, pairs), 0) + times
    if not counts:
        raise TaskOptionError(f"'{option}' must name a size at least, such as '64x4'; got {text!r}")
    if sum(counts.values()) > _MOST_SIZES:
        raise TaskOptionError(
            f"'{option}' must name at most {_MOST_SIZES} sizes, with their repeats"
        )
    rounds = range(max(counts.values()))
    return tuple(size for turn in rounds for size, times in counts.items() if turn < times)
