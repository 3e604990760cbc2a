"""Normalisation of the queries and keys of each head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from attenergy.attention.modules.arguments import fixed, option

Normalization = Literal["none", "l2", "rms_norm", "layer_norm"]

_EPS = 1e-6  # beside a mean square: keeps the derivative at 0 finite


class HeadNorm(nn.Module):
    """`l2`, `rms_norm` or `layer_norm` over the last axis.

    Formulas: `attenergy.attention.modules.preparation.Preparation`.

    Args:
        kind: which.
        num_heads: heads that have gains of their own.
        dim: width.
    """

    kind: Normalization = option("kind", fixed("kind"), "Which norm.")

    def __init__(self, kind: Normalization, num_heads: int, dim: int) -> None:
        super().__init__()
        self.kind = kind
        self.gain = None if kind == "l2" else nn.Parameter(torch.ones(num_heads, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., heads, length, dim), in float32 at least."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.kind == "layer_norm":
            wide = wide - wide.mean(-1, keepdim=True)
        unit = wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + _EPS)
        unit = unit * x.shape[-1] ** -0.5 if self.gain is None else unit * self.gain
        return unit.to(x.dtype)

    def extra_repr(self) -> str:
        """Which norm, for printing."""
        return self.kind
