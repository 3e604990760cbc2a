"""Few-shot classification: what episodes over classes of any kind have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from attenergy.tasks.core.base import IGNORE, Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Inputs, Outputs
from attenergy.tasks.core.streams import Fields


class Episodes(Task):
    """N-way K-shot episodes: K labelled examples of each of N classes, then m queries of theirs.

    Tokens are [features, one-hot label]; a query shows no label, N zeros. Labels 0 .. N-1 are dealt
    out anew in every episode, so only the examples tell what they mean. The examples come in random
    order; each query is of a class drawn uniformly. Answer: N classes, at the queries.

    A subclass calls `declare`, and writes `draw_episodes` and `features_of`. Metric `accuracy`;
    chance is 1/N. A token of F features has F + N numbers.

    Example:
        >>> class Directions(Episodes):
        ...     splits = ("train", "valid", "test")
        ...     def __init__(self, *, ways=2, name="directions", seed=0, split_seed=0):
        ...         self.declare(ways, shots=1, queries=1, features=3)
        ...         super().__init__()
        ...     def draw_episodes(self, split, query_labels, generator):
        ...         ways = torch.randn(len(query_labels), self.ways, 3, generator=generator)
        ...         labels = self.labels_of(query_labels)
        ...         return {"features": ways.gather(1, labels[..., None].expand(-1, -1, 3))}
        ...     def features_of(self, instances):
        ...         return instances["features"]
        >>> Directions().batch("train", 0, 4).inputs.shape
        torch.Size([4, 3, 5])
    """

    metric = "accuracy"
    ways: int
    shots: int
    queries: int
    side: int = 0  # of the square picture that the features are; 0 where they are none

    def declare(self, ways: int, shots: int, queries: int, features: int) -> None:
        """Check the sizes and set what a task tells of itself.

        Args:
            ways: N >= 2.
            shots: K >= 1.
            queries: m >= 1.
            features: F.
        """
        self.ways = check_whole("ways", ways, 2)
        self.shots = check_whole("shots", shots, 1)
        self.queries = check_whole("queries", queries, 1)
        self.inputs = Inputs("vector", features + self.ways, self.support + self.queries)
        self.outputs = Outputs(self.ways)
        self.scored_positions = slice(-self.queries, None)
        self.chance = {"accuracy": 1 / self.ways}

    @property
    def support(self) -> int:
        """How many labelled examples an episode has: N K."""
        return self.ways * self.shots

    def draw_episodes(self, split: str, query_labels: Tensor, generator: Generator) -> Fields:
        """Draw what the features are made from.

        Args:
            split: of the task.
            query_labels: (n, m), the labels of the queries.
            generator: source of randomness.
        """
        raise NotImplementedError

    def features_of(self, instances: Fields) -> Tensor:
        """Features (n, N K + m, F): the examples, one class after the other, and the queries."""
        raise NotImplementedError

    def labels_of(self, query_labels: Tensor) -> Tensor:
        """Labels (n, N K + m) of what `features_of` returns, from those of the queries (n, m)."""
        examples = torch.arange(self.ways).repeat_interleave(self.shots)
        return torch.cat([examples.expand(len(query_labels), -1), query_labels], 1)

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `query_labels` (n, m), `order` (n, N K), and what the features are made from."""
        query_labels = torch.randint(self.ways, (count, self.queries), generator=generator)
        order = torch.rand(count, self.support, generator=generator).argsort(-1)
        drawn = self.draw_episodes(split, query_labels, generator)
        return {"query_labels": query_labels, "order": order, **drawn}

    def shuffled(self, instances: Fields) -> tuple[Tensor, Tensor]:
        """Features (n, L, F) and labels (n, L), the examples in the order in which they come."""
        tail = torch.arange(self.support, self.inputs.length).expand(len(instances["order"]), -1)
        order = torch.cat([instances["order"], tail], 1)
        features, labels = self.features_of(instances), self.labels_of(instances["query_labels"])
        moved = features.gather(1, order[..., None].expand_as(features))
        return moved, labels.gather(1, order)

    def encode(self, instances: Fields) -> Batch:
        """Tokens (B, L, F + N), float32; the labels of the queries as targets."""
        features, labels = self.shuffled(instances)
        shown = F.one_hot(labels, self.ways).float()
        shown[:, self.support :] = 0
        labels[:, : self.support] = IGNORE
        return Batch(torch.cat([features.float(), shown], -1), labels)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`, (B,): the share of queries whose largest logit is that of their class."""
        hits, scored = scored_hits(logits, targets)
        return {"accuracy": hits.sum(-1) / scored.sum(-1)}

    def sample(self, split: str, index: int) -> EpisodeInstance:
        """Instance `index` of `split`, to look at."""
        features, labels = self.shuffled(self.instances(split, index, 1))
        return EpisodeInstance(features[0], tuple(labels[0].tolist()), self.support, self.side)


@dataclass(frozen=True, eq=False)
class EpisodeInstance:
    """Features (L, F) and labels (L,); the first `support` are shown, the others asked for.

    Example:
        >>> instance = FewShotGaussians(dim=2, ways=2, queries=2).sample("train", 0)
        >>> instance.labels, instance.support
        ((1, 0, 0, 1, 0, 1), 4)
    """

    features: Tensor
    labels: tuple[int, ...]
    support: int
    side: int = 0

    def __str__(self) -> str:
        heads = [
            f"{label}" if number < self.support else f"? ({label})"
            for number, label in enumerate(self.labels)
        ]
        if not self.side:
            rows = (" ".join(f"{x:+.2f}" for x in row) for row in self.features.tolist())
            return "\n".join(f"{head:>6}: {row}" for head, row in zip(heads, rows, strict=True))
        blocks = [
            [head.center(self.side), *picture]
            for head, picture in zip(heads, map(self._picture, self.features), strict=True)
        ]
        across = max(1, 88 // (self.side + 2))
        lines = []
        for start in range(0, len(blocks), across):
            lines += [
                "  ".join(parts) for parts in zip(*blocks[start : start + across], strict=True)
            ]
        return "\n".join(lines)

    def _picture(self, features: Tensor) -> list[str]:
        shades = (features.clamp(0, 1) * 3.999).int().reshape(self.side, self.side).tolist()
        return ["".join(".+*#"[shade] for shade in row) for row in shades]


def nearest_mean(batch: Batch, ways: int) -> Tensor:
    """Answers (B, L, N) of the nearest mean of a class: minus squared distances.

    A rule for every task of episodes, for `Task.evaluate`.
    """
    features, shown = batch.inputs[..., :-ways], batch.inputs[..., -ways:]
    means = shown.mT @ features / shown.sum(1)[..., None]
    return -torch.cdist(features, means).square()


def nearest_example(batch: Batch, ways: int) -> Tensor:
    """Answers (B, L, N) of the nearest example of a class: minus squared distances."""
    features, shown = batch.inputs[..., :-ways], batch.inputs[..., -ways:]
    distances = torch.cdist(features, features)[..., None]  # (B, L, L, 1)
    return -distances.masked_fill((shown == 0)[:, None], torch.inf).amin(2).square()
