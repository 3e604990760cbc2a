"""Contexts of keys and values, then the keys again, far apart: what all forms of MQAR share."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.sampling import distinct, weighted_order
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import TokenTask

FILLER = 0


class QueriedRecall(TokenTask):
    """Entries (key, value) in a context, then every key once: answer each with its value.

    A key has w - 1 tokens, so an entry has w. The context of C tokens holds M entries. After it
    come (L - C) // w places of w tokens; place j is taken by a query with weight a (j+1)^(a-1):
    with a near 0 queries crowd behind the context, with a = 1 they are anywhere. The queries are
    placed one after another, so an early one tends to be nearer. A query is its key alone; the
    target is the value, at the key's last token. All else is filler: id 0, or any id, uniform.

    A subclass sets the sizes, then draws `entries` (N, M, w), `keys` (N, K, w-1) and `values`
    (N, K). The splits share no context, in whatever order its entries come.
    """

    splits: tuple[str, ...] = ("train", "valid", "test")
    vocabulary: int
    length: int
    power: float
    random_non_queries: bool

    def draw_context(self, count: int, generator: Generator) -> Fields:
        """Draw `entries`, `keys` and `values` of `count` contexts."""
        raise NotImplementedError

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""
        drawn = draw_in_part(
            lambda size: self.draw_context(size, generator), memory, split, count, at_once=4096
        )
        return self.place(drawn, self.length, generator)

    def place(self, drawn: Fields, length: int, generator: Generator) -> Fields:
        """Put the queries behind the contexts: `tokens` and `targets`, each (N, length)."""
        entries, keys, values = (drawn[name] for name in ("entries", "keys", "values"))
        count, queries = values.shape
        width = entries.shape[-1]
        context = entries.flatten(1)
        places = (length - context.shape[1]) // width
        weights = torch.arange(1, places + 1, dtype=torch.float64) ** (self.power - 1)
        starts = context.shape[1] + width * weighted_order(count, queries, weights, generator)
        tokens = torch.full((count, length), FILLER)
        tokens[:, : context.shape[1]] = context
        for k in range(width - 1):
            tokens.scatter_(1, starts + k, keys[..., k])
        targets = torch.full((count, length), IGNORE)
        targets.scatter_(1, starts + width - 2, values)
        if self.random_non_queries:
            noise = torch.randint(self.vocabulary, tokens.shape, generator=generator)
            tokens = torch.where(tokens == FILLER, noise, tokens)
        return {"tokens": tokens, "targets": targets}

    def check_sizes(self, length: int, width: int, entries: int, queries: int) -> None:
        """Raise ValueError if the power, the length or the vocabulary does not fit."""
        if not 0 < self.power < math.inf:
            raise TaskOptionError(f"'power' must be a finite number above 0, got {self.power}")
        if length % 2:
            raise TaskOptionError(f"'length' must be even, got {length}")
        if self.vocabulary <= length:
            raise TaskOptionError(
                f"'vocabulary' must be above 'length' = {length}, got {self.vocabulary}"
            )
        if (needed := width * (entries + queries)) > length:
            raise TaskOptionError(
                f"'length' must be >= {needed}: {entries} entries and {queries} queries of {width} "
                f"tokens each; got {length}"
            )

    def declare(self, values: int) -> None:
        """Set what a task tells of itself, from the number of possible values."""
        self.inputs = Inputs("token", self.vocabulary, self.length)
        self.outputs = Outputs(self.vocabulary)
        self.chance = {"accuracy": 1 / values}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # every key that is asked for is in the context


def draw_pairs(count: int, pairs: int, vocabulary: int, generator: Generator) -> Fields:
    """Draw distinct keys of 1..V/2-1 and distinct values of V/2..V-1: the fields of a context."""
    half = vocabulary // 2
    keys = 1 + distinct(count, pairs, half - 1, generator)
    values = half + distinct(count, pairs, vocabulary - half, generator)
    entries = torch.stack([keys, values], -1)
    return {"entries": entries, "keys": keys[..., None], "values": values}


def check_keys(vocabulary: int, pairs: int) -> None:
    """Raise ValueError if there are fewer than `pairs` keys."""
    if pairs > vocabulary // 2 - 1:
        raise TaskOptionError(
            f"'pairs' must be <= vocabulary/2 - 1 = {vocabulary // 2 - 1}, the number of keys; "
            f"got {pairs}"
        )


def memory(drawn: Fields) -> Tensor:
    """Order the entries by key, those of one key as they came: order alone makes no new memory."""
    entries = drawn["entries"]
    key = torch.zeros_like(entries[..., 0])
    for part in entries[..., :-1].unbind(-1):
        key = key * (1 << 31) + part
    order = key.argsort(dim=-1, stable=True)
    return entries.gather(1, order[..., None].expand(-1, -1, entries.shape[-1])).flatten(1)
