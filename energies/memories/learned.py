"""An energy that a small network defines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from attenergy.energies.base import Energy


class Learned(Energy):
    r"""E = w'softplus(V a + U xi + c),  a = softplus(A xi + P mean_n tanh(B x_n) + b).

    A network of two layers from a state and the mean of features of the patterns it sees to one
    number. softplus has derivatives of all orders, so the step, its gradient, can be trained. No
    step size is safe at all states; start with few steps.

    Options:
        hidden: width of the layers.
        input_convex: 1 makes w and V positive (through softplus), so E is convex in xi and has
            one basin for each set of patterns; 0 leaves them free.
        seed: of the first weights.

    Shapes: as `Energy`; every head has weights of its own.

    Source: energy-based transformers (Gladstone et al. 2025, arXiv:2507.02092) in small; input
    convex networks of Amos et al. 2017, arXiv:1609.07152.
    """

    latex = (
        r"w^\top\operatorname{softplus}(V a + U\xi + c),\quad"
        r" a = \operatorname{softplus}\left(A\xi + \tfrac1N\sum_n P\tanh(B x_n) + b\right)"
    )
    reads_field = False

    def setup(self) -> None:
        """Draw the weights of the network."""
        width = self.whole_option("hidden", 1)
        self.input_convex = bool(self.whole_option("input_convex", 0, 1))
        generator = torch.Generator().manual_seed(self.whole_option("seed", 0))
        heads = () if self.num_heads is None else (self.num_heads,)

        def rows(inputs: int, outputs: int) -> nn.Parameter:
            drawn = torch.randn(*heads, inputs, outputs, generator=generator)
            return nn.Parameter(drawn / inputs**0.5)

        self.pattern_in, self.pattern_out = rows(self.dim, width), rows(width, width)
        self.state_in, self.state_skip = rows(self.dim, width), rows(self.dim, width)
        self.between, self.out = rows(width, width), rows(width, 1)
        bias_shape = (*heads, 1, width)
        self.bias_in = nn.Parameter(torch.zeros(bias_shape))
        self.bias_between = nn.Parameter(torch.zeros(bias_shape))

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        between, out = self.between, self.out
        if self.input_convex:
            between = functional.softplus(between) / between.shape[-2] ** 0.5
            out = functional.softplus(out) / out.shape[-2] ** 0.5
        pooled = self._pooled(X, mask) @ self.pattern_out
        first = functional.softplus(xi @ self.state_in + pooled + self.bias_in)
        second = functional.softplus(first @ between + xi @ self.state_skip + self.bias_between)
        return (second @ out).squeeze(-1)

    def _pooled(self, X: Tensor, mask: Tensor | None) -> Tensor:
        """The mean of tanh(B x) over visible patterns, (..., L|1, hidden)."""
        features = torch.tanh(X @ self.pattern_in)
        if mask is None:
            return features.mean(-2, keepdim=True)
        seen = mask.to(features.dtype)
        mean: Tensor = (seen / seen.sum(-1, keepdim=True)) @ features
        return mean
