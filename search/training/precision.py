"""The precision in which a model is trained."""

from __future__ import annotations

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context in which the products of matrices are taken in `precision`.

    With `bfloat16` they keep 8 bits of each factor and add up in float32; sums, softmax and norms
    stay in float32 where PyTorch's autocast keeps them there. It pays where a model is wide and the
    processor multiplies bfloat16 (AMX, GPUs): 1.4 times at the size of the paper's Raven matrices,
    nothing at that of `raven-small`. `float32` changes nothing.

    Args:
        precision: `float32` or `bfloat16`.
        device: that the model is on.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
