"""Arithmetic modulo 5 with brackets: a language that no finite automaton reads."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.tasks.formal.base import AskedTask

MODULUS = 5
PLUS, MINUS, TIMES, OPEN, CLOSE = range(MODULUS, MODULUS + 5)  # after the digits


class BracketedArithmetic(AskedTask):
    """A fully bracketed expression, then `?`: its value modulo 5.

    E(1) = d,  E(2) = -d,  E(3) = (d),  E(4) = (-d),  E(n) = (E(a) op E(n-3-a)) with a uniform over
    1..n-4, op over `+ - *` and the digits d over 0..4; n is the number of symbols.

    Splits, metrics, chance 1/5 and ceiling: `LengthTask`. The classes are not equally likely (a
    product is often 0).

    Args:
        shortest: fewest symbols.
        longest: most symbols in training.
        long: most symbols in the split `long`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few expressions.

    Source: Deletang et al. 2023, arXiv:2207.02098; the lengths of Beck et al. 2024 (xLSTM),
    arXiv:2405.04517.

    Example:
        >>> print(BracketedArithmetic(longest=8).sample("train", 0))
        inputs:  ( - 3 ) ?
        targets: . . . . 2
    """

    def __init__(
        self,
        *,
        shortest: int = 3,
        longest: int = 40,
        long: int = 256,
        name: str = "bracketed-arithmetic",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        digits = tuple(map(str, range(MODULUS)))
        super().__init__(
            symbols=(*digits, "+", "-", "*", "(", ")"),
            answers=digits,
            lengths=(shortest, longest, long),
        )

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Split all expressions at once, level by level, until only digits are left."""
        words = torch.zeros(len(lengths), longest, dtype=torch.int64)
        row, start, size = torch.arange(len(lengths)), torch.zeros_like(lengths), lengths
        while len(row):
            leaf = size < 5
            _write_leaves(words, row[leaf], start[leaf], size[leaf], generator)
            row, start, size = (x[~leaf] for x in (row, start, size))
            # 1 + floor(u (n - 4)) is uniform over 1..n-4.
            chance = torch.rand(len(row), generator=generator, dtype=torch.float64)
            left = 1 + (chance * (size - 4)).to(torch.int64)
            operator = torch.randint(PLUS, TIMES + 1, row.shape, generator=generator)
            words[row, start] = OPEN
            words[row, start + 1 + left] = operator
            words[row, start + size - 1] = CLOSE
            row = row.repeat(2)
            start = torch.cat([start + 1, start + 2 + left])
            size = torch.cat([left, size - 3 - left])
        return words

    def answer(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Read the words once, with a stack each; return the values (N, 1)."""
        count, longest = words.shape
        rows = torch.arange(count)
        depth, value = torch.zeros(2, count, dtype=torch.int64)
        # Of every open bracket: the value before its operator, and the operator; `0 +` at first.
        before = torch.zeros(count, longest + 1, dtype=torch.int64)
        operator = torch.full_like(before, PLUS)
        values = torch.empty_like(words)
        valued = torch.zeros(count, dtype=torch.bool)  # whether a value ends here: no sign follows
        sign = torch.ones_like(value)
        for t, symbol in enumerate(words.unbind(1)):
            opens, closes, digit = symbol == OPEN, symbol == CLOSE, symbol < MODULUS
            depth = (depth + opens.long() - closes.long()).clamp(min=0)
            here = rows, depth
            acts = valued & ~closes
            before[here] = torch.where(acts, value, before[here].masked_fill(opens, 0))
            operator[here] = torch.where(acts, symbol, operator[here].masked_fill(opens, PLUS))
            right = torch.where(digit, sign * symbol, value)
            valued = digit | closes
            value = torch.where(valued, _apply(operator[here], before[here], right), value)
            sign = torch.where((symbol == MINUS) & ~acts, -1, 1)
            values[:, t] = value
        return values.gather(1, lengths[:, None] - 1)


def _apply(operator: Tensor, left: Tensor, right: Tensor) -> Tensor:
    times = torch.where(operator == TIMES, left * right, left - right)
    return torch.where(operator == PLUS, left + right, times) % MODULUS


def _write_leaves(
    words: Tensor, row: Tensor, start: Tensor, size: Tensor, generator: Generator
) -> None:
    """Write d, -d, (d) and (-d) into the places of 1, 2, 3 and 4 symbols."""
    digit = torch.randint(MODULUS, row.shape, generator=generator)
    bracketed, signed = size > 2, size % 2 == 0
    words[row[bracketed], start[bracketed]] = OPEN
    place = start + bracketed
    words[row[signed], place[signed]] = MINUS
    words[row, place + signed] = digit
    words[row[bracketed], (start + size - 1)[bracketed]] = CLOSE
