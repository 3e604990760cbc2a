"""Balanced brackets of several types and bounded depth: which bracket may be closed now?"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.formal.base import FIRST, PAD, LengthTask

PAIRS = ("()", "[]", "{}", "<>")
_MOST_DEPTH, _MOST_PLACES = 1024, 1 << 22  # the latter: of depth and length in a table


class Dyck(LengthTask):
    """A balanced word of k types of brackets; the target after a closing one: what may close next.

    The legal closer is that of the innermost open bracket, or none where all are closed: k + 1
    classes. It is asked at closing brackets alone, as an opening one tells the answer itself. Words
    have even length and depth at most D; the order of opening and closing is uniform over all such
    words, the types are uniform and independent.

    Splits, metrics, chance 1/(k+1) and ceiling: `LengthTask`. The classes are not equally likely;
    the last one asked is always `none`.

    Args:
        types: k, 1..4.
        depth: D >= 2.
        shortest: fewest brackets of a word.
        longest: most brackets in training.
        long: most brackets in the split `long`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few words.

    Source: bounded Dyck languages, after Hewitt et al. 2020, arXiv:2010.07515.

    Example:
        >>> print(Dyck(longest=10).sample("train", 0))
        inputs:     (    )    (    (    )    )    (    )    [    ]
        targets:    . none    .    .    ) none    . none    . none
    """

    def __init__(
        self,
        *,
        types: int = 2,
        depth: int = 8,
        shortest: int = 2,
        longest: int = 40,
        long: int = 256,
        name: str = "dyck",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.types = check_whole("types", types, 1, len(PAIRS))
        self.depth = check_whole("depth", depth, 2, _MOST_DEPTH)
        openers, closers = (tuple(pair[side] for pair in PAIRS[:types]) for side in (0, 1))
        super().__init__(
            symbols=openers + closers,
            answers=(*closers, "none"),
            lengths=(shortest, longest, long),
        )
        if (self.depth + 1) * int(self._long[-1]) > _MOST_PLACES:
            raise TaskOptionError(
                f"'long' is {long} and 'depth' {depth}; their product must be at most "
                f"{_MOST_PLACES:,}"
            )
        self._opens = opening_probabilities(self.depth, int(self._long[-1]))

    def word_lengths(self, low: int, high: int) -> Tensor:
        """Even lengths."""
        return torch.arange(low + low % 2, high + 1, 2)

    def tokens_of(self, symbols: Tensor) -> Tensor:
        """Return n: the brackets alone."""
        return symbols

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Draw words with a stack each: opening brackets are 0..k-1, their closers k..2k-1."""
        count = len(lengths)
        words = torch.zeros(count, longest, dtype=torch.int64)
        stack = torch.zeros(count, self.depth + 1, dtype=torch.int64)
        height = torch.zeros(count, dtype=torch.int64)
        rows = torch.arange(count)
        for t in range(longest):
            left = (lengths - t).clamp(min=0)
            chance = torch.rand(count, generator=generator, dtype=torch.float64)
            opens = chance < self._opens[left, height]
            kind = torch.randint(self.types, (count,), generator=generator)
            innermost = stack[rows, height]
            words[:, t] = torch.where(opens, kind, innermost + self.types)
            # A word at its end closes for ever: its height stays 0, and what it writes is cut off.
            height = torch.where(opens, height + 1, (height - 1).clamp(min=0))
            stack[rows[opens], height[opens]] = kind[opens]
        return words

    def lay_out(self, words: Tensor, lengths: Tensor, width: int) -> Fields:
        """The word and padding; the targets stand at closing brackets."""
        inside = torch.arange(words.shape[1]) < lengths[:, None]
        closes = words >= self.types
        scored = inside & closes
        targets = torch.where(scored, innermost_open(words, self.types), IGNORE)
        tokens = torch.where(inside, FIRST + words, PAD)
        empty = width - words.shape[1]
        pad = torch.nn.functional.pad
        return {
            "tokens": pad(tokens, (0, empty), value=PAD),
            "targets": pad(targets, (0, empty), value=IGNORE),
            "lengths": lengths,
        }


def opening_probabilities(depth: int, longest: int) -> Tensor:
    """p[r, h]: share of the paths of r steps from height h that open first, (longest+1, depth+1).

    Paths go up or down by 1, end at height 0 and stay within 0..depth. With N_r(h) of them,
    p[r, h] = N_(r-1)(h+1) / N_r(h), 0 where there is none; N is kept up to a common factor.
    """
    shares = torch.zeros(depth + 3, dtype=torch.float64)  # heights -1 ... depth + 1
    shares[1] = 1.0
    rows = [torch.zeros(depth + 1, dtype=torch.float64)]
    for _ in range(longest):
        up, down = shares[2:], shares[:-2]
        rows.append(torch.where(up + down > 0, up / (up + down), 0.0))
        shares[1:-1] = (up + down) / (up + down).max()
    return torch.stack(rows)


def innermost_open(words: Tensor, types: int) -> Tensor:
    """Type of the innermost open bracket after every symbol of `words` (N, n); `types` if none.

    Symbols beyond the end of a word do no harm to those before it.
    """
    count, length = words.shape
    stack = torch.full((count, length + 1), types)
    height = torch.zeros(count, dtype=torch.int64)
    rows = torch.arange(count)
    kinds = torch.empty_like(words)
    for t, symbol in enumerate(words.unbind(1)):
        opens = symbol < types
        height = torch.where(opens, height + 1, (height - 1).clamp(min=0))
        stack[rows[opens], height[opens]] = symbol[opens]
        kinds[:, t] = stack[rows, height]
    return kinds
