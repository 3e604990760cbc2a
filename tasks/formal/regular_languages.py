"""Regular languages: a finite automaton reads a word, and its last state is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import check_known
from attenergy.tasks.formal.base import AskedTask

MODULUS = 5


@dataclass(frozen=True)
class Language:
    """An automaton, and how words are drawn.

    `table[s][a]` is the state after symbol a in state s; `verdict[s]` the class of a word that ends
    in s. The symbol at place t is uniform over the range `phases[t mod P]` of symbols, and a word
    ends after the first phase: with P = 2 its length is odd.
    """

    symbols: tuple[str, ...]
    answers: tuple[str, ...]
    start: int
    table: tuple[tuple[int, ...], ...]
    verdict: tuple[int, ...]
    phases: tuple[tuple[int, int], ...]


def _parity() -> Language:
    return Language(
        ("0", "1"), ("even", "odd"), 0, ((0, 1), (1, 0)), verdict=(0, 1), phases=((0, 2),)
    )


def _even_pairs() -> Language:
    # State 0: nothing read yet; 1 + 2 first + last after that.
    table = ((1, 4), *((1 + 2 * first, 2 + 2 * first) for first, _ in product(range(2), repeat=2)))
    return Language(("a", "b"), ("odd", "even"), 0, table, (1, 1, 0, 0, 1), phases=((0, 2),))


def _cycle_navigation() -> Language:
    table = tuple(
        tuple((state + move) % MODULUS for move in (-1, 0, 1)) for state in range(MODULUS)
    )
    places = tuple(map(str, range(MODULUS)))
    return Language(("-", "0", "+"), places, 0, table, tuple(range(MODULUS)), phases=((0, 3),))


def _modular_arithmetic() -> Language:
    # State (a, f): the sum of the finished terms, and the term that is being multiplied up, which
    # begins as 1 after a plus and as -1 after a minus.
    def after(a: int, f: int) -> tuple[int, ...]:
        digits = [(a, f * d) for d in range(MODULUS)]
        moves = [*digits, (a + f, 1), (a + f, -1), (a, f)]
        return tuple(a % MODULUS * MODULUS + f % MODULUS for a, f in moves)

    states = tuple(product(range(MODULUS), repeat=2))
    digits = tuple(map(str, range(MODULUS)))
    return Language(
        symbols=(*digits, "+", "-", "*"),
        answers=digits,
        start=1,
        table=tuple(after(a, f) for a, f in states),
        verdict=tuple((a + f) % MODULUS for a, f in states),
        phases=((0, MODULUS), (MODULUS, MODULUS + 3)),
    )


LANGUAGES = {
    "parity": _parity,
    "even-pairs": _even_pairs,
    "cycle-navigation": _cycle_navigation,
    "modular-arithmetic": _modular_arithmetic,
}


class FormalLanguage(AskedTask):
    """Words of a regular language, then `?`: to which class does the word belong?

    `parity`: whether the number of 1s in a word of 0 and 1 is odd. `even-pairs`: whether the number
    of ab and ba in a word of a and b is even, so whether its ends are equal. `cycle-navigation`:
    the place on a circle of 5 after steps of -1, 0 and +1. `modular-arithmetic`: the value modulo 5
    of digits 0..4 with `+ - *` between them, `*` first; words have odd length. Symbols are
    uniform.

    Splits, metrics, chance and ceiling: `LengthTask`. The classes of `modular-arithmetic` are not
    equally likely (a product is often 0).

    Args:
        language: one of the above.
        shortest: fewest symbols.
        longest: most symbols in training.
        long: most symbols in the split `long`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few words.

    Source: Deletang et al. 2023, arXiv:2207.02098; the lengths of Beck et al. 2024 (xLSTM),
    arXiv:2405.04517.

    Example:
        >>> print(FormalLanguage(language="parity", longest=8).sample("train", 0))
        inputs:     0    1    1    0    0    0    ?
        targets:    .    .    .    .    .    . even
    """

    def __init__(
        self,
        *,
        language: str = "parity",
        shortest: int = 3,
        longest: int = 40,
        long: int = 256,
        name: str = "formal-language",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.language = LANGUAGES[check_known("language", language, tuple(LANGUAGES))]()
        super().__init__(
            symbols=self.language.symbols,
            answers=self.language.answers,
            lengths=(shortest, longest, long),
        )

    def word_lengths(self, low: int, high: int) -> Tensor:
        """All lengths, or the odd ones, as the language wants."""
        lengths = torch.arange(low, high + 1)
        return lengths[(lengths - 1) % len(self.language.phases) == 0]

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Symbols uniform over those that may stand at a place."""
        phases = self.language.phases
        words = torch.empty(len(lengths), longest, dtype=torch.int64)
        for first, (low, high) in enumerate(phases):
            part = words[:, first :: len(phases)]
            part[:] = torch.randint(low, high, part.shape, generator=generator)
        return words

    def answer(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return the verdict on the state after the last symbol, (N, 1)."""
        states = run(torch.tensor(self.language.table), self.language.start, words)
        last = states.gather(1, lengths[:, None] - 1)
        return torch.tensor(self.language.verdict)[last]


def run(table: Tensor, start: int, words: Tensor) -> Tensor:
    """States of an automaton after every symbol of `words` (N, n): s_t = table[s_(t-1), a_t]."""
    state = torch.full((len(words),), start)
    states = torch.empty_like(words)
    for t, symbol in enumerate(words.unbind(1)):
        state = table[state, symbol]
        states[:, t] = state
    return states
