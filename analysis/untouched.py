"""A model is read, not used: its buffers and the caller's random numbers stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """A context after which the model's buffers and the random state are what they were before.

    A forward pass in training mode draws dropout from the caller's random state and moves running
    means; in evaluation mode, too, a module may count its calls. Inside, modules have copies of
    their buffers, which a copy of the model would share; afterwards they have their own again.

    Args:
        model: what is run inside.
    """
    before = {
        part: dict(part._buffers)
        for part in model.modules()
        if part._buffers and not isinstance(part, torch.jit.ScriptModule)
    }
    copies: dict[int, Tensor] = {}  # a buffer that two modules share stays shared
    for part, buffers in before.items():
        for name, buffer in buffers.items():
            if buffer is not None:
                part._buffers[name] = copies.setdefault(id(buffer), buffer.clone())
    tensors = [*model.parameters(), *model.buffers()]
    devices = {tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(index or 0 for index in devices)):
            yield
    finally:
        for part, buffers in before.items():
            part._buffers.clear()
            part._buffers.update(buffers)
