"""In-context recall, plain and with noise: keys come back, and their values are known by then."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.sampling import one_of
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import MacroTask


class InContextRecall(MacroTask):
    """k1 v1 k2 v2 ...: a key has the same value all along; tell it when the key comes back.

    Of V ids, N are noise, the highest; the lower half of the others are keys, the rest values. Of
    L/2 pairs each but the last has a uniform key, and the value of a key is drawn uniformly for
    the sequence. The last key is uniform over the different keys shown. With noise, each pair
    but the last and one more that is spared turns into two noise ids with probability p.

    Inputs (B, L-1): all but the last token. Training targets are the next token everywhere, what
    cannot be foreseen included. Elsewhere only values of keys shown before are scored.

    Splits share no sequence. Metrics: see `MacroTask`. Chance is that of a uniform guess over the
    values. The ceiling is 1, but for the split `train`, where it is not computed.

    Args:
        vocabulary: V, so that V - N >= 2.
        length: L, even, >= 4.
        noise_vocabulary: N.
        noise: p, 0 <= p < 1; needs N >= 1 if above 0.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: Poli et al. 2024, arXiv:2403.17844, and its published code.

    Example:
        >>> print(InContextRecall(length=8).sample("train", 0))
        inputs:   k5 v11  k5 v11  k3  v9  k3
        targets: v11  k5 v11  k3  v9  k3  v9
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 16,
        length: int = 128,
        noise_vocabulary: int = 0,
        noise: float = 0.0,
        train_instances: int = 0,
        name: str = "mad-recall",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 2)
        self.length = check_whole("length", length, 4)
        self.noise_vocabulary = check_whole("noise_vocabulary", noise_vocabulary, 0)
        self.noise = noise
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.plain = self.vocabulary - self.noise_vocabulary
        self.keys = self.plain // 2
        if self.length % 2:
            raise TaskOptionError(f"'length' must be even, got {length}")
        if self.keys < 1:
            raise TaskOptionError(
                f"'noise_vocabulary' must be <= vocabulary - 2 = {self.vocabulary - 2}, "
                f"got {noise_vocabulary}"
            )
        if not 0 <= noise < 1 or (noise and not noise_vocabulary):
            raise TaskOptionError(
                f"'noise' must be >= 0 and < 1, and 0 without a noise vocabulary; got {noise}"
            )
        self.inputs = Inputs("token", self.vocabulary, self.length - 1)
        self.outputs = Outputs(self.vocabulary)
        chance = 1 / (self.plain - self.keys)
        self.chance = {"macro_accuracy": chance, "accuracy": chance}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L-1)."""
        drawn = draw_in_part(
            lambda size: self._draw(size, generator),
            lambda fields: fields["sequence"],
            split,
            count,
            at_once=4096,
        )
        sequence, again = drawn["sequence"], drawn["again"]
        targets = sequence[:, 1:].clone()
        if split != "train":
            targets[:, 1::2] = IGNORE
            targets[:, 0::2][~again] = IGNORE
        return {"tokens": sequence[:, :-1].contiguous(), "targets": targets}

    def _draw(self, count: int, generator: Generator) -> Fields:
        """Draw the whole `sequence` (N, L) and whether a pair's key came `again` (N, L/2)."""
        pairs = self.length // 2
        keys = torch.randint(self.keys, (count, pairs), generator=generator)
        table = torch.randint(self.keys, self.plain, (count, self.keys), generator=generator)
        noisy = torch.zeros(count, pairs, dtype=torch.bool)
        if self.noise:
            noisy = torch.rand(count, pairs, generator=generator) < self.noise
            spared = torch.randint(pairs - 1, (count, 1), generator=generator)
            noisy.scatter_(1, spared, False)
        noisy[:, -1] = False
        shown, again = self._shown(keys, noisy)
        keys[:, -1] = one_of(shown, generator)
        again[:, -1] = True
        sequence = torch.stack([keys, table.gather(1, keys)], -1)
        if self.noise:
            strange = torch.randint(
                self.plain, self.vocabulary, sequence.shape, generator=generator
            )
            sequence = torch.where(noisy[..., None], strange, sequence)
        return {"sequence": sequence.flatten(1), "again": again}

    def _shown(self, keys: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Keys of all pairs but the last (N, keys), and where a pair's key came before (N, L/2)."""
        count, pairs = keys.shape
        steps = torch.arange(pairs).expand(count, -1)
        when = torch.where(noisy, pairs, steps)[:, :-1]
        first = torch.full((count, self.keys), pairs)
        first.scatter_reduce_(1, keys[:, :-1], when, "amin")
        return first < pairs, (first.gather(1, keys) < steps) & ~noisy

    def word(self, token: int) -> str:
        """Show keys as k, values as v and noise as n."""
        if token >= self.plain:
            return f"n{token}"
        return f"k{token}" if token < self.keys else f"v{token}"

    def _ceiling(self, split: str) -> Estimate | None:
        return None if split == "train" else Estimate(1.0, 0.0, 0)  # each value was shown before
