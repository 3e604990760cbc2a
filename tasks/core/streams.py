"""Deterministic streams of instances, and the partition that keeps splits apart.

Instance `i` of a split is row `i % BLOCK` of block `i // BLOCK`, and a block is drawn at once from
its own generator. So an instance depends on the stream and on its index, never on the batch size.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from attenergy.registry import ArgumentError, TaskOptionError

Fields = dict[str, Tensor]  # what was drawn; the first axis of every tensor counts instances

BLOCK = 1024
_CACHED_BLOCKS = 8

# A PyTorch CPU generator keeps 32 bits of its seed. Odd times block number, modulo 2^32, is a
# bijection, so no two blocks of a stream are alike; independent hashes would collide in long runs.
_SEEDS = 1 << 32
_STRIDE = 0x9E3779B9

_PARTS = 16
_TEST_PART, _VALID_PART = 0, 1
_SHARE = {"train": (_PARTS - 2) / _PARTS, "valid": 1 / _PARTS, "test": 1 / _PARTS}


def seed_of(*key: Any) -> int:
    """Seed in 0..2^32-1 made from plain data by SHA-256, the same in every process."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


class Stream:
    """The endless sequence of instances of one split.

    `draw(count, generator)` draws `count` instances; `key` is plain data that names the stream.
    With a `period` n the stream holds n different instances: instance i is instance i mod n.
    The last few blocks are kept, so reading in order or again costs little.
    """

    def __init__(
        self, draw: Callable[[int, Generator], Fields], *key: Any, period: int = 0
    ) -> None:
        self._draw = draw
        self._first_seed = seed_of(*key)
        self._period = period
        self._blocks: OrderedDict[int, Fields] = OrderedDict()

    def read(self, start: int, size: int) -> Fields:
        """Return instances `start .. start + size - 1`, as tensors that the caller may change."""
        check_span(start, size)
        pieces = []
        end = start + size
        while start < end:
            first = start % self._period if self._period else start
            low = first % BLOCK
            high = min(low + end - start, BLOCK)
            if self._period:
                high = min(high, low + self._period - first)
            pieces.append({name: x[low:high] for name, x in self._block(first // BLOCK).items()})
            start += high - low
        return concatenate(pieces)

    def _block(self, number: int) -> Fields:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        seed = (self._first_seed + number * _STRIDE) % _SEEDS
        block = _checked(self._draw(BLOCK, Generator().manual_seed(seed)))
        self._blocks[number] = block
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return block


class Epochs(Stream):
    """The rows of a finite set, all of them again and again, in another order each time.

    Instance i is row p_e(i mod n) in epoch e = i // n. The permutation p_e is drawn from the key
    and e; without shuffling it is the identity.

    Args:
        take: returns the rows of these numbers.
        size: n >= 1.
        key: plain data that names the stream.
        shuffled: whether epochs are.
    """

    def __init__(
        self, take: Callable[[Tensor], Fields], size: int, *key: Any, shuffled: bool
    ) -> None:
        self._take, self._size, self._key, self._shuffled = take, size, key, shuffled
        self._orders: OrderedDict[int, Tensor] = OrderedDict()

    def read(self, start: int, size: int) -> Fields:
        """Return instances `start .. start + size - 1`, as tensors that the caller may change."""
        check_span(start, size)
        rows = []
        end = start + size
        while start < end:
            epoch, low = divmod(start, self._size)
            rows.append(self._order(epoch)[low : low + end - start])
            start += len(rows[-1])
        return self._take(torch.cat(rows))

    def _order(self, epoch: int) -> Tensor:
        if not self._shuffled:
            return torch.arange(self._size)
        if epoch not in self._orders:
            generator = Generator().manual_seed(seed_of(*self._key, epoch))
            self._orders[epoch] = torch.randperm(self._size, generator=generator)
            if len(self._orders) > _CACHED_BLOCKS:
                self._orders.popitem(last=False)
        return self._orders[epoch]


def check_span(start: int, size: int) -> None:
    """Raise ValueError for instances that no stream has."""
    if start < 0 or size < 1:
        raise ArgumentError(f"a batch needs start >= 0 and size >= 1, got {start} and {size}")


def _checked(block: Any) -> Fields:
    """What was drawn; a task of a user's own that draws fewer would train on smaller batches."""
    fields = block if isinstance(block, dict) else {"": block}
    if fields and all(isinstance(x, Tensor) and x.shape[:1] == (BLOCK,) for x in fields.values()):
        return fields
    shown = [
        f"{name} {tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__}"
        for name, x in fields.items()
    ]
    got = ", ".join(shown).strip()
    raise ArgumentError(
        f"a task asked for {BLOCK} instances must generate a dict of tensors with as many rows, "
        f"got {got or 'an empty one'}"
    )


def concatenate(pieces: list[Fields]) -> Fields:
    """Join instances drawn in pieces; always a copy."""
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}


def content_hash(codes: Tensor) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hash rows of whole numbers: mix(sum_i c_i w_i mod 2^64), w_i odd and fixed.

    `codes` (N, M) -> (N,) unsigned 64-bit. Equal rows have equal hashes on every machine.
    `mix` is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    counter = np.arange(1, codes.shape[-1] + 1, dtype=np.uint64)
    weights = _mix(counter * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    rows: np.ndarray[Any, np.dtype[np.uint64]] = codes.numpy().astype(np.uint64)
    return _mix((rows * weights).sum(axis=-1, dtype=np.uint64))


def _mix(x: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def belongs(codes: Tensor, split: str) -> Tensor:
    """Which rows of `codes` (N, M) fall to `split`: one 16th to test, one to valid, else train.

    The part is a function of the row alone, so splits share no row, whatever was drawn.
    """
    part = torch.from_numpy((content_hash(codes) % np.uint64(_PARTS)).astype(np.int64))
    if split == "train":
        return (part != _TEST_PART) & (part != _VALID_PART)
    return part == (_TEST_PART if split == "test" else _VALID_PART)


def draw_in_part(
    draw: Callable[[int], Fields],
    context: Callable[[Fields], Tensor],
    split: str,
    count: int,
    at_once: int | None = None,
) -> Fields:
    """Draw `count` instances whose context falls to `split`, by rejection.

    Args:
        draw: draws that many instances of any part.
        context: the (N, M) whole numbers that decide the part, from drawn instances.
        split: `train`, `valid` or `test`.
        count: how many to return; should not be tiny, the first round tells an empty part.
        at_once: most that may be drawn in one round, where instances are large.

    Raises:
        ValueError: if (almost) no instance falls to the part: the task has too few contexts.

    """
    parts: list[Fields] = []
    drawn = accepted = 0
    rate = _SHARE[split]
    while accepted < count:
        size = math.ceil(1.1 * (count - accepted) / rate) + 32
        size = size if at_once is None else min(size, at_once)
        fields = draw(size)
        chosen = belongs(context(fields), split)
        parts.append({name: x[chosen] for name, x in fields.items()})
        drawn, accepted = drawn + size, accepted + int(chosen.sum())
        if accepted < 0.01 * _SHARE[split] * drawn:
            raise TaskOptionError(
                f"the split '{split}' is (almost) empty: {accepted} of {drawn} drawn instances "
                "fall to it; the task has too few different contexts, make it larger"
            )
        rate = accepted / drawn
    return {name: x[:count] for name, x in concatenate(parts).items()}
