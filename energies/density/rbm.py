"""The restricted Boltzmann machine as a model of data: sampled in blocks, trained by contrast."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from attenergy.registry import ArgumentError, ShapeError, nearest

Visible = Literal["gaussian", "binary"]
#: Most hidden units whose 2^N configurations are enumerated.
MOST_HIDDEN = 20


class RestrictedBoltzmann(nn.Module):
    r"""p(v) ~ exp(-beta F(v)), binary hidden units s in {0, 1}^N summed out.

        gaussian   F(v) = 1/2 |v - b|^2 - sum_n softplus(beta (W v + c)_n)/beta,  v in R^D
        binary     F(v) = -b.v          - sum_n softplus(beta (W v + c)_n)/beta,  v in {0, 1}^D

    With b = 0 the first is the energy `rbm` of the registry with stored patterns X = W.

    Args:
        dim: number of visible units D.
        hidden: number of hidden units N.
        visible: what the visible units are.
        beta: inverse temperature, a fixed number above 0.
        scale: standard deviation of the initial weights; biases start at 0.
        generator: source of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Source: Hinton 2002, doi:10.1162/089976602760128018.

    Example:
        >>> model = RestrictedBoltzmann(6, 3)
        >>> model(torch.randn(4, 6)).shape  # free energies
        torch.Size([4])
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        visible: Visible = "gaussian",
        beta: float = 1.0,
        scale: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if visible not in get_args(Visible):
            hint = nearest(visible, get_args(Visible))
            raise ArgumentError(
                f"visible units cannot be {visible!r}{f' ({hint})' if hint else ''}; "
                f"known: {get_args(Visible)}"
            )
        if min(dim, hidden) < 1 or not (0 < beta < math.inf and 0 <= scale < math.inf):
            raise ArgumentError(
                "dim and hidden must be at least 1, beta above 0 and scale from 0, "
                f"got {dim}, {hidden}, {beta} and {scale}"
            )
        self.visible, self.beta = visible, beta
        self.weights = nn.Parameter(scale * torch.randn(hidden, dim, generator=generator))
        self.visible_bias = nn.Parameter(torch.zeros(dim))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, v: Tensor) -> Tensor:
        """The free energy F(v) of visible states (..., D), giving (...)."""
        if v.shape[-1:] != self.visible_bias.shape:
            raise ShapeError(
                f"visible states must be (..., {len(self.visible_bias)}), got {tuple(v.shape)}"
            )
        if self.visible == "gaussian":
            alone = 0.5 * (v - self.visible_bias).square().sum(-1)
        else:
            alone = -v @ self.visible_bias
        return alone - softplus(self._drive(v)).sum(-1) / self.beta

    @torch.no_grad()
    def hidden_given(self, v: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Hidden units (..., N) drawn from p(s | v) = sigmoid(beta (W v + c))."""
        return torch.bernoulli(torch.sigmoid(self._drive(v)), generator=generator)

    @torch.no_grad()
    def visible_given(self, s: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Visible units (..., D) drawn from p(v | s).

        N(b + W's, I/beta) if they are Gaussian, sigmoid(beta (b + W's)) if they are binary.
        """
        mean = s @ self.weights + self.visible_bias
        if self.visible == "binary":
            return torch.bernoulli(torch.sigmoid(self.beta * mean), generator=generator)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + noise / math.sqrt(self.beta)

    def block_gibbs(
        self, v: Tensor, *, steps: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Visible states after drawing all hidden and then all visible units `steps` times.

        Args:
            v: where the chains start, (..., D).
            steps: how often, from 0.
            generator: source of randomness.

        Raises:
            ValueError: steps is negative.
        """
        if steps < 0:
            raise ArgumentError(f"steps must be a whole number from 0, got {steps}")
        for _ in range(steps):
            v = self.visible_given(self.hidden_given(v, generator=generator), generator=generator)
        return v

    def contrastive_divergence(
        self,
        data: Tensor,
        *,
        steps: int = 1,
        chains: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss beta (mean F(data) - mean F(chains)) and the chains after `steps` Gibbs steps.

        As steps grow, its gradient becomes that of the mean negative log-likelihood. Its value is
        no likelihood and may rise while the model gets better.

        Args:
            data: (..., D).
            steps: Gibbs steps before the contrast, from 1.
            chains: where the chains start: the data if None, else what the call before returned
                (persistent contrastive divergence).
            generator: source of randomness.

        Raises:
            ValueError: steps is below 1.
        """
        if steps < 1:
            raise ArgumentError(f"steps must be a whole number from 1, got {steps}")
        start = data if chains is None else chains
        end = self.block_gibbs(start.detach(), steps=steps, generator=generator)
        return self.beta * (self(data).mean() - self(end).mean()), end

    def log_partition(self) -> Tensor:
        """Logarithm of Z, the sum or integral of exp(-beta F) over all v, exactly, in time 2^N.

        Raises:
            ValueError: there are too many hidden units to enumerate.
        """
        count, dim = self.weights.shape
        if count > MOST_HIDDEN:
            raise ArgumentError(
                f"the exact sum runs over 2^N hidden states, N at most {MOST_HIDDEN}, got {count}",
                topic="density",
            )
        numbers = torch.arange(2**count, device=self.weights.device)
        bits = (numbers[:, None] >> torch.arange(count, device=self.weights.device)) & 1
        s = bits.to(self.weights)
        pull = s @ self.weights
        alone = self.beta * (s @ self.hidden_bias)
        if self.visible == "gaussian":
            summed = self.beta * (pull @ self.visible_bias + 0.5 * pull.square().sum(-1))
            summed = summed + 0.5 * dim * math.log(2 * math.pi / self.beta)
        else:
            summed = softplus(self.beta * (pull + self.visible_bias)).sum(-1)
        log_z: Tensor = torch.logsumexp(alone + summed, 0)
        return log_z

    def log_likelihood(self, v: Tensor) -> Tensor:
        """Exact log p(v) = -beta F(v) - log Z of states (..., D), giving (...); time 2^N."""
        likelihood: Tensor = -self.beta * self(v) - self.log_partition()
        return likelihood

    def _drive(self, v: Tensor) -> Tensor:
        return self.beta * (v @ self.weights.mT + self.hidden_bias)

    def extra_repr(self) -> str:
        """Sizes and kind, for printing."""
        hidden, dim = self.weights.shape
        return f"dim={dim}, hidden={hidden}, visible={self.visible!r}, beta={self.beta:g}"
