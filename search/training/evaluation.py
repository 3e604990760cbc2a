"""Loss and metrics of a model over a split of its task."""

from __future__ import annotations

import torch
from torch import nn

from attenergy.attention.modules.modes import evaluating
from attenergy.registry import TrainingSpec
from attenergy.search.runs.config import LARGEST
from attenergy.search.runs.failures import Diverged
from attenergy.search.training.predict import predict
from attenergy.tasks import Task

LARGEST_EVALUATION_BATCH = 256


def evaluation_batch(training: TrainingSpec) -> int:
    """How many instances are evaluated at once: no more than a training step takes."""
    return min(LARGEST_EVALUATION_BATCH, training.batch_size)


def evaluate(
    model: nn.Module,
    task: Task,
    split: str,
    instances: int,
    where: str = "",
    *,
    batch_size: int = LARGEST_EVALUATION_BATCH,
) -> dict[str, float]:
    """Average loss and metrics of the model over the first `instances` of a split.

    The batch size decides the memory, and no score but for rounding. Afterwards every part of the
    model is in the mode in which it was, training or evaluation.

    Raises:
        Diverged: if one of them is not finite, or beyond all bounds; `where` completes the message.
    """
    with evaluating(model), torch.inference_mode():
        scores = task.evaluate(
            lambda batch: predict(model, batch, task.scored_positions),
            split,
            instances,
            batch_size=batch_size,
        )
    for name, value in scores.items():
        if not abs(value) <= LARGEST:
            raise Diverged(f"{split} {name} {value} {where}".rstrip())
    return scores
