"""When PyTorch's fused attention kernel is worth calling."""

from __future__ import annotations

import torch
from torch import Tensor

#: Patterns from which the fused CPU kernel beats two matrix products and a softmax in training;
#: measured by `benchmarks/fused_attention.py`.
CPU_PATTERNS = 128
#: The same with a field: an additive mask that needs a gradient slows the kernel down.
CPU_PATTERNS_WITH_FIELD = 512


def fused_pays(patterns: Tensor, field: Tensor | None) -> bool:
    """Whether `scaled_dot_product_attention` is likely to be faster than explicit weights.

    On a GPU always. On a CPU only for long sequences, and with a field for longer ones.

    Args:
        patterns: (..., S, D).
        field: additive numbers (..., L, S), or None.
    """
    if patterns.device.type != "cpu":
        return True
    if torch.compiler.is_exporting():  # the number of patterns may be a symbol, to stay open
        return field is None
    enough = CPU_PATTERNS if field is None else CPU_PATTERNS_WITH_FIELD
    return patterns.shape[-2] >= enough
