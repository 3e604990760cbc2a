"""Softmax attention approximated by positive orthogonal random features."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor

from attenergy.attention.mixers.base import Sizes
from attenergy.attention.mixers.kernel import KernelAttention
from attenergy.attention.modules.arguments import check_size


class Performer(KernelAttention):
    """a[i,j] = f(q_i).f(k_j) / sum_j' f(q_i).f(k_j'),  f(x)_r = exp(w_r.y - |y|^2/2).

    y = x/d^(1/4). The mean of f(q).f(k)/m over Gaussian w_r is exp(q.k/sqrt(d)), so that a tends to
    the weights of softmax attention as m grows. The w_r are drawn once, are kept in the state dict
    and are not trained. Within each block of d of them they are orthogonal, which lowers the
    variance.

    The features of keys are not rescaled, as a factor taken from all of them would let later keys
    act on earlier states. None exceeds exp(|w_r|^2/2); where all of |y|^2/2 lie beyond about 80 in
    single precision they vanish and the state reads 0.

    Args:
        embed_dim: E.
        num_heads: H.
        num_features: m, from 1.
        **sizes: see `Mixer`.

    Raises:
        ValueError: sizes that do not fit.

    Source: Choromanski et al. 2020, arXiv:2009.14794 (FAVOR+).

    Example:
        >>> mixer = Performer(16, 2, num_features=8)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \frac{f(q_i)\cdot f(k_j)}{\sum_{j'} f(q_i)\cdot f(k_{j'})}, \qquad f(x)_r = "
        r"\exp\left(\frac{w_r\cdot x}{d^{1/4}} - \frac{|x|^2}{2\sqrt{d}}\right)"
    )

    takes_rotary = False  # features do not turn with their keys

    directions: Tensor

    def __init__(
        self, embed_dim: int, num_heads: int, *, num_features: int = 64, **sizes: Unpack[Sizes]
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        check_size("num_features", num_features)
        drawn = orthogonal_directions(num_features, self.projections.head_dim)
        self.register_buffer("directions", drawn)

    def features(self, x: Tensor, *, of_states: bool) -> Tensor:
        """Return f(x) (B, H, N, m); that of each state divided by its largest entry."""
        y = x / x.shape[-1] ** 0.25
        logs = y @ self.directions.mT - y.square().sum(-1, keepdim=True) / 2
        if of_states:
            logs = logs - logs.detach().amax(-1, keepdim=True)
        return torch.exp(logs)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"num_features={self.directions.shape[0]}, {super().extra_repr()}"


def orthogonal_directions(count: int, dim: int) -> Tensor:
    """Draw `count` vectors (count, dim), each N(0, I), orthogonal within each block of `dim`."""
    blocks = math.ceil(count / dim)
    q, r = torch.linalg.qr(torch.randn(blocks, dim, dim))
    # With these signs all rotations are equally likely.
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    lengths = torch.randn(blocks, dim, dim).norm(dim=-1, keepdim=True)
    drawn: Tensor = (q * lengths).flatten(0, 1)
    return drawn[:count]
