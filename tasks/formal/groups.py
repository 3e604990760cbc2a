"""Word problems of finite groups: the product of what was read, at every place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import IGNORE, check_known
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.formal.base import FIRST, MARK, PAD, LengthTask
from attenergy.tasks.formal.regular_languages import run

Element = tuple[int, ...]
Elements = tuple[tuple[Element, ...], Callable[[Element, Element], Element]]


def _even(p: Element) -> bool:
    return sum(p[i] > p[j] for i, j in product(range(len(p)), repeat=2) if i < j) % 2 == 0


def _compose(p: Element, q: Element) -> Element:
    return tuple(q[x] for x in p)  # first p, then q


def _symmetric(n: int) -> Elements:
    return tuple(permutations(range(n))), _compose


def _alternating(n: int) -> Elements:
    return tuple(filter(_even, permutations(range(n)))), _compose


def _cyclic(n: int) -> Elements:
    return tuple((x,) for x in range(n)), lambda a, b: ((a[0] + b[0]) % n,)


def _pairs(left: Elements, right: Elements) -> Elements:
    cut = len(left[0][0])

    def multiply(a: Element, b: Element) -> Element:
        return left[1](a[:cut], b[:cut]) + right[1](a[cut:], b[cut:])

    return tuple(a + b for a, b in product(left[0], right[0])), multiply


GROUPS: dict[str, Callable[[], Elements]] = {
    "S3": lambda: _symmetric(3),
    "S5": lambda: _symmetric(5),
    "A5": lambda: _alternating(5),
    "Z60": lambda: _cyclic(60),
    "A4xZ5": lambda: _pairs(_alternating(4), _cyclic(5)),
}


class GroupWords(LengthTask):
    """BOS g1 g2 ... gn; the target at gt is the product g1 g2 ... gt.

    The elements are uniform over the group, the identity is the first of them. Permutations are
    written as the images of 0, 1, ..., and in a product the left one acts first. Groups: S3 (6
    elements) and S5 (120), all permutations; A5 (60), the even ones of five; Z60, addition modulo
    60; A4xZ5 (60). A5 and S5 are not solvable, so their word problems are complete for NC1: unless
    TC0 = NC1, no threshold circuits of constant depth solve them, while a recurrent state does.

    Splits, metrics, chance 1/|G| and ceiling: `LengthTask`. The first product is its own token, so
    a model that sees one token alone has (1 + (n-1)/|G|) / n.

    Args:
        group: one of the above.
        shortest: fewest elements of a word.
        longest: most elements in training.
        long: most elements in the split `long`.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few words.

    Source: Merrill, Petty and Sabharwal 2024, arXiv:2404.08819.

    Example:
        >>> print(GroupWords(longest=6).sample("train", 0))
        inputs:  BOS 021 120 012 021 120
        targets:   . 021 102 102 201 012
    """

    mark = "BOS"

    def __init__(
        self,
        *,
        group: str = "S3",
        shortest: int = 4,
        longest: int = 16,
        long: int = 64,
        name: str = "group-words",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        elements, multiply = GROUPS[check_known("group", group, tuple(GROUPS))]()
        number = {element: i for i, element in enumerate(elements)}
        self.table = torch.tensor([[number[multiply(a, b)] for b in elements] for a in elements])
        names = tuple(".".join(map(str, x)) if group == "A4xZ5" else _digits(x) for x in elements)
        super().__init__(
            symbols=names,
            answers=names,
            lengths=(shortest, longest, long),
        )

    def tokens_of(self, symbols: Tensor) -> Tensor:
        """1 + n."""
        return 1 + symbols

    def draw(self, lengths: Tensor, longest: int, generator: Generator) -> Tensor:
        """Elements uniform and independent."""
        return torch.randint(len(self.symbols), (len(lengths), longest), generator=generator)

    def lay_out(self, words: Tensor, lengths: Tensor, width: int) -> Fields:
        """BOS, the word, padding; the products are the targets of the word's own tokens."""
        inside = torch.arange(words.shape[1]) < lengths[:, None]
        tokens = torch.full((len(words), width), PAD)
        targets = torch.full_like(tokens, IGNORE)
        tokens[:, 0] = MARK
        place = slice(1, 1 + words.shape[1])
        tokens[:, place] = torch.where(inside, FIRST + words, PAD)
        targets[:, place] = torch.where(inside, run(self.table, 0, words), IGNORE)
        return {"tokens": tokens, "targets": targets, "lengths": 1 + lengths}


def _digits(element: Element) -> str:
    return "".join(map(str, element))
