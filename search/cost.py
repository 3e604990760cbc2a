"""What a model costs: parameters and floating-point operations."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Count the trainable numbers of the model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def forward_flops(model: nn.Module, inputs: Tensor, mask: Tensor | None = None) -> float:
    """Count the floating-point operations of a forward pass, per instance of `inputs`.

    Matrix products count 2 m k n, as is usual; elementwise work (softmax, norms, activations) is
    left out. The gradient of an energy inside the forward pass is counted, since it is work that
    the layer does.

    Args:
        model: called as `model(inputs)`, with `mask=mask` if there is one.
        inputs: a batch (B, ...).
        mask: what may be seen; see `attenergy.tasks.Batch`.
    """
    training = model.training
    model.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_CPU)
    counter.mod_tracker = _OneModule()  # type: ignore[assignment]
    try:
        with torch.no_grad(), counter:
            _ = model(inputs) if mask is None else model(inputs, mask=mask)
    finally:
        model.train(training)
    total: int = counter.get_total_flops()
    return total / len(inputs)


class _OneModule:
    """Stands in for the counter's tracker of modules, whose hooks fail inside `torch.func.grad`."""

    parents = ("Global",)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _cpu_sdpa(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    (batch, heads, states, width), patterns, values = query, key[-2], value[-1]
    return 2 * batch * heads * states * patterns * (width + values)


# The counter knows the fused attention kernels of a GPU, but not the one of a CPU.
_CPU: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_sdpa}
