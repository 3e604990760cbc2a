"""Attention paths of a subject of the command line, whose targets its task has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.paths.attention_paths import attention_paths
from attenergy.analysis.paths.result import AttentionPaths
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Subject
from attenergy.registry import AnalysisError
from attenergy.tasks import Task

#: Batches that the score without heads is over.
_BATCHES = 4


def paths_of_subject(
    subject: Subject, options: Mapping[str, Any], progress: Progress | None = None
) -> AttentionPaths:
    """`attention_paths` of a model on its subject's instances, scored on those after them.

    Where a finite set of data has no more, or the task's metric is no mean over instances, the
    score is of the same instances, and the result says so.

    Args:
        subject: with a task.
        options: arguments of `attention_paths` by name.
        progress: called while it goes on.

    Raises:
        ValueError: a subject without a task, or as `attention_paths`.
    """
    task = subject.task
    if task is None:
        raise AnalysisError("paths are aligned with a task's targets: name the task")
    sizes = [_size(inputs, arguments) for inputs, arguments in subject.batches]
    starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    targets = [
        task.batch(subject.split, start, size).targets
        for start, size in zip(starts, sizes, strict=False)
    ]
    first, size = starts[-1], max(sizes)
    left = getattr(task, "sizes", {}).get(subject.split, first + _BATCHES * size) - first
    fresh = left >= size  # else a finite set of data has no others
    count = min(_BATCHES, left // size) if fresh else _BATCHES
    others = [
        task.batch(subject.split, (first if fresh else 0) + i * size, size) for i in range(count)
    ]
    of_instances = task.metric in task.metrics(_flat(task, others[0].targets), others[0].targets)

    predict = subject.predict or (lambda model, batch: model(batch.inputs, mask=batch.mask))

    def score(model: nn.Module) -> float:
        if not of_instances:  # no mean over instances
            return subject.evaluate(model)[task.metric]
        with torch.inference_mode():
            values = [
                task.metrics(logits, batch.targets.to(logits.device))[task.metric]
                for batch in others
                for logits in [predict(model, batch)]
            ]
        return float(torch.cat(values).double().mean())

    result = attention_paths(
        subject.model, subject.batches, targets, score=score, seed=subject.seed,
        progress=progress, **options,
    )  # fmt: skip
    apart = of_instances and fresh and bool(result.curves)
    return replace(result, metric=task.metric, apart=apart)


def _size(inputs: tuple[Any, ...], arguments: Mapping[str, Any]) -> int:
    """How many instances a batch has."""
    return len(next(x for x in (*inputs, *arguments.values()) if isinstance(x, Tensor)))


def _flat(task: Task, targets: Tensor) -> Tensor:
    """Some answer to targets, to see which metrics there are."""
    return torch.zeros(*targets.shape[:2], task.outputs.size)
