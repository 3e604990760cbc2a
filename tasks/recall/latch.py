"""Latch: the first symbol decides the class, what follows only distracts."""

from __future__ import annotations

import torch
from torch import Generator

from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import TokenTask


class Latch(TokenTask):
    """Symbol 0 or 1, then L - 1 symbols drawn from 2..V-1: tell the first one at the last place.

    Metric `accuracy`, at best 1. Splits share no sequence.

    Args:
        length: L >= 2.
        symbols: V >= 3.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: after Bengio et al. 1994, doi:10.1109/72.279181, in the form of Ramsauer et al. 2020,
    arXiv:2008.02217, their implementation: 20 places, 6 symbols.

    Example:
        >>> print(Latch(length=6).sample("train", 0))
        inputs:  1 5 4 5 3 4
        targets: . . . . . 1
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        length: int = 20,
        symbols: int = 6,
        name: str = "latch",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.length = check_whole("length", length, 2)
        self.symbols = check_whole("symbols", symbols, 3)
        self.inputs = Inputs("token", self.symbols, self.length)
        self.scored_positions = slice(-1, None)
        self.outputs = Outputs(2)
        self.chance = {"accuracy": 0.5}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` (N, L) and `targets` (N, L), scored at the last place."""

        def draw(number: int) -> Fields:
            size = (number, self.length)
            tokens = torch.randint(2, self.symbols, size, generator=generator)
            tokens[:, 0] = torch.randint(2, (number,), generator=generator)
            targets = torch.full_like(tokens, IGNORE)
            targets[:, -1] = tokens[:, 0]
            return {"tokens": tokens, "targets": targets}

        return draw_in_part(draw, lambda fields: fields["tokens"], split, count)

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # the answer is in the sequence
