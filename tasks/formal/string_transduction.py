"""Strings to reverse, to write twice, or to sort."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import check_known, check_whole
from attenergy.tasks.formal.base import AskedTask

OPERATIONS = ("reverse", "duplicate", "sort")


class StringTransduction(AskedTask):
    """w1 ... wn, then one `?` for every symbol of the answer.

    `reverse` answers wn ... w1, `duplicate` w1 ... wn w1 ... wn, `sort` the symbols in order.
    Symbols are uniform over S. Every `?` is the same token, so an answer is found by its place
    alone. Splits, metrics, chance 1/S and ceiling: `LengthTask`.

    Args:
        operation: `reverse`, `duplicate` or `sort`.
        symbols: S >= 2.
        shortest: fewest symbols of a word.
        longest: most symbols in training.
        long: most symbols in the split `long`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few words.

    Source: Deletang et al. 2023, arXiv:2207.02098 (there S is 2, and 5 for `sort`).

    Example:
        >>> print(StringTransduction(longest=6).sample("train", 0))
        inputs:  1 0 0 0 0 ? ? ? ? ?
        targets: . . . . . 0 0 0 0 1
    """

    def __init__(
        self,
        *,
        operation: str = "reverse",
        symbols: int = 2,
        shortest: int = 1,
        longest: int = 40,
        long: int = 128,
        name: str = "string-transduction",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.operation = check_known("operation", operation, OPERATIONS)
        self.answers_per_symbol = 2 if operation == "duplicate" else 1
        letters = tuple(map(str, range(check_whole("symbols", symbols, 2))))
        super().__init__(
            symbols=letters,
            answers=letters,
            lengths=(shortest, longest, long),
        )

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Symbols uniform and independent."""
        return torch.randint(len(self.symbols), (len(lengths), longest), generator=generator)

    def answer(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return the word changed, (N, n) or (N, 2n)."""
        n = lengths[:, None]
        if self.operation == "sort":
            beyond = torch.arange(words.shape[1]) >= n
            return words.masked_fill(beyond, len(self.symbols)).sort(-1).values
        place = torch.arange(self.answers_per_symbol * words.shape[1])
        source = place % n if self.operation == "duplicate" else n - 1 - place
        return words.gather(1, source.clamp(min=0))
