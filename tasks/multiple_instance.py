"""Bags of bit patterns: does one of the patterns in the bag belong to a secret few?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part, seed_of

_MOST_BITS = 16  # all patterns but the signals are kept in a table


class MultipleInstance(Task):
    """n patterns of b bits in a bag; class 1 if one of them is one of k signals, else class 0.

    The k signals are distinct, not zero, and the same in all bags and splits. The others in a bag
    are drawn uniformly, with repeats, from the patterns that are neither zero nor a signal; in half
    of the bags, drawn at random, one of them, at a random place, is replaced by a random signal.
    Input: n + 1 tokens of b bits, 0 or 1, the last all zero: the query, at which the class is
    answered. The order of a bag says nothing. Only `train_instances` bags are there to learn from.

    Metric `accuracy`, at best 1. Splits share no bag, whatever the order of its patterns.

    Args:
        bits: b >= 2, at most 16.
        instances: n >= 1.
        signals: k >= 1, below 2^b - 1.
        train_instances: bags in the training set, read again and again; 0 for an endless stream.
        name: name in reports.
        seed: decides the training set.
        split_seed: decides the signals and the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few bags.

    Source: Ilse et al. 2018, arXiv:1802.04712 (the problem); Ramsauer et al. 2020,
    arXiv:2008.02217, their implementation's bit patterns: 16 patterns of 8 bits, 8 signals, 1536
    bags to train with, of which exactly half are positive.

    Example:
        >>> print(MultipleInstance(bits=4, instances=3, signals=2).sample("train", 0))
        bag (a signal in brackets): 0101 1001 0101
        class: 0
    """

    splits = ("train", "valid", "test")
    metric = "accuracy"

    def __init__(
        self,
        *,
        bits: int = 8,
        instances: int = 16,
        signals: int = 8,
        train_instances: int = 1536,
        name: str = "mil",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.bits = check_whole("bits", bits, 2, _MOST_BITS)
        self.size = check_whole("instances", instances, 1)
        self.signals = check_whole("signals", signals, 1)
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        patterns = 2**self.bits - 1
        if self.signals >= patterns:
            raise TaskOptionError(
                f"'signals' must be below 2^bits - 1 = {patterns}, so that other patterns are "
                f"left; got {signals}"
            )
        key = seed_of("signals", check_whole("split_seed", split_seed), self.bits, self.signals)
        order = 1 + torch.randperm(patterns, generator=Generator().manual_seed(key))
        self.signal_patterns, self.other_patterns = order[: self.signals], order[self.signals :]
        self.inputs = Inputs("vector", self.bits, self.size + 1)
        self.scored_positions = slice(-1, None)
        self.outputs = Outputs(2)
        self.chance = {"accuracy": 0.5}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `bags` (N, n), patterns as numbers, and their class `labels` (N,)."""

        def draw(number: int) -> Fields:
            def pick(*size: int, below: int) -> Tensor:
                return torch.randint(below, size, generator=generator)

            bags = self.other_patterns[pick(number, self.size, below=len(self.other_patterns))]
            labels = pick(number, below=2)
            place = pick(number, below=self.size)
            signal = self.signal_patterns[pick(number, below=self.signals)]
            rows = labels.nonzero()[:, 0]
            bags[rows, place[rows]] = signal[rows]
            return {"bags": bags, "labels": labels}

        return draw_in_part(draw, lambda fields: fields["bags"].sort(-1).values, split, count)

    def encode(self, instances: Fields) -> Batch:
        """Bits, the highest first, float32; the class at the query."""
        bags, labels = instances["bags"], instances["labels"]
        tokens = torch.nn.functional.pad(bags, (0, 1))
        places = torch.arange(self.bits - 1, -1, -1)
        targets = torch.full_like(tokens, IGNORE)
        targets[:, -1] = labels
        return Batch((tokens[..., None] >> places & 1).float(), targets)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`: 1 where the query's larger logit is that of the class."""
        return {"accuracy": scored_hits(logits, targets)[0].any(-1).to(logits.dtype)}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # a signal occurs in bags of class 1 only

    def sample(self, split: str, index: int) -> BagInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        signals = set(self.signal_patterns.tolist())
        patterns = fields["bags"][0].tolist()
        return BagInstance(
            patterns=tuple(f"{pattern:0{self.bits}b}" for pattern in patterns),
            signals=tuple(pattern in signals for pattern in patterns),
            label=int(fields["labels"]),
        )


@dataclass(frozen=True)
class BagInstance:
    """A bag of patterns, which of them are signals, and its class.

    Example:
        >>> MultipleInstance(bits=4, instances=3, signals=2).sample("train", 0)
        BagInstance(patterns=('0101', '1001', '0101'), signals=(False, False, False), label=0)
    """

    patterns: tuple[str, ...]
    signals: tuple[bool, ...]
    label: int

    def __str__(self) -> str:
        pairs = zip(self.patterns, self.signals, strict=True)
        shown = " ".join(f"[{pattern}]" if signal else pattern for pattern, signal in pairs)
        return f"bag (a signal in brackets): {shown}\nclass: {self.label}"
