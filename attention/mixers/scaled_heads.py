"""Softmax attention whose heads see the patterns at different resolutions.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.attention.mixers.base import HeadInputs, Mixer, Sizes
from attenergy.attention.mixers.weights import columns, masked_softmax, scores
from attenergy.attention.modules.arguments import check_size, fixed, is_whole, option
from attenergy.energies.masks import same_for_all_states
from attenergy.registry import ArgumentError


class ScaledHeadAttention(Mixer):
    """a[h,i,j] = w[h,i,b] / n_b,  w[h,i,b] = softmax_b( mean_(j in b) s[h,i,j] ),  j in block b.

    Head h averages the keys and values of every c_h patterns in a row and attends to the averages:
    s = q.k / sqrt(d) + field is linear in the keys, so that its mean is the score of the mean key.
    A block holds the n_b of its patterns that state i sees, so that causal attention is safe. The
    blocks start at the first pattern; a hidden pattern keeps its place in its block. Without field
    or weights, and with all states seeing the same, it costs L S / c_h.

    Args:
        embed_dim: E.
        num_heads: H.
        scales: block sizes from 1, as numbers or as text such as "1,2"; the heads are shared out
            among them evenly and in order.
        **sizes: see `Mixer`.

    Raises:
        ValueError: a scale that is no whole number from 1, more scales than heads, or sizes that
            do not fit.

    Source: Nguyen et al. 2023, arXiv:2406.13781 (Attention-SH).

    Example:
        >>> mixer = ScaledHeadAttention(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \frac{w_{ib}}{n_b}, \quad w_{ib} = "
        r"\operatorname{softmax}_b\left(\frac{1}{n_b}\sum_{j \in b} s_{ij}\right), \quad "
        r"s_{ij} = \frac{q_i\cdot k_j}{\sqrt{d}} + \varphi_{ij}"
    )

    states_apart = True
    scales: tuple[int, ...] = option("scales", fixed("scales"), "Block sizes.")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        scales: str | int | Sequence[int] = "1,2",
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.scales = _scales(scales, num_heads)
        self.given["scales"] = ",".join(map(str, self.scales))  # as text they can be saved
        self.not_plain = [name for name in self.not_plain if name != "scales"]
        owner = [h * len(self.scales) // num_heads for h in range(num_heads)]
        self._counts = [owner.count(i) for i in range(len(self.scales))]

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where a pattern is hidden."""
        full = torch.ones(1, self.num_heads, 1, k.shape[2], dtype=torch.bool, device=q.device)
        full = full if seen is None else full & seen
        values = scores(self.queries(q, k, full), k, field)
        parts = zip(self.scales, self._split(values), self._split(full), strict=True)
        return torch.cat([_block_weights(*part) for part in parts], 1)

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Average keys and values before the scores are taken."""
        q, k, v, mask, field, is_causal = heads
        if is_causal or field is not None or not same_for_all_states(mask):
            return None
        stored = k.shape[2]
        if mask is None:
            mask = torch.ones(1, dtype=torch.bool, device=q.device)
        present = columns(mask, stored).expand(-1, self.num_heads, -1, -1)
        reads = []
        parts = zip(self.scales, self._slices(), *map(self._split, (q, k, v, present)), strict=True)
        for scale, which, states, keys, values, here in parts:
            count = _blocks(here, scale, -2).sum(-2)  # (B or 1, heads, blocks, 1)
            size = count.clamp(min=1)
            mean_keys, mean_values = (
                _blocks(t.masked_fill(~here, 0), scale, -2).sum(-2) / size for t in (keys, values)
            )
            there = count.mT > 0
            changed = self.block_queries(states, mean_keys.unsqueeze(2), there, which)
            reads.append(masked_softmax(scores(changed, mean_keys), there) @ mean_values)
        return torch.cat(reads, 1)

    def queries(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        """Queries (B, H, L, d) whose products with the keys are the scores; here as they are."""
        return q

    def block_queries(self, q: Tensor, means: Tensor, present: Tensor, heads: slice) -> Tensor:
        """The same for heads of one scale, from the mean keys of their blocks.

        Args:
            q: (B, heads, L, d).
            means: mean keys (B, heads, L or 1, blocks, d).
            present: whether a block has patterns, (B or 1, heads, L or 1, blocks).
            heads: which of the H heads these are.
        """
        return q

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"scales={','.join(map(str, self.scales))}, {super().extra_repr()}"

    def _slices(self) -> list[slice]:
        """Which heads each scale has."""
        ends = list(accumulate(self._counts, initial=0))
        return [slice(*ends[i : i + 2]) for i in range(len(self._counts))]

    def _split(self, heads: Tensor) -> tuple[Tensor, ...]:
        return torch.split(heads, self._counts, 1)


def block_means(k: Tensor, seen: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Means of the visible keys of every block, and whether there are any.

    Args:
        k: keys (B, heads, S, d).
        seen: (B or 1, heads, L or 1, S).
        scale: number of places in a block.

    Returns:
        (B, heads, L or 1, blocks, d), 0 for a block without visible keys, and
        (B or 1, heads, L or 1, blocks).
    """
    inside = _blocks(seen, scale, -1)
    count = inside.sum(-1, keepdim=True)
    share = inside.to(k.dtype) / count.clamp(min=1)
    means = share.unsqueeze(-2) @ _blocks(k, scale, -2).unsqueeze(2)
    return means.squeeze(-2), count.squeeze(-1) > 0


def _block_weights(scale: int, values: Tensor, seen: Tensor) -> Tensor:
    """Weights of heads of one scale from their scores (B, heads, L, S)."""
    sums = _blocks(values.masked_fill(~seen, 0), scale, -1).sum(-1)
    inside = _blocks(seen, scale, -1)
    count = inside.sum(-1)
    size = count.clamp(min=1)
    shares = masked_softmax(sums / size, count > 0) / size
    return (shares[..., None] * inside).flatten(-2)[..., : values.shape[-1]]


def _blocks(patterns: Tensor, scale: int, axis: int) -> Tensor:
    """Split the axis of patterns into blocks of `scale`, the last filled up with 0."""
    length = patterns.shape[axis]
    blocks = (length + scale - 1) // scale
    filled = pad(patterns, (*(0, 0) * (-axis - 1), 0, blocks * scale - length))
    return torch.unflatten(filled, axis, (blocks, scale))


def _scales(scales: str | int | Sequence[int], num_heads: int) -> tuple[int, ...]:
    try:
        several: Any = [scales] if is_whole(scales) else scales
        parts = map(int, scales.split(",")) if isinstance(scales, str) else several
        each = tuple(check_size("scales", scale) for scale in parts)
    except (ValueError, TypeError):
        each = ()
    if not each:
        raise ArgumentError(f"scales must be whole numbers from 1, such as '1,2', got {scales!r}")
    if len(each) > num_heads:
        raise ArgumentError(f"{len(each)} scales ({scales!r}) are too many for {num_heads} heads")
    return each
