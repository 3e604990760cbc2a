"""Softmax attention to the patterns that fit best, and to no others."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from attenergy.attention.mixers.base import Mixer, Sizes
from attenergy.attention.mixers.weights import masked_softmax, scores
from attenergy.attention.modules.arguments import check_size, option


class TopKAttention(Mixer):
    """a[i,j] = softmax_j(s[i,j]) over the k largest visible scores s = q.k / sqrt(d) + field.

    Scores that are not kept get no gradient. Among equal scores it is open which are kept.

    Args:
        embed_dim: E.
        num_heads: H.
        kept: k, from 1; a state that sees fewer patterns attends to all of them.
        **sizes: see `Mixer`.

    Raises:
        ValueError: `kept` below 1, or sizes that do not fit.

    Source: Gupta et al. 2021, arXiv:2106.06899.

    Example:
        >>> mixer = TopKAttention(16, 2, kept=4)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \operatorname{softmax}_j\left(s_{ij}\right) \quad\text{over the } k \text{ "
        r"largest}\quad s_{ij} = \frac{q_i\cdot k_j}{\sqrt{d}} + \varphi_{ij}"
    )

    states_apart = True
    kept = option("kept", lambda _, value: check_size("kept", value), "k.")

    def __init__(
        self, embed_dim: int, num_heads: int, *, kept: int = 8, **sizes: Unpack[Sizes]
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.kept = kept

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 for all but the kept patterns."""
        values = scores(q, k, field)
        ranked = values.detach()
        if seen is not None:
            ranked = ranked.masked_fill(~seen, torch.finfo(values.dtype).min)
        keep = _greatest(ranked, self.kept)
        return masked_softmax(values, keep if seen is None else keep & seen)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"kept={self.kept}, {super().extra_repr()}"


def _greatest(values: Tensor, count: int) -> Tensor:
    """Where the `count` greatest values of each row are, or all if there are fewer."""
    if torch.compiler.is_exporting():  # the number of values may be open; ranks need not know it
        ranks = values.argsort(-1, descending=True).argsort(-1)
        return ranks < count
    best = values.topk(min(count, values.shape[-1]), -1, sorted=False).indices
    return torch.zeros_like(values).scatter(-1, best, 1) > 0
