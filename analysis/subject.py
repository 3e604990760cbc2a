"""What is analysed: a model with something to feed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from attenergy.tasks import Task

#: What one forward pass is given: inputs by place, and by name.
Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, what to feed it, and what it was trained for.

    Attributes:
        model: the trained model.
        name: what it is called in sentences and pictures.
        batches: what forward passes are given, one entry for each.
        task: what it was trained for, if that is known.
        split: the task's split that the batches are of.
        untrained: the model as it was before training, if that can be had.
        seed: of everything that is drawn.
    """

    model: nn.Module
    name: str
    batches: Sequence[Inputs]
    task: Task | None = None
    split: str = "valid"
    untrained: nn.Module | None = None
    seed: int = 0

    def run(self, model: nn.Module | None = None, batch: int = 0) -> Any:
        """What the model, or another one, returns for a batch."""
        inputs, arguments = self.batches[batch]
        return (self.model if model is None else model)(*inputs, **arguments)
