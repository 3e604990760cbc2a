"""Copying: remember some ids past a stretch of blanks, and say them in order."""

from __future__ import annotations

import torch
from torch import Generator

from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import MacroTask


class Copying(MacroTask):
    """m ids, L-2m-1 blanks, the copy mark, m blanks: answer the m ids at the m last blanks.

    The ids are uniform over 0..V-3; V-2 is the blank, V-1 the mark. If `selective`, each blank of
    the long stretch stands before one of the m ids instead, uniform and independent, so that what
    is to be copied has no fixed place. Inputs (B, L), the same in training and testing.

    Splits share no m ids. Metrics: see `MacroTask`. Chance is that of a uniform guess over the V-2
    ids. The ceiling is 1.

    Args:
        vocabulary: V with blank and mark, >= 4.
        length: L, > 2m + 1.
        tokens: m, >= 1.
        selective: whether the blanks are strewn between the ids.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: Poli et al. 2024, arXiv:2403.17844 (selective copying); after the copying task of
    Arjovsky et al. 2016, arXiv:1511.06464.

    Example:
        >>> print(Copying(length=16, tokens=3).sample("train", 0))
        inputs:   5  7  3  _  _  _  _  _  _  _  _  _ =>  _  _  _
        targets:  .  .  .  .  .  .  .  .  .  .  .  .  .  5  7  3
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 16,
        length: int = 64,
        tokens: int = 8,
        selective: bool = False,
        train_instances: int = 0,
        name: str = "copying",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 4)
        self.tokens = check_whole("tokens", tokens, 1)
        self.length = check_whole("length", length, 2 * self.tokens + 2)
        self.selective = selective
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.inputs = Inputs("token", self.vocabulary, self.length)
        self.scored_positions = slice(-self.tokens, None)
        self.outputs = Outputs(self.vocabulary)
        chance = 1 / (self.vocabulary - 2)
        self.chance = {"macro_accuracy": chance, "accuracy": chance}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""

        def draw(size: int) -> Fields:
            shape = (size, self.tokens)
            return {"ids": torch.randint(self.vocabulary - 2, shape, generator=generator)}

        ids = draw_in_part(draw, lambda drawn: drawn["ids"], split, count)["ids"]
        places = torch.arange(self.tokens).expand(count, -1)
        if self.selective:
            blanks = self.length - 2 * self.tokens - 1
            before = torch.randint(self.tokens, (count, blanks), generator=generator)
            tokens_at = torch.zeros_like(ids).scatter_add_(1, before, torch.ones_like(before))
            places = places + tokens_at.cumsum(-1)
        tokens = torch.full((count, self.length), self.vocabulary - 2)
        tokens.scatter_(1, places, ids)
        tokens[:, -self.tokens - 1] = self.vocabulary - 1
        targets = torch.full((count, self.length), IGNORE)
        targets[:, -self.tokens :] = ids
        return {"tokens": tokens, "targets": targets}

    def word(self, token: int) -> str:
        """Show the blank as a line and the mark as an arrow."""
        return {self.vocabulary - 2: "_", self.vocabulary - 1: "=>"}.get(token, str(token))

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # all that is asked for was shown
