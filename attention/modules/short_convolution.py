"""A short convolution along the sequence, so that a position knows the tokens just before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from attenergy.attention.modules.arguments import check_size
from attenergy.attention.modules.initialisation import lecun_normal_
from attenergy.energies.parameters import Settled


class ShortConvolution(Settled):
    """y[t] = x[t] + b + sum_{k < K} w[k] * x[t - k], one filter w for each channel.

    Causal: no position sees a later one. What lies before the first position is 0. The filters
    start LeCun normal (variance 1/K), b at 0.

    Args:
        width: number of channels W.
        kernel: K, from 1.

    Raises:
        ValueError: K is below 1.

    Source: the short convolutions of Arora et al. 2024, arXiv:2312.04927, without gates.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        check_size("kernel", kernel)
        self.kernel = kernel
        self.weight = nn.Parameter(lecun_normal_(torch.empty(width, kernel)))
        self.bias = nn.Parameter(torch.zeros(width))
        self.settle()

    def forward(
        self, x: Tensor, padding: Tensor | None = None, before: Tensor | None = None
    ) -> Tensor:
        """Return y (B, L, W).

        Args:
            x: (B, L, W).
            padding: boolean (B, L), False at positions that count as 0 for the others.
            before: what came before the first position, (B, K - 1, W); zeros if None.
        """
        seen = x if padding is None else x.masked_fill(~padding.unsqueeze(-1), 0)
        if before is None:
            seen = pad(seen, (0, 0, self.kernel - 1, 0))
        else:
            seen = torch.cat([before, seen], dim=1)
        if not x.shape[1]:  # the kernel wants one position at least
            seen = pad(seen, (0, 0, 0, 1))
        # conv1d slides its filter over earlier times first, so w[0] stands last.
        filters = self.weight.flip(-1).unsqueeze(1)
        out = conv1d(seen.mT, filters, self.bias, groups=len(self.bias))
        return x + out.mT[:, : x.shape[1]]

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"width={len(self.bias)}, kernel={self.kernel}"
