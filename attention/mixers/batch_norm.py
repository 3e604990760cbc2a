"""Softmax attention whose queries and keys are normalised by the statistics of the keys.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `d` query/key width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from attenergy.attention.mixers.base import Mixer, Sizes
from attenergy.attention.mixers.scaled_heads import ScaledHeadAttention, block_means
from attenergy.attention.mixers.weights import masked_softmax, scores
from attenergy.attention.modules.arguments import check_finite, check_flag
from attenergy.energies.parameters import Settled

_EPS = 1e-5  # added to the variance


class MeanWeight(Settled):
    """The weight w of the mean: a number, or one for each head that is learned from there.

    Args:
        num_heads: H.
        mean_weight: w, where it starts if it is learned.
        learned: whether it is learned.

    Raises:
        ValueError: no finite number, or no flag.
    """

    def __init__(self, num_heads: int, mean_weight: float, learned: bool) -> None:
        super().__init__()
        self.start = check_finite("mean_weight", mean_weight)
        self.learned = check_flag("learned_mean_weight", learned)
        if self.learned:
            self.weight = nn.Parameter(torch.full((num_heads, 1, 1), self.start))
        self.settle()

    def forward(self, heads: slice = slice(None)) -> Tensor | float:
        """The w of some heads, (heads, 1, 1), or the number of all."""
        return self.weight[heads] if self.learned else self.start

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"mean_weight={self.start:g}, learned_mean_weight={self.learned}"


class BatchNormAttention(Mixer):
    """a[i,j] = softmax_j( ((q_i - w mu)/sigma).((k_j - w mu)/sigma) / sqrt(d) + field[i,j] ).

    mu and sigma^2 are the mean and the variance (plus 1e-5) of each entry of the keys over the
    patterns of one sample and head; nothing is averaged over samples or over time. The weight w of
    the mean is 1 where queries and keys are centred, and 0 where they are scaled only. Keys that
    resemble all others lose weight by centring.

    State i takes the statistics of the patterns that it sees. For full attention that is the
    published layer; it also makes hidden patterns count for nothing and causal attention safe,
    where statistics of the whole sequence would tell of the future. The term of mu that is the
    same for all j drops out of the softmax, so that only the queries are changed, to
    (q_i - w mu)/sigma^2.

    Args:
        embed_dim: E.
        num_heads: H.
        mean_weight: w, any number; where it starts if it is learned.
        learned_mean_weight: whether w is learned, one for each head.
        **sizes: see `Mixer`.

    Raises:
        ValueError: `mean_weight` is no finite number, or sizes that do not fit.

    Source: Nguyen et al. 2023, arXiv:2406.13781 (Attention-BN).

    Example:
        >>> mixer = BatchNormAttention(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \operatorname{softmax}_j\left(\frac{1}{\sqrt{d}}\,\frac{q_i - "
        r"w\mu}{\sigma}\cdot\frac{k_j - w\mu}{\sigma} + \varphi_{ij}\right)"
    )

    takes_rotary = False  # scales of components do not turn with them

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        mean_weight: float = 1.0,
        learned_mean_weight: bool = False,
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.mean_weight = MeanWeight(num_heads, mean_weight, learned_mean_weight)

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where a pattern is hidden."""
        mean, variance = _statistics(k, seen)
        states = (q - self.mean_weight() * mean) / (variance + _EPS)
        return masked_softmax(scores(states, k, field), seen)


class ScaledBatchNormAttention(ScaledHeadAttention):
    """a[h,i,j] = w[h,i,b] / n_b,  w[h,i,b] = softmax_b( mean_(j in b) s[h,i,j] ),  j in block b.

    Scaled heads that normalise: s[h,i,j] = (q_i - m mu)/sigma^2 . k_j / sqrt(d) + field[i,j], where
    mu and sigma^2 are the mean and the variance (plus 1e-5) of the mean keys of the blocks, and m
    is the weight of the mean. Heads with blocks of one pattern are those of `BatchNormAttention`,
    and blocks are those of `ScaledHeadAttention`; all is taken over the patterns that state i sees.
    Where not all states see the same, every state has mean keys of its own, L S d / c_h numbers.

    Args:
        embed_dim: E.
        num_heads: H.
        scales: block sizes, see `ScaledHeadAttention`.
        mean_weight: m, any number; where it starts if it is learned.
        learned_mean_weight: whether m is learned, one for each head.
        **sizes: see `Mixer`.

    Raises:
        ValueError: `mean_weight` is no finite number, or as `ScaledHeadAttention`.

    Source: Nguyen et al. 2023, arXiv:2406.13781 (Attention-BN with Attention-SH).

    Example:
        >>> mixer = ScaledBatchNormAttention(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \frac{w_{ib}}{n_b}, \quad w_{ib} = "
        r"\operatorname{softmax}_b\left(\frac{1}{n_b}\sum_{j \in b} s_{ij}\right), \quad "
        r"s_{ij} = \frac{(q_i - m\mu)\cdot k_j}{\sigma^2\sqrt{d}} + \varphi_{ij}"
    )

    takes_rotary = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        scales: str | int | Sequence[int] = "1,2",
        mean_weight: float = 1.0,
        learned_mean_weight: bool = False,
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(embed_dim, num_heads, scales=scales, **sizes)
        self.mean_weight = MeanWeight(num_heads, mean_weight, learned_mean_weight)

    def queries(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        """Queries (B, H, L, d) normalised by the mean keys that each state sees."""
        parts = zip(self.scales, self._slices(), *map(self._split, (q, k, seen)), strict=True)
        changed = [
            self.block_queries(states, *block_means(keys, here, scale), heads)
            for scale, heads, states, keys, here in parts
        ]
        return torch.cat(changed, 1)

    def block_queries(self, q: Tensor, means: Tensor, present: Tensor, heads: slice) -> Tensor:
        """Queries normalised by mean keys (B, heads, L or 1, blocks, d), of those present."""
        there = present.unsqueeze(-1).to(means.dtype)
        share = there / there.sum(-2, keepdim=True).clamp(min=1)
        mean = (share * means).sum(-2)
        variance = (share * (means - mean.unsqueeze(-2)).square()).sum(-2)
        changed: Tensor = (q - self.mean_weight(heads) * mean) / (variance + _EPS)
        return changed


def _statistics(k: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and variance of the visible keys, (B, H, L or 1, d) each; 0 where none is visible."""
    if seen is None and not k.numel():  # `var` warns of no numbers
        seen = k.new_ones(1, k.shape[2], dtype=torch.bool)
    if seen is None:
        return k.mean(2, keepdim=True), k.var(2, correction=0, keepdim=True)
    rows = (seen & seen.new_ones(1, k.shape[2])).to(k.dtype)
    share = rows / rows.sum(-1, keepdim=True).clamp(min=1)
    mean = share @ k
    return mean, (share @ k.square() - mean.square()).clamp(min=0)
