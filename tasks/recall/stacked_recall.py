"""Stacked associative recall: key and value share a token, so one layer can solve it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.sampling import distinct, permutations
from attenergy.tasks.core.streams import Fields, draw_in_part


class StackedRecall(Task):
    """K tokens (key, value), then K tokens (key, 0) in random order: answer with the key's value.

    Keys are distinct ids of 1..V/2-1, values distinct ids of V/2..V-1, uniform; id 0 stands for no
    value. Inputs (B, 2K, 2), int64; targets at the K queries are value ids.

    Splits `train`, `valid`, `test` share no set of pairs, in whatever order it is shown.
    Metric `accuracy`: share of the queries answered right. Chance is that of a uniform guess over
    the V/2 values; guessing among the K values seen in the context gives 1/K. The ceiling is 1.

    Args:
        vocabulary: V, even, >= 4.
        pairs: K, 1 <= K <= V/2 - 1.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few contexts
            to fill it.

    Source: the continuous form of multi-query recall, after Arora et al. 2024, arXiv:2312.04927.

    Example:
        >>> print(StackedRecall(vocabulary=16, pairs=3).sample("train", 0))
        pairs:   5->10  3->9  7->8
        queries: 3->? (9)  7->? (8)  5->? (10)
    """

    splits = ("train", "valid", "test")
    metric = "accuracy"

    def __init__(
        self,
        *,
        vocabulary: int = 128,
        pairs: int = 16,
        name: str = "stacked-recall",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 4)
        self.pairs = check_whole("pairs", pairs, 1)
        if self.vocabulary % 2:
            raise TaskOptionError(f"'vocabulary' must be even, got {vocabulary}")
        self.half = self.vocabulary // 2
        if self.pairs > self.half - 1:
            raise TaskOptionError(
                f"'pairs' must be <= vocabulary/2 - 1 = {self.half - 1}, the number of keys; "
                f"got {pairs}"
            )
        self.inputs = Inputs("token", self.vocabulary, 2 * self.pairs, channels=2)
        self.scored_positions = slice(-self.pairs, None)
        self.outputs = Outputs(self.vocabulary)
        self.chance = {"accuracy": 1 / self.half}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `keys`, `values` and `queries` (the order of asking), each (N, K)."""
        return draw_in_part(lambda size: self._draw(size, generator), _context, split, count)

    def _draw(self, count: int, generator: Generator) -> Fields:
        keys = 1 + distinct(count, self.pairs, self.half - 1, generator)
        values = self.half + distinct(count, self.pairs, self.half, generator)
        return {
            "keys": keys,
            "values": values,
            "queries": permutations(count, self.pairs, generator),
        }

    def encode(self, instances: Fields) -> Batch:
        """Pairs, then queries with value 0; the target at a query is its value."""
        keys, values, queries = (instances[name] for name in ("keys", "values", "queries"))
        context = torch.stack([keys, values], -1)
        queried = keys.gather(1, queries)
        questions = torch.stack([queried, torch.zeros_like(queried)], -1)
        unscored = torch.full_like(values, IGNORE)
        return Batch(
            torch.cat([context, questions], 1),
            torch.cat([unscored, values.gather(1, queries)], 1),
        )

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`: share of an instance's queries whose largest logit is the value."""
        hits, scored = scored_hits(logits, targets)
        return {"accuracy": hits.sum(-1) / scored.sum(-1)}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # every queried key is in the context, once

    def sample(self, split: str, index: int) -> RecallInstance:
        """Instance `index` of `split`, to look at."""
        keys, values, queries = (x[0] for x in self.instances(split, index, 1).values())
        return RecallInstance(
            pairs=tuple(zip(keys.tolist(), values.tolist(), strict=True)),
            queries=tuple(keys[queries].tolist()),
            answers=tuple(values[queries].tolist()),
        )


def _context(instances: Fields) -> Tensor:
    """Order the pairs by key: the same memory in another order must not cross splits."""
    keys, order = instances["keys"].sort(-1)
    return torch.cat([keys, instances["values"].gather(1, order)], 1)


@dataclass(frozen=True)
class RecallInstance:
    """One memory of (key, value) pairs, the keys asked for, and their values.

    Example:
        >>> StackedRecall(vocabulary=16, pairs=3).sample("train", 0)
        RecallInstance(pairs=((5, 10), (3, 9), (7, 8)), queries=(3, 7, 5), answers=(9, 8, 10))
    """

    pairs: tuple[tuple[int, int], ...]
    queries: tuple[int, ...]
    answers: tuple[int, ...]

    def __str__(self) -> str:
        pairs = "  ".join(f"{key}->{value}" for key, value in self.pairs)
        queried = zip(self.queries, self.answers, strict=True)
        questions = "  ".join(f"{key}->? ({value})" for key, value in queried)
        return f"pairs:   {pairs}\nqueries: {questions}"
