"""Tasks with one question at the end: induction heads and single-query associative recall."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.sampling import one_of
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import TokenTask


class _OneAnswer(TokenTask):
    """A sequence whose last token asks, with the id V-1 as a mark; one target, at the last token.

    A subclass draws the `tokens` (N, L) and the `answer` (N,) of one length.
    """

    vocabulary: int
    lengths: dict[str, int]  # split -> L

    def _declare(self, lengths: tuple[int, int], answers: int) -> None:
        usual, long = lengths
        self.splits = ("train", "valid", "test", "long") if long else ("train", "valid", "test")
        self.lengths = {split: long if split == "long" else usual for split in self.splits}
        self.headline = "long" if long else "test"
        self.inputs = Inputs("token", self.vocabulary, max(lengths))
        self.scored_positions = slice(-1, None)
        self.outputs = Outputs(self.vocabulary)
        self.chance = {"accuracy": 1 / answers}

    def draw(self, count: int, length: int, generator: Generator) -> Fields:
        """Draw the `tokens` and the `answer` of sequences of `length` tokens."""
        raise NotImplementedError

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""
        length = self.lengths[split]
        part = split if split in ("train", "valid") else "test"
        drawn = draw_in_part(
            lambda size: self.draw(size, length, generator), _tokens, part, count, at_once=4096
        )
        targets = torch.full((count, length), IGNORE)
        targets[:, -1] = drawn["answer"]
        return {"tokens": drawn["tokens"], "targets": targets}

    def word(self, token: int) -> str:
        """Show the mark as an arrow."""
        return "=>" if token == self.vocabulary - 1 else str(token)

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # what is asked for was shown before


class InductionHeads(_OneAnswer):
    """... => a ... =>: tell what came after the mark when it was seen before.

    L ids of 0..V-2, uniform; then the mark V-1 is put at one place or, in every other instance, at
    up to T places, uniform over 0..L-3 and not side by side (of those drawn side by side the first
    stays), and after every one of them stands the same id, the answer. A last mark ends the
    sequence: inputs (B, L+1), target at the end.

    Splits share no sequence; `long` has its own length, to see what a length never trained does.
    Metric `accuracy`: share of instances answered right. Chance is that of a uniform guess over the
    V-1 ids. The ceiling is 1.

    Args:
        vocabulary: V with the mark, >= 3.
        length: L, >= 4.
        triggers: T, marks before the last one.
        long: L of the split `long`; 0 for no such split.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few sequences.

    Source: the synthetics in the code of Poli et al. 2023, arXiv:2302.10866; tested on longer
    sequences than trained by Gu and Dao 2023, arXiv:2312.00752.

    Example:
        >>> print(InductionHeads(length=8).sample("train", 0))
        inputs:   0 14 14 12  6 =>  4 14 =>
        targets:  .  .  .  .  .  .  .  .  4
    """

    def __init__(
        self,
        *,
        vocabulary: int = 16,
        length: int = 64,
        triggers: int = 1,
        long: int = 0,
        name: str = "induction-heads",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 3)
        self.triggers = check_whole("triggers", triggers, 1)
        usual = check_whole("length", length, 4) + 1
        far = check_long(long, 4)
        self._declare((usual, far + 1 if far else 0), self.vocabulary - 1)
        super().__init__()

    def draw(self, count: int, length: int, generator: Generator) -> Fields:
        """Draw ids, marks and what follows them."""
        size, mark = length - 1, self.vocabulary - 1
        tokens = torch.randint(mark, (count, length), generator=generator)
        answer = torch.randint(mark, (count,), generator=generator)
        single = torch.rand(count, generator=generator) < 0.5
        places = torch.randint(size - 2, (count, self.triggers), generator=generator)
        places = torch.where(single[:, None], places[:, :1], places).sort(-1).values
        last = places[:, 0]
        for k in range(self.triggers):
            last = torch.where(places[:, k] - last > 1, places[:, k], last)
            tokens.scatter_(1, last[:, None], mark)
            tokens.scatter_(1, last[:, None] + 1, answer[:, None])
        tokens[:, -1] = mark
        return {"tokens": tokens, "answer": answer}


class AssociativeRecall(_OneAnswer):
    """k1 v1 k2 v2 ... => k: one key of those shown is asked for, answer with its value.

    Keys are ids of 0..(V-1)/2-1, drawn uniformly and with repeats; in a sequence a key always has
    the same value, uniform over the ids from there to V-2 (two keys may share it). V-1 is the mark,
    and the key after it is uniform over the different keys shown. Inputs (B, 2n+2), target at the
    end. Gated convolutions solve this; `MQAR` asks many times and keeps them out.

    Splits share no sequence; `long` has more pairs. Metric `accuracy`: share of instances answered
    right. Chance is that of a uniform guess over all values. The ceiling is 1.

    Args:
        vocabulary: V with the mark, >= 3.
        pairs: n, >= 1.
        long: pairs of the split `long`; 0 for no such split.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the task has too few sequences.

    Source: the synthetics in the code of Poli et al. 2023, arXiv:2302.10866.

    Example:
        >>> print(AssociativeRecall(vocabulary=8, pairs=3).sample("train", 0))
        inputs:   2  3  2  3  1  6 =>  1
        targets:  .  .  .  .  .  .  .  6
    """

    def __init__(
        self,
        *,
        vocabulary: int = 32,
        pairs: int = 16,
        long: int = 0,
        name: str = "associative-recall",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 3)
        self.keys = (self.vocabulary - 1) // 2
        usual = 2 * check_whole("pairs", pairs, 1) + 2
        far = check_long(long, 1)
        values = self.vocabulary - 1 - self.keys
        self._declare((usual, 2 * far + 2 if far else 0), values)
        super().__init__()

    def draw(self, count: int, length: int, generator: Generator) -> Fields:
        """Draw a map, the keys shown and the one asked for."""
        mark = self.vocabulary - 1
        keys = torch.randint(self.keys, (count, length // 2 - 1), generator=generator)
        table = torch.randint(self.keys, mark, (count, self.keys), generator=generator)
        shown = torch.zeros(count, self.keys, dtype=torch.bool).scatter(1, keys, True)
        query = one_of(shown, generator)[:, None]
        pairs = torch.stack([keys, table.gather(1, keys)], -1).flatten(1)
        tokens = torch.cat([pairs, torch.full_like(query, mark), query], 1)
        return {"tokens": tokens, "answer": table.gather(1, query).squeeze(-1)}


def check_long(long: object, least: int) -> int:
    """Return `long` if it is 0 or a whole number from `least`, else raise ValueError."""
    return 0 if check_whole("long", long, 0) == 0 else check_whole("long", long, least)


def _tokens(drawn: Fields) -> Tensor:
    return drawn["tokens"]
