"""What a model answers to a batch, computed at the positions that are scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention import Transformer
from attenergy.tasks import Batch


def predict(model: nn.Module, batch: Batch, scored: slice | None = None) -> Tensor:
    """Return the logits (B, L, C) of a batch, on the model's device.

    Args:
        model: called with the inputs and `mask`.
        batch: on any device.
        scored: positions outside of which nothing is scored (`Task.scored_positions`). A
            transformer then need not compute the others in its last block; their logits are 0.
    """
    device = next(model.parameters(), torch.empty(0)).device
    inputs = batch.inputs.to(device)
    mask = None if batch.mask is None else batch.mask.to(device)
    if scored is None or not isinstance(model, Transformer):
        logits: Tensor = model(inputs, mask=mask)
        return logits
    some: Tensor = model(inputs, mask=mask, rows=scored)
    logits = some.new_zeros(len(some), inputs.shape[1], some.shape[-1])
    logits[:, scored] = some
    return logits
