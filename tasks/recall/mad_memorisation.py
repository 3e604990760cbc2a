"""Facts that only training can tell, and a sequence that must pass through one vector."""

from __future__ import annotations

import torch
from torch import Generator

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part, seed_of
from attenergy.tasks.core.token_task import MacroTask


class Memorisation(MacroTask):
    """k ? k ? ...: a fixed table of keys and values, never shown; say the value of every key.

    Keys are ids of 0..(V-1)/2-1, uniform and with repeats; values are ids from there to V-2, one
    of its own for every key; V-1 stands where a value is to be put. Inputs (B, L), targets at these
    places, in training too. The table depends on `split_seed` and V alone.

    Splits share no set of keys with their counts. Metrics: see `MacroTask`. Chance is that of a
    uniform guess over the values.

    The ceiling counts what n training instances show: of K keys a share c = 1 - (1 - 1/K)^(nL/2)
    is expected among their nL/2 draws. What is left over are K(1 - c) keys for as many values (or
    one more), whose guesses are worth at most K(1 - c)/(K(1 - c) + 1) right answers together, so
    the ceiling is c plus a K-th of that. It is a mean over training sets: one lucky set may allow
    a little more. Without end to the training instances it is 1.

    Args:
        vocabulary: V with the id to replace, >= 5.
        length: L, even, >= 2.
        train_instances: n, so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the table and the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: Poli et al. 2024, arXiv:2403.17844, and its published code.

    Example:
        >>> print(Memorisation(vocabulary=8, length=6).sample("train", 0))
        inputs:  0 ? 1 ? 0 ?
        targets: . 6 . 5 . 6
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 256,
        length: int = 32,
        train_instances: int = 256,
        name: str = "mad-memorisation",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 5)
        self.length = check_whole("length", length, 2)
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.keys = (self.vocabulary - 1) // 2
        if self.length % 2:
            raise TaskOptionError(f"'length' must be even, got {length}")
        values = self.vocabulary - 1 - self.keys
        source = Generator().manual_seed(seed_of("table", self.vocabulary, split_seed))
        self.table = self.keys + torch.randperm(values, generator=source)[: self.keys]
        self.inputs = Inputs("token", self.vocabulary, self.length)
        self.outputs = Outputs(self.vocabulary)
        self.chance = {"macro_accuracy": 1 / values, "accuracy": 1 / values}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""

        def draw(size: int) -> Fields:
            shape = (size, self.length // 2)
            return {"keys": torch.randint(self.keys, shape, generator=generator)}

        keys = draw_in_part(draw, lambda drawn: drawn["keys"].sort(-1).values, split, count)["keys"]
        tokens = torch.full((count, self.length), self.vocabulary - 1)
        tokens[:, 0::2] = keys
        targets = torch.full((count, self.length), IGNORE)
        targets[:, 1::2] = self.table[keys]
        return {"tokens": tokens, "targets": targets}

    @property
    def coverage(self) -> float:
        """Share of the keys that are expected among the training instances."""
        if not self.train_instances:
            return 1.0
        return 1 - (1 - 1 / self.keys) ** (self.train_instances * self.length // 2)

    def _ceiling(self, split: str) -> Estimate:
        if split == "train":
            return Estimate(1.0, 0.0, 0)
        unseen = self.keys * (1 - self.coverage)
        return Estimate(self.coverage + unseen / (unseen + 1) / self.keys, 0.0, 0)

    def word(self, token: int) -> str:
        """Show the place of a value as a question mark."""
        return "?" if token == self.vocabulary - 1 else str(token)


class Compression(MacroTask):
    """L-1 ids, then the mark: say all L of them again, from one vector.

    The ids are uniform over 0..V-2, the mark is V-1. Inputs (B, L), targets the same. It takes a
    model that reads the last position's vector alone (`readout: bottleneck`); one that answers
    each position at its place has nothing to compress.

    Splits share no sequence. Metrics: see `MacroTask`; the mark is one of the classes. Chance is
    that of a uniform guess over the V ids. The ceiling is 1 for a vector without limits.

    Args:
        vocabulary: V with the mark, >= 3.
        length: L, >= 2.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: Poli et al. 2024, arXiv:2403.17844, and its published code.

    Example:
        >>> print(Compression(length=6).sample("train", 0))
        inputs:   5 13  7 12  7 =>
        targets:  5 13  7 12  7 =>
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 16,
        length: int = 32,
        train_instances: int = 0,
        name: str = "mad-compression",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 3)
        self.length = check_whole("length", length, 2)
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.inputs = Inputs("token", self.vocabulary, self.length)
        self.outputs = Outputs(self.vocabulary)
        self.chance = dict.fromkeys(("macro_accuracy", "accuracy"), 1 / self.vocabulary)
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""

        def draw(size: int) -> Fields:
            shape = (size, self.length)
            tokens = torch.randint(self.vocabulary - 1, shape, generator=generator)
            tokens[:, -1] = self.vocabulary - 1
            return {"tokens": tokens}

        tokens = draw_in_part(draw, lambda drawn: drawn["tokens"], split, count)["tokens"]
        return {"tokens": tokens, "targets": tokens.clone()}

    def word(self, token: int) -> str:
        """Show the mark as an arrow."""
        return "=>" if token == self.vocabulary - 1 else str(token)

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)
