"""What happens to states and patterns before they are compared: normalisation, then rotation."""

from __future__ import annotations

import math
from typing import TypedDict, get_args

from torch import Tensor, nn

from attenergy.attention.modules.arguments import check_flag, fixed, is_number, option
from attenergy.attention.modules.head_norm import HeadNorm, Normalization
from attenergy.attention.modules.rotary import rotate
from attenergy.registry import ArgumentError, UnknownName


class PreparationOptions(TypedDict, total=False):
    """Settings of `Preparation`, all with defaults."""

    rotary: bool
    rotary_base: float
    normalize_states: Normalization
    normalize_patterns: Normalization


class Preparation(nn.Module):
    """q_i <- R^i norm_q(q_i),  k_j <- R^j norm_k(k_j), for each head.

    As rotations satisfy (R^i)'R^j = R^(j - i), the score of a state with a pattern then depends on
    their distance j - i, not on where the two stand. Every second axis pair turns more slowly;
    see `rotate`.

        none        norm(x) = x
        l2          x / |x|: every score is a cosine
        rms_norm    g x / sqrt(mean(x^2))
        layer_norm  g (x - mean(x)) / sqrt(var(x))

    with a learned gain g per head and component that starts at 1, and 1e-6 beside each mean square.

    Args:
        head_dim: width d of states and patterns.
        num_heads: heads of the states.
        num_kv_heads: heads of the patterns.
        rotary: whether to rotate; needs an even d.
        rotary_base: ratio of the fastest rotation to the slowest, about.
        normalize_states: norm_q.
        normalize_patterns: norm_k.

    Raises:
        ValueError: an unknown norm, an odd width, or a base that is not above 1.

    Source: Su et al. 2021, arXiv:2104.09864 (rotary positions); Henry et al. 2020,
    arXiv:2010.04245 (normalised queries and keys).
    """

    rotary: bool = option("rotary", fixed("rotary"), "Whether to rotate.")
    rotary_base: float = option("rotary_base", fixed("rotary_base"), "About the ratio of speeds.")

    def __init__(
        self,
        head_dim: int,
        num_heads: int,
        num_kv_heads: int,
        rotary: bool = False,
        rotary_base: float = 10_000.0,
        normalize_states: Normalization = "none",
        normalize_patterns: Normalization = "none",
    ) -> None:
        super().__init__()
        if check_flag("rotary", rotary) and head_dim % 2:
            raise ArgumentError(
                f"rotary positions need an even head_dim, got {head_dim}", topic="head-width"
            )
        if not is_number(rotary_base) or not 1 < rotary_base < math.inf:
            raise ArgumentError(f"rotary_base must be a number above 1, got {rotary_base!r}")
        self.rotary, self.rotary_base = bool(rotary), float(rotary_base)
        self.state_norm = _norm("normalize_states", normalize_states, num_heads, head_dim)
        self.pattern_norm = _norm("normalize_patterns", normalize_patterns, num_kv_heads, head_dim)

    @property
    def changes(self) -> bool:
        """Whether states or patterns are changed at all."""
        return self.rotary or self.state_norm is not None or self.pattern_norm is not None

    def states(self, q: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Prepare q (B, H, L, d), whose first state stands at position `offset`."""
        return self._turned(q if self.state_norm is None else self.state_norm(q), offset)

    def patterns(self, k: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Prepare k (B, G, S, d), whose first pattern stands at position `offset`."""
        return self._turned(k if self.pattern_norm is None else self.pattern_norm(k), offset)

    def turned_back(self, z: Tensor, offset: int | Tensor = 0) -> Tensor:
        """(R^i)' z_i: states (B, H, L, d) as seen from their own positions."""
        if not self.rotary:
            return z
        return rotate(z, offset=offset, base=self.rotary_base, back=True)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"rotary={self.rotary}"

    def _turned(self, x: Tensor, offset: int | Tensor) -> Tensor:
        return rotate(x, offset=offset, base=self.rotary_base) if self.rotary else x


def _norm(name: str, kind: Normalization, num_heads: int, dim: int) -> HeadNorm | None:
    if kind not in get_args(Normalization):
        raise UnknownName(name, str(kind), get_args(Normalization))
    return None if kind == "none" else HeadNorm(kind, num_heads, dim)
