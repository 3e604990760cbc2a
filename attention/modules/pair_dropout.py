"""Dropout of whole (state, pattern) pairs, shared by layers with and without an energy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention.modules.arguments import check_share, option


class PairDropout(nn.Module):
    """w <- w keep / (1 - dropout) in training, keep ~ Bernoulli(1 - dropout) for each (i, j).

    One draw serves all heads and samples. A base of layers, which set `dropout`.

    Source: the training of Schug et al. 2025, arXiv:2406.05816.
    """

    dropout = option("dropout", lambda _, value: check_dropout(value), "In training.")

    @property
    def drops(self) -> bool:
        """Whether weights are dropped now."""
        return self.training and self.dropout > 0

    def keep_mask(self, length: int, stored: int, device: torch.device) -> Tensor:
        """Draw the pairs that dropout keeps: boolean (1, 1, L, S), True with 1 - `dropout`."""
        return torch.rand(1, 1, length, stored, device=device) >= self.dropout

    def dropped(self, weights: Tensor) -> Tensor:
        """The weights (B, H, L, S) after dropout; the same ones outside training."""
        if not self.drops:
            return weights
        keep = self.keep_mask(weights.shape[-2], weights.shape[-1], weights.device)
        return weights * (keep.to(weights.dtype) / (1 - self.dropout))


def check_dropout(dropout: float) -> float:
    """Return the probability of dropping a pair.

    Raises:
        ValueError: it is not in [0, 1).
    """
    return check_share("dropout", dropout)
