"""Fuzzy in-context recall: keys and values are groups of tokens without marks between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, check_whole
from attenergy.tasks.core.batches import Estimate, Inputs, Outputs
from attenergy.tasks.core.sampling import distinct
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.core.token_task import MacroTask


class FuzzyRecall(MacroTask):
    """Pairs of a key of 1..a ids and a value of 1..b ids, the last pair shown before: tell it.

    V-1 pads, the lower half of the other ids make keys, the rest values. A key or value is an
    ordered choice of ids without repeats; its size is uniform in training, and elsewhere a key
    always has a ids. A key has one value all along. A probe pair of p ids is drawn first and comes
    up at the first boundary at or after an offset uniform over 0..L-p-2(a+b) (unless its key
    comes up by chance before). Pairs follow while there are fewer than L-p-(a+b) ids, then the
    probe again; padding in front makes L+1 of them.

    Inputs (B, L): all but the last id. Training targets are the next id everywhere, padding
    included. Elsewhere all ids of the values of keys shown before are scored.

    Splits share no sequence. Metrics: see `MacroTask`. Chance is that of a uniform guess over the
    ids of values. The ceiling is 1, but for the split `train`, where it is not computed.

    Args:
        vocabulary: V; the (V-1)/2 ids of keys and of values are enough for the largest size.
        length: L, >= 3(a + b).
        key_size: a.
        value_size: b.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few sequences.

    Source: Poli et al. 2024, arXiv:2403.17844, and its published code, where a probe with a late
    offset can miss its place.

    Example:
        >>> print(FuzzyRecall(length=18).sample("train", 0))
        inputs:    _   _   _   _   _  k6 v10  k5  k0  k4  v8  k4  v9  v8 v11  k5  k0  k4
        targets:   _   _   _   _  k6 v10  k5  k0  k4  v8  k4  v9  v8 v11  k5  k0  k4  v8
    """

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 16,
        length: int = 128,
        key_size: int = 3,
        value_size: int = 3,
        train_instances: int = 0,
        name: str = "mad-fuzzy-recall",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.vocabulary = check_whole("vocabulary", vocabulary, 3)
        self.key_size = check_whole("key_size", key_size, 1)
        self.value_size = check_whole("value_size", value_size, 1)
        self.both = self.key_size + self.value_size
        self.length = check_whole("length", length, 3 * self.both)
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.keys = (self.vocabulary - 1) // 2
        self.values = self.vocabulary - 1 - self.keys
        for what, size, ids in (("key", key_size, self.keys), ("value", value_size, self.values)):
            if size > ids:
                raise TaskOptionError(f"'{what}_size' must be <= {ids}, the ids for it; got {size}")
        self.inputs = Inputs("token", self.vocabulary, self.length)
        self.outputs = Outputs(self.vocabulary)
        self.chance = dict.fromkeys(("macro_accuracy", "accuracy"), 1 / self.values)
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""
        drawn = draw_in_part(
            lambda size: self._draw(size, split == "train", generator),
            lambda fields: fields["sequence"],
            split,
            count,
            at_once=2048,
        )
        sequence, again = drawn["sequence"], drawn["again"]
        targets = sequence[:, 1:].clone()
        if split != "train":
            pad = self.vocabulary - 1
            scored = again & (sequence >= self.keys) & (sequence < pad)
            targets[~scored[:, 1:]] = IGNORE
        return {"tokens": sequence[:, :-1].contiguous(), "targets": targets}

    def _draw(self, count: int, train: bool, generator: Generator) -> Fields:
        """Draw the whole `sequence` (N, L+1) and which ids belong to pairs that came `again`."""
        pairs = self._pairs(count, train, generator)
        probe = pairs.size[:, -1:]
        offset = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        offset = (offset * (self.length - probe - 2 * self.both + 1)).long()
        pairs = pairs.ordered(_with_probe(pairs, offset))
        start = pairs.size.cumsum(-1) - pairs.size
        fits = start < self.length - probe - self.both
        fits[:, -1] = True
        return _laid_out(pairs, fits, self.length + 1, self.vocabulary - 1)

    def _pairs(self, count: int, train: bool, generator: Generator) -> _Pairs:
        """Draw more pairs than can be needed, and the probe as the last of them."""
        least = 2 if train else self.key_size + 1
        number = self.length // least + 1
        keys = self._groups(count * number, self.key_size, self.keys, train, generator)
        values = self._groups(count * number, self.value_size, self.values, True, generator)
        values = torch.where(values >= 0, values + self.keys, values)
        keys, values = (x.view(count, number, -1) for x in (keys, values))
        code = torch.zeros_like(keys[..., 0])
        for part in keys.unbind(-1):
            code = code * self.vocabulary + part + 1
        # The probe leads, so that its value is the one that its key has.
        first = _first_alike(code.roll(1, 1)).roll(-1, 1)
        first = torch.where(first == 0, number, first) - 1
        values = values.gather(1, first[..., None].expand_as(values))
        return _Pairs(torch.cat([keys, values], -1), code)

    def _groups(
        self, count: int, largest: int, ids: int, any_size: bool, generator: Generator
    ) -> Tensor:
        """Draw ordered choices of ids, (count, largest); -1 after the end of a shorter one."""
        groups = distinct(count, largest, ids, generator)
        if not any_size:
            return groups
        size = torch.randint(1, largest + 1, (count, 1), generator=generator)
        return torch.where(torch.arange(largest) < size, groups, -1)

    def word(self, token: int) -> str:
        """Show ids of keys as k, of values as v, padding as a line."""
        if token == self.vocabulary - 1:
            return "_"
        return f"k{token}" if token < self.keys else f"v{token}"

    def _ceiling(self, split: str) -> Estimate | None:
        return None if split == "train" else Estimate(1.0, 0.0, 0)  # each value was shown before


@dataclass(frozen=True)
class _Pairs:
    """`ids` (N, M, a+b), the key's then the value's, -1 for none; `code` (N, M) names the key."""

    ids: Tensor
    code: Tensor

    @property
    def size(self) -> Tensor:
        return (self.ids >= 0).sum(-1)

    def ordered(self, order: Tensor) -> _Pairs:
        index = order[..., None].expand(-1, -1, self.ids.shape[-1])
        return _Pairs(self.ids.gather(1, index), self.code.gather(1, order))


def _first_alike(code: Tensor) -> Tensor:
    """Index of the first entry of a row with the same code, for every entry: (N, M)."""
    ranked, order = code.sort(dim=-1, stable=True)
    fresh = torch.ones_like(ranked, dtype=torch.bool)
    fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    steps = torch.arange(code.shape[1]).expand_as(code)
    leader = torch.where(fresh, steps, 0).cummax(-1).values
    return torch.empty_like(order).scatter_(1, order, order.gather(1, leader))


def _with_probe(pairs: _Pairs, offset: Tensor) -> Tensor:
    """Order of the pairs with the probe, the last of them, at its place and at the end."""
    last = pairs.code.shape[1] - 1
    size = pairs.size
    start = size.cumsum(-1) - size
    steps = torch.arange(last + 1).expand_as(start)
    place = torch.where(start[:, :last] >= offset, steps[:, :last], last).amin(-1, keepdim=True)
    alike = pairs.code[:, :last] == pairs.code[:, last:]
    chance = torch.where(alike, steps[:, :last], last).amin(-1, keepdim=True)
    place = torch.where(chance < place, last, place)
    order = torch.where(steps < place, steps, torch.where(steps == place, last, steps - 1))
    return torch.cat([order, torch.full_like(place, last)], 1)


def _laid_out(pairs: _Pairs, fits: Tensor, length: int, pad: int) -> Fields:
    """Write the kept pairs at the right end of `length` ids, and say which pairs came `again`."""
    ids = torch.where(fits[..., None], pairs.ids, -1).flatten(1)
    there = ids >= 0
    from_end = there.flip(-1).cumsum(-1).flip(-1)
    place = torch.where(there, length - from_end, length)  # one more column, for what is left out
    again = _first_alike(pairs.code) < torch.arange(fits.shape[1])
    again = again[..., None].expand_as(pairs.ids).flatten(1)
    sequence = torch.full((len(fits), length + 1), pad).scatter_(1, place, ids)
    scored = torch.zeros_like(sequence, dtype=torch.bool).scatter_(1, place, again)
    return {"sequence": sequence[:, :-1], "again": scored[:, :-1]}
