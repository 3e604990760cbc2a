"""Tasks over words that are trained on short ones and tested on long ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole, scored_hits
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import TokenInstance, TokenTask

MOST_SYMBOLS = 20_000  # of a word
PAD, MARK, FIRST = 0, 1, 2  # ids: padding, the task's own mark, the first symbol


class LengthTask(TokenTask):
    """A word of n symbols and answers to it, both a function of the word: lengths generalise.

    In splits `train`, `valid` and `test` n is uniform over the possible lengths of
    `shortest`..`longest`, in `long` over those of `longest`+1..`long`. No two splits share a word;
    where there are few words of a length, some splits have none of that length. Inputs (B, L),
    padded on the right with id 0; symbols are ids from 2.

    Metrics: `accuracy`, the share of a word's answers that are right; `scaled_accuracy`, the same
    from 0 at chance to 1; from `evaluate` also `accuracy@a-b` over the words of a to b symbols, for
    every range that occurred. Chance is that of a uniform guess over the classes. The ceiling is 1.

    A subclass says how long a word may be (`word_lengths`), how many tokens it takes
    (`tokens_of`), draws words, and lays them out; its last token is scored.
    """

    splits = ("train", "valid", "test", "long")
    headline = "long"
    mark = "?"  # how id 1 is shown

    def __init__(
        self,
        *,
        symbols: tuple[str, ...],
        answers: tuple[str, ...],
        lengths: tuple[int, int, int],
    ) -> None:
        """Take what to call symbols and classes, and `shortest`, `longest` and `long`."""
        self.symbols, self.answers = symbols, answers
        names = ("shortest", "longest", "long")
        least = 1
        for key, value in zip(names, lengths, strict=True):
            # `long` lies above `longest`, which may equal `shortest`.
            least = check_whole(key, value, least + (key == "long"), MOST_SYMBOLS)
        shortest, longest, long = lengths
        self._short = self._possible(shortest, longest)
        self._long = self._possible(longest + 1, long)
        self._ranges = _ranges(shortest, longest, long)
        self._limits = self.tokens_of(torch.tensor([high for _, high in self._ranges]))
        classes = len(answers)
        self.inputs = Inputs("token", FIRST + len(symbols), int(self.tokens_of(self._long[-1])))
        self.outputs = Outputs(classes)
        self.chance = {"accuracy": 1 / classes, "scaled_accuracy": 0.0}
        super().__init__()

    def _possible(self, low: int, high: int) -> Tensor:
        lengths = self.word_lengths(low, high)
        if not len(lengths):
            raise TaskOptionError(f"no word of this task has {low} to {high} symbols")
        return lengths

    def word_lengths(self, low: int, high: int) -> Tensor:
        """Lengths of `low` to `high` that a word can have, in order."""
        return torch.arange(low, high + 1)

    def tokens_of(self, symbols: Tensor) -> Tensor:
        """How many tokens words of so many symbols take, with their marks."""
        raise NotImplementedError

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Draw words of `lengths` (N,): symbols from 0, (N, longest), anything beyond their end."""
        raise NotImplementedError

    def lay_out(self, words: Tensor, lengths: Tensor, width: int) -> Fields:
        """Return `tokens`, `targets` (N, width) and `lengths` (N,) in tokens, of words."""
        raise NotImplementedError

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens`, `targets` (N, L) and `lengths` (N,)."""
        possible = self._long if split == "long" else self._short
        longest = possible[-1]

        def draw(size: int) -> Fields:
            lengths = possible[torch.randint(len(possible), (size,), generator=generator)]
            words = self.draw(lengths, int(longest), generator)
            return {"words": words, "lengths": lengths}

        drawn = draw(count) if split == "long" else draw_in_part(draw, _word, split, count)
        return self.lay_out(drawn["words"], drawn["lengths"], int(self.tokens_of(longest)))

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy` and `scaled_accuracy`, each (B,)."""
        accuracy = super().metrics(logits, targets)["accuracy"]
        chance = self.chance["accuracy"]
        return {"accuracy": accuracy, "scaled_accuracy": (accuracy - chance) / (1 - chance)}

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Words in every range of lengths, and the sum of their accuracies, each (ranges,)."""
        hits, scored = scored_hits(logits, targets)
        ends = (scored * torch.arange(1, scored.shape[1] + 1, device=scored.device)).amax(-1)
        places = torch.bucketize(ends, self._limits.to(ends.device))
        shares = hits.sum(-1) / scored.sum(-1)
        return {
            "words": places.bincount(minlength=len(self._ranges)),
            "right": places.bincount(shares, minlength=len(self._ranges)),
        }

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`accuracy@a-b` of the ranges that occurred."""
        counted = zip(self._ranges, tally["words"].tolist(), tally["right"].tolist(), strict=True)
        return {f"accuracy@{a}-{b}": right / words for (a, b), words, right in counted if words}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # the answers are a function of the word

    def sample(self, split: str, index: int) -> Word:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        shown = slice(int(fields["lengths"]))
        tokens, targets = (tuple(fields[x][0, shown].tolist()) for x in ("tokens", "targets"))
        return Word(tokens, targets, {x: self.word(x) for x in tokens}, self.answers)

    def word(self, token: int) -> str:
        """Return how an id is shown to people."""
        return self.symbols[token - FIRST] if token >= FIRST else ("_", self.mark)[token]


class AskedTask(LengthTask):
    """A length task whose m answers stand after the word, at m places of id 1 (`?`).

    m is 1, or n times `answers_per_symbol` where that is not 0.
    """

    answers_per_symbol = 0

    def tokens_of(self, symbols: Tensor) -> Tensor:
        """Symbols and answer places, n + m."""
        return symbols * (1 + self.answers_per_symbol) + (self.answers_per_symbol == 0)

    def answer(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Answer the words (N, n) of `lengths` (N,): classes (N, m), any beyond the end."""
        raise NotImplementedError

    def lay_out(self, words: Tensor, lengths: Tensor, width: int) -> Fields:
        """Word, answer places, padding; the answers are the targets of their places."""
        place = torch.arange(width)
        ends = self.tokens_of(lengths)
        inside = place < lengths[:, None]
        scored = ~inside & (place < ends[:, None])
        answers = self.answer(words, lengths)
        column = (place - lengths[:, None]).clamp(0, answers.shape[1] - 1)
        symbol = place.clamp(max=words.shape[1] - 1)
        tokens = torch.where(inside, FIRST + words[:, symbol], torch.where(scored, MARK, PAD))
        targets = torch.where(scored, answers.gather(1, column), IGNORE)
        return {"tokens": tokens, "targets": targets, "lengths": ends}


@dataclass(frozen=True)
class Word(TokenInstance):
    """One word and what is asked at each of its tokens, as ids; `answers` shows the classes.

    Example:
        >>> print(FormalLanguage(language="parity", longest=8).sample("train", 0).answers)
        ('even', 'odd')
    """

    answers: tuple[str, ...]

    def __str__(self) -> str:
        first = 1 + max(self.names)  # classes get ids behind those of the tokens
        targets = tuple(x if x == IGNORE else first + x for x in self.targets)
        names = {**self.names, **dict(enumerate(self.answers, first))}
        return str(TokenInstance(self.tokens, targets, names))


def _word(drawn: Fields) -> Tensor:
    """The word alone: symbols from 1, 0 beyond its end."""
    words = drawn["words"]
    inside = torch.arange(words.shape[1]) < drawn["lengths"][:, None]
    return torch.where(inside, words + 1, 0)


def _ranges(shortest: int, longest: int, long: int) -> list[tuple[int, int]]:
    """Ranges of lengths for slices: those of training in two halves, then twice as far each."""
    ends = [longest // 2, longest]
    while ends[-1] < long:
        ends.append(min(2 * ends[-1], long))
    starts = [shortest, *(end + 1 for end in ends)]
    return [(low, high) for low, high in zip(starts, ends, strict=False) if low <= high]
