"""What lies hidden behind the instances of a task: the rule of an answer, the terms of a function.

A task of yours gives it with one method, `latents`; `HasLatents` says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attenergy.tasks.core.batches import Batch


@dataclass(frozen=True, eq=False)
class Latents:
    """Instances with what made them, which no model is shown.

    Attributes:
        batch: the instances, B of them; they may be easier to look at than those of `Task.batch`
            (all with the same context).
        labels: name -> int64 (B,), a class of every instance, or (B, L), one of every position,
            negative where there is none; or float, numbers (B,), (B, L), or (B, L or 1, M), M of
            them, NaN where there is none.
        combinations: int64 (B,), the combination of latents that made the instance: the same
            number for the same combination in every split. What is held out are combinations.
        classes: name -> what the classes of an int64 label are called, in the order of their ids.

    Example:
        >>> make_task("raven-small").latents("train", 0, 4).labels["rule"].shape
        torch.Size([4, 18])
    """

    batch: Batch
    labels: Mapping[str, Tensor]
    combinations: Tensor
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@runtime_checkable
class HasLatents(Protocol):
    """A task that tells what lies behind its instances.

    Example:
        >>> class Parity(Task):
        ...     def latents(self, split, start, size):
        ...         drawn = self.instances(split, start, size)
        ...         ones = drawn["tokens"].sum(-1)
        ...         return Latents(self.encode(drawn), {"ones": ones}, combinations=ones)
    """

    def latents(self, split: str, start: int, size: int) -> Latents:
        """Instances `start .. start + size - 1` of a split, and what is behind them."""


def numbers_of(rows: Tensor, known: Tensor) -> Tensor:
    """The place of each of `rows` (B, K) among the sorted rows of `known` (M, K): (B,).

    Every row has to be one of `known`.
    """
    every = torch.cat([known, rows])
    places: Tensor = torch.unique(every, dim=0, return_inverse=True)[1]
    return places[len(known) :]
