"""A sequence autoencoder's readout: everything through one vector, and out again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention.modules.initialisation import dense
from attenergy.attention.modules.positions import sinusoids

NORM_EPS = 1e-6  # of every layer norm; all-zero tokens make the first one sensitive to it


class Bottleneck(nn.Module):
    """y[t] = D(z + w[t]),  z = x at the last position,  w the sinusoids, for every position t.

    D = norm, dense, GELU, norm, dense, GELU, norm, dense, the same for all t (W wide until the last
    map; GELU is its tanh approximation). All that D knows of the sequence went through z.

    Args:
        width: W.
        outputs: numbers per position.

    Source: the compression task of Poli et al. 2024, arXiv:2403.17844.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for _ in range(2):
            parts += [nn.LayerNorm(width, eps=NORM_EPS), dense(width, width)]
            parts += [nn.GELU(approximate="tanh")]
        parts += [nn.LayerNorm(width, eps=NORM_EPS), dense(width, outputs)]
        self.decode = nn.Sequential(*parts)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return y (B, L, outputs) of x (B, L, W).

        Args:
            x: (B, L, W).
            padding: boolean (B, L), False at padding: the last position is the last True one.
        """
        z = x.sum(1) if not x.shape[1] else x[:, -1] if padding is None else _last(x, padding)
        waves = sinusoids(x.shape[1], x.shape[2]).to(x)
        out: Tensor = self.decode(z.unsqueeze(1) + waves)
        return out


def _last(x: Tensor, padding: Tensor) -> Tensor:
    """The vector at each sample's last real position, (B, W)."""
    positions = torch.arange(x.shape[1], device=x.device)
    last = torch.where(padding, positions, 0).amax(-1).expand(len(x))
    return x[torch.arange(len(x), device=x.device), last]
