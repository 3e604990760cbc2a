"""What is analysed: a model with something to feed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.registry import AnalysisError
from attenergy.tasks import Batch, Task

#: What one forward pass is given: inputs by place, and by name.
Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, what to feed it, and what it was trained for.

    Attributes:
        model: the trained model, in evaluation mode.
        name: what it is called in sentences and pictures.
        batches: what forward passes are given, one entry for each. With a task: its instances 0, 1,
            2, ... of the split, in their order.
        task: what it was trained for, if that is known.
        split: the task's split that the batches are of.
        instances: how many of the split `evaluate` takes.
        make_untrained: makes the model as it was before training, if that can be had.
        predict: the answer (B, L, C) of a model to a batch of the task; by default
            `model(batch.inputs, mask=batch.mask)`.
        seed: of everything that is drawn.

    Example:
        >>> subject = Subject(torch.nn.Linear(3, 2), "a map", [((torch.zeros(4, 3),), {})])
        >>> subject.run().shape
        torch.Size([4, 2])
    """

    model: nn.Module
    name: str
    batches: Sequence[Inputs]
    task: Task | None = None
    split: str = "valid"
    instances: int = 256
    make_untrained: Callable[[], nn.Module] | None = None
    predict: Callable[[nn.Module, Batch], Tensor] | None = None
    seed: int = 0

    @cached_property
    def untrained(self) -> nn.Module | None:
        """The model as it was before training, made once; None if that cannot be had."""
        return None if self.make_untrained is None else self.make_untrained().eval()

    def run(self, model: nn.Module | None = None, batch: int = 0) -> Any:
        """What the model, or another one, returns for a batch."""
        inputs, arguments = self.batches[batch]
        return (self.model if model is None else model)(*inputs, **arguments)

    def evaluate(
        self,
        model: nn.Module | None = None,
        *,
        split: str | None = None,
        instances: int | None = None,
    ) -> dict[str, float]:
        """Loss and metrics of the model, or of another one, on the task.

        Args:
            model: takes what the subject's model takes.
            split: of the task; that of the subject if None.
            instances: how many of the split; as many as the subject says if None.

        Raises:
            ArgumentError: there is no task.
        """
        if self.task is None:
            raise AnalysisError(f"{self.name} has no task to be evaluated on")
        judged = self.model if model is None else model
        predict = self.predict or _predict
        with torch.inference_mode():
            return self.task.evaluate(
                lambda batch: predict(judged, batch),
                split or self.split,
                instances or self.instances,
            )


def _predict(model: nn.Module, batch: Batch) -> Tensor:
    answer: Tensor = model(batch.inputs, mask=batch.mask)
    return answer
