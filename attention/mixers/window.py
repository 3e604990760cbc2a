"""Softmax attention within a window of positions.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys).
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.attention.mixers.base import HeadInputs, Mixer, Sizes, State
from attenergy.attention.mixers.weights import columns, masked_softmax, scores
from attenergy.attention.modules.arguments import check_size, option
from attenergy.energies.masks import same_for_all_states


class WindowAttention(Mixer):
    """a[i,j] = softmax_j(q_i.k_j / sqrt(d) + field[i,j]) over the j with |i - j| < w.

    Causal attention sees the state itself and the w - 1 before it. Sequences longer than twice the
    window are read in blocks, at a cost of L w instead of L S, where there is no field, the mask is
    the same for all states, and no weights are needed.

    Args:
        embed_dim: E.
        num_heads: H.
        window: w, from 1.
        **sizes: see `Mixer`.

    Raises:
        ValueError: a window below 1, or sizes that do not fit.

    Source: Beltagy et al. 2020, arXiv:2004.05150.

    Example:
        >>> mixer = WindowAttention(16, 2, window=3)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \operatorname{softmax}_j"
        r"\left(\frac{q_i\cdot k_j}{\sqrt{d}} + \varphi_{ij}\right) "
        r"\quad\text{over}\quad |i - j| < w"
    )

    window = option("window", lambda _, value: check_size("window", value), "w.")

    def __init__(
        self, embed_dim: int, num_heads: int, *, window: int = 8, **sizes: Unpack[Sizes]
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.window = window

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 outside the window."""
        ones = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
        near = ones.triu(1 - self.window).tril(self.window - 1)
        return super().weights(q, k, near if seen is None else near & seen, field)

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Read in blocks of w states, each with the block before and, if not causal, after it."""
        q, k, v, mask, field, is_causal = heads
        length, w = q.shape[2], self.window
        plain = field is None and same_for_all_states(mask) and length == k.shape[2]
        # An exported program is one for all lengths, short ones too.
        if not plain or torch.compiler.is_exporting() or length <= 2 * w:
            return None
        rest = -length % w
        after = 0 if is_causal else w
        size = 2 * w + after

        def around(patterns: Tensor) -> Tensor:  # (..., S, width) -> (..., blocks, width, size)
            return pad(patterns, (0, 0, w, rest + after)).unfold(2, size, w)

        blocks = torch.unflatten(pad(q, (0, 0, 0, rest)), 2, (-1, w))
        ones = torch.ones(w, size, dtype=torch.bool, device=q.device)
        near = ones.triu(1).tril(w if is_causal else 2 * w - 1)  # column w is the block's first
        present = ones.new_ones(1, 1, length, 1) if mask is None else columns(mask, length)
        weights = masked_softmax(scores(blocks, around(k).mT), near & around(present))
        return (weights @ around(v).mT).flatten(2, 3)[:, :, :length]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; keeps the last w patterns. See `Mixer.step`."""
        q, k, v = self.heads(x[:, None], None)
        keys, values = (
            torch.cat([old, new], 2)[:, :, -self.window :]
            for old, new in zip(state, (k, v), strict=True)
        )
        weights = super().weights(q, keys, None, None)
        return self.projections.merge(weights @ values)[:, 0], (keys, values)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"window={self.window}, {super().extra_repr()}"

    def _state_numbers(self, length: int) -> int:
        return super()._state_numbers(min(length, self.window))
