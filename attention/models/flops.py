"""How many floating-point operations a forward pass takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops(run: Callable[[], object]) -> int:
    """Count the floating-point operations of what `run` computes, without gradients.

    Matrix products count 2 m k n, as is usual; elementwise work (softmax, norms, activations) is
    left out. The gradient of an energy inside the forward pass is counted, since it is work that
    the layer does.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    counter = FlopCounterMode(display=False, custom_mapping=_CPU)
    counter.mod_tracker = _OneModule()  # type: ignore[assignment]
    try:
        # PyTorch's fused encoder layer is one operation, of which the counter knows nothing.
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad(), counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    total: int = counter.get_total_flops()
    return total


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
