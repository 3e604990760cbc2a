"""What a model answers to a batch, computed at the positions that are scored."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from attenergy.attention import Transformer
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.registry import ArgumentTypeError, OwnModelError
from attenergy.tasks import Batch


def predict(model: nn.Module, batch: Batch, scored: slice | None = None) -> Tensor:
    """Return the logits (B, L, C) of a batch, on the model's device.

    Args:
        model: called with the inputs and `mask`, or with the inputs alone if its `forward` has no
            argument of that name and nothing is masked.
        batch: on any device.
        scored: positions outside of which nothing is scored (`Task.scored_positions`). A
            transformer then need not compute the others in its last block, and another model may
            answer there alone, (B, R, C), or (B, C) where R is 1; the logits of the others are 0.

    Raises:
        ArgumentTypeError: the model gives no tensor of numbers.
        ArgumentError: it gives another shape, or takes no mask and there is one.
    """
    device = next(model.parameters(), torch.empty(0)).device
    inputs = batch.inputs.to(device)
    mask = None if batch.mask is None else batch.mask.to(device)
    if isinstance(model, Retrieval):  # (B, D, 2): one answer for each component
        logits: Tensor = model(inputs, mask=mask)
        return logits
    if scored is not None and isinstance(model, Transformer):
        return _placed(model(inputs, mask=mask, rows=scored), inputs.shape[1], scored)
    if not _takes_mask(type(model).forward):
        if mask is not None:
            raise OwnModelError(
                f"the forward of {type(model).__name__} takes no 'mask', and the task has one, of "
                f"shape {tuple(mask.shape)}: (B, L), False at padding, or (B, L, L), True where a "
                "position may see another"
            )
        return _placed(model(inputs), inputs.shape[1], scored)
    return _placed(model(inputs, mask=mask), inputs.shape[1], scored)


def _placed(answer: object, length: int, scored: slice | None) -> Tensor:
    """The logits at all positions (B, L, C), of an answer there or where it is scored."""
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        got = answer.dtype if isinstance(answer, Tensor) else type(answer).__name__
        raise ArgumentTypeError(
            f"a model must return a tensor of floats, got {got}", topic="own-model"
        )
    if answer.ndim == 3 and answer.shape[1] == length:
        return answer
    count = len(range(length)[scored or slice(None)])
    some = answer[:, None] if answer.ndim == 2 and count == 1 else answer
    if some.ndim != 3 or some.shape[1] != count:
        also = f" or, where it is scored, (B, {count}, C)" if scored is not None else ""
        also += " or (B, C)" if count == 1 else ""
        raise OwnModelError(
            f"a model must return (B, L, C) = (B, {length}, C){also}, got {tuple(answer.shape)}"
        )
    logits = some.new_zeros(len(some), length, some.shape[-1])
    logits[:, scored] = some
    return logits


@cache
def _takes_mask(forward: Callable[..., object]) -> bool:
    parameters = inspect.signature(forward).parameters
    return "mask" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
