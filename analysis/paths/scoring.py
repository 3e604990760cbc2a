"""Targets of a model's outputs: which positions count, and how many answers are right.

`B` batch, `T` positions, `C` classes or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from attenergy.analysis.paths.features import Points
from attenergy.analysis.paths.patterns import Patterns
from attenergy.analysis.subject import Inputs
from attenergy.registry import AnalysisError
from attenergy.tasks.core.base import IGNORE

#: Where one answer for a whole sequence is read.
Position = int | Literal["mean"]


def as_inputs(batch: Any) -> Inputs:
    """What one forward pass is given, of a tensor, a mapping of names, or both kinds."""
    if isinstance(batch, Tensor):
        return (batch,), {}
    if isinstance(batch, Mapping):
        return (), dict(batch)
    if isinstance(batch, Sequence) and len(batch) == 2 and isinstance(batch[1], Mapping):
        return tuple(batch[0]), dict(batch[1])
    if isinstance(batch, Sequence):
        return tuple(batch), {}
    raise AnalysisError(
        "a batch must be a tensor, a mapping of arguments, or a pair of inputs and such a mapping,"
        f" got {type(batch).__name__}"
    )


def draw_points(
    patterns: Patterns,
    targets: Tensor,
    arguments: Mapping[str, Any],
    position: Position,
    generator: Generator,
) -> tuple[Points, Tensor]:
    """One scored position of every instance that has any, and its target (N,) or (N, C).

    Raises:
        ValueError: targets do not fit the instances or the positions that the last layer computes.
    """
    batch, _, rows, stored = patterns.weights[-1].shape
    places = torch.arange(stored)
    if rows != stored:  # of a last block that computes some positions only
        places = places[arguments["rows"]] if "rows" in arguments else places[:rows]
    if len(targets) != batch:
        raise AnalysisError(f"targets are of {len(targets)} instances, the batch has {batch}")
    if _of_instances(targets):
        readout = torch.full((batch, rows), 1 / rows)
        if position != "mean":
            if not -rows <= position < rows:
                raise AnalysisError(f"position must be one of {rows} positions, got {position}")
            readout = torch.zeros(batch, rows)
            readout[:, position] = 1
        return _points(torch.arange(batch), readout, places, patterns), targets
    if targets.shape[1] == stored != rows:
        targets = targets[:, places]
    if targets.shape[1] != rows:
        raise AnalysisError(
            f"targets have {targets.shape[1]} positions, but the last layer computes {rows}"
        )
    scored = counts(targets)
    drawn = torch.rand(scored.shape, generator=generator).masked_fill(~scored, -1)
    instance = scored.any(1).nonzero()[:, 0]
    column = drawn.argmax(1)[instance]
    readout = torch.nn.functional.one_hot(column, rows).float()
    return _points(instance, readout, places, patterns), targets[instance, column]


def counts(targets: Tensor) -> Tensor:
    """Which of the targets, classes (B, T) or numbers (B, T, C), are scored, (B, T)."""
    return ~targets.isnan().any(-1) if targets.is_floating_point() else targets != IGNORE


def score(
    model: nn.Module,
    batches: Sequence[Inputs],
    targets: Sequence[Tensor],
    position: Position = -1,
) -> float:
    """Accuracy over all scored answers; of numbers the share of their variance explained.

    Of outputs at every position, but one target for an instance, those at `position` count.

    Raises:
        ValueError: the model gives no outputs that fit the targets.
    """
    right, total = 0.0, 0
    answers, wanted = [], []
    with torch.no_grad():
        for (inputs, arguments), given in zip(batches, targets, strict=True):
            out = _outputs(model(*inputs, **arguments))
            target = given.to(out.device)
            if _of_instances(given):
                if out.ndim == 3:
                    out = out.mean(1) if position == "mean" else out[:, position]
            elif "rows" in arguments:
                target = target[:, arguments["rows"]]
            if target.is_floating_point():
                _check_fit(out, target.shape)
                there = ~target.isnan()
                answers.append(out[there].double())
                wanted.append(target[there].double())
                continue
            _check_fit(out[..., 0] if out.ndim else out, target.shape)
            scored = target != IGNORE
            right += int(((out.argmax(-1) == target) & scored).sum())
            total += int(scored.sum())
    if not answers:
        return right / max(total, 1)
    y, seen = torch.cat(wanted), torch.cat(answers)
    return float(1 - (y - seen).square().mean() / y.var(correction=0))


def _points(instance: Tensor, readout: Tensor, places: Tensor, patterns: Patterns) -> Points:
    like = patterns.inputs
    return Points(instance.to(like.device), readout.to(like), places.to(like.device))


def _of_instances(targets: Tensor) -> bool:
    """Whether there is one target for each instance, and not one for each position."""
    return targets.ndim == 1 or (targets.is_floating_point() and targets.ndim == 2)


def _outputs(out: Any) -> Tensor:
    out = getattr(out, "logits", out[0] if isinstance(out, tuple) and out else out)
    if not isinstance(out, Tensor):
        raise AnalysisError(
            f"the model returns a {type(out).__name__} without `logits`; give `score`, a function "
            "of a model that returns a number"
        )
    return out


def _check_fit(out: Tensor, wanted: torch.Size) -> None:
    if out.shape != wanted:
        raise AnalysisError(
            f"outputs for targets of shape {tuple(wanted)} are expected, the model gives "
            f"{tuple(out.shape)}; give `score`, a function of a model that returns a number"
        )
