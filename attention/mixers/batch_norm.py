"""Softmax attention whose queries and keys are normalised by the statistics of the keys."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.mixers.base import Mixer
from attenergy.attention.mixers.weights import masked_softmax, scores

_EPS = 1e-5  # added to the variance


class BatchNormAttention(Mixer):
    """a[i,j] = softmax_j( ((q_i - mu)/sigma).((k_j - mu)/sigma) / sqrt(d) + field[i,j] ).

    mu and sigma^2 are the mean and the variance (plus 1e-5) of each entry of the keys over the
    patterns of one sample and head; nothing is averaged over samples or over time. Keys that
    resemble all others lose weight by it.

    State i takes the statistics of the patterns that it sees. For full attention that is the
    published layer; it also makes hidden patterns count for nothing and causal attention safe,
    where statistics of the whole sequence would tell of the future. The term of mu that is the
    same for all j drops out of the softmax, so that only the queries are changed.

    Source: Nguyen et al. 2023, arXiv:2406.13781 (Attention-BN).
    """

    takes_rotary = False  # scales of components do not turn with them

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where a pattern is hidden."""
        mean, variance = _statistics(k, seen)
        return masked_softmax(scores((q - mean) / (variance + _EPS), k, field), seen)


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
