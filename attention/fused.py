"""When PyTorch's fused attention kernel is worth calling."""

from __future__ import annotations

from torch import Tensor

#: Patterns from which the fused CPU kernel beats two matrix products and a softmax in training;
#: measured by `benchmarks/fused_attention.py`.
CPU_PATTERNS = 256


def fused_pays(patterns: Tensor, field: Tensor | None) -> bool:
    """Whether `scaled_dot_product_attention` is likely to be faster than explicit weights.

    On a GPU always. On a CPU only for long sequences, and not with a field: an additive mask that
    needs a gradient takes the kernel's slow path.

    Args:
        patterns: (..., S, D).
        field: additive numbers (..., L, S), or None.
    """
    if patterns.device.type != "cpu":
        return True
    return field is None and patterns.shape[-2] >= CPU_PATTERNS
