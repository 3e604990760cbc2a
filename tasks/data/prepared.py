"""What is read of a user's data, and what it becomes before a model sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attenergy.registry import DataError
from attenergy.tasks.core.base import IGNORE
from attenergy.tasks.core.batches import Batch
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.data.facts import LARGEST, Facts

MOST_CLASSES = 10_000  # of whole numbers


@dataclass(frozen=True)
class Loaded:
    """What a file holds, before it is split.

    targets: int64 classes with `IGNORE`, (N,) or (N, L); or float64 numbers with NaN, (N, T) or
        (N, L, T). keys: (N,), equal where the inputs of two rows are. content: hash of the data.
    classes: names of the classes; empty where numbers are answered. given: (N,), see `split_rows`.
    last: whether the last position, alone, is scored. pairs: whether every row has a mask (L, L).
    raw: what `fit` and `show` work with. notes: what a user should know.
    """

    targets: Tensor
    keys: Tensor
    content: str
    classes: tuple[str, ...] = ()
    given: Tensor | None = None
    last: bool = True
    pairs: bool = False
    raw: Any = None
    notes: tuple[str, ...] = ()

    @property
    def strata(self) -> Tensor:
        """(N,): the class of each row that has one, else 0."""
        if self.classes and self.targets.ndim == 1:
            return self.targets
        return torch.zeros(len(self.targets), dtype=torch.int64)


@dataclass(frozen=True)
class Prepared:
    """Data that are split and standardised: `fields` of all rows, and the rows of each split."""

    loaded: Loaded
    fields: Fields
    rows: dict[str, Tensor]
    facts: Facts
    notes: tuple[str, ...]
    centre: Tensor = field(default_factory=lambda: torch.zeros(1))  # of numbers to be answered
    spread: Tensor = field(default_factory=lambda: torch.ones(1))


def with_query(tokens: Tensor, targets: Tensor, mask: Tensor | None = None) -> Batch:
    """A batch whose last position is a query, all zero, that is to answer.

    Args:
        tokens: float (B, L, size).
        targets: (B,) classes, or (B, T) numbers.
        mask: (B, L), False at padding.
    """
    inputs = F.pad(tokens, (0, 0, 0, 1))
    return Batch(inputs, at_last(targets, inputs.shape[1]), padded(mask))


def padded(mask: Tensor | None) -> Tensor | None:
    """A mask (B, L) with a query after it."""
    return None if mask is None else F.pad(mask, (0, 1), value=True)


def at_last(targets: Tensor, length: int) -> Tensor:
    """Targets at the last of so many positions, nothing at the others."""
    if targets.is_floating_point():
        return F.pad(targets[:, None], (0, 0, length - 1, 0), value=torch.nan)
    return F.pad(targets[:, None], (length - 1, 0), value=IGNORE)


def check_classes(loaded: Loaded) -> None:
    """Raise ArgumentError for a target with one class."""
    answered = loaded.targets[loaded.targets != IGNORE]
    if len(torch.unique(answered)) < 2:
        names = ", ".join(map(repr, loaded.classes[:5]))
        raise DataError(f"the target has one class only ({names}): there is nothing to learn")


def standardised(prepared: Prepared) -> Prepared:
    """With the mean and the deviation of the numbers in training.

    Raises:
        ArgumentError: they are not finite, or all the same.
    """
    targets = prepared.loaded.targets.flatten(0, -2)
    train = prepared.loaded.targets[prepared.rows["train"]].flatten(0, -2)
    if not (targets.abs() <= LARGEST).logical_or(targets.isnan()).all():
        raise DataError(f"the target has numbers that are not finite, or beyond {LARGEST:g}")
    train = train[~train.isnan().any(-1)]
    spread = train.std(0, correction=0)
    if not len(train) or not (spread > 0).all():
        raise DataError("the target is the same in all rows in training: nothing to learn")
    return replace(prepared, centre=train.mean(0), spread=spread)
