r"""Lagrangians of layers of neurons: convex functions L(x) whose gradients are the activations.

    name          L(x)                                 g = grad L                  E* at g
    quadratic     1/2 |x|^2                            x                           1/2 |g|^2
    relu          1/2 |relu(x)|^2                      relu(x)                     1/2 |g|^2
    softplus      sum_i softplus(x_i)                  sigmoid(x)                  -entropy of bits
    logcosh       sum_i log cosh x_i                   tanh(x)                     -entropy of spins
    lse           log sum_i exp x_i                    softmax(x)                  -entropy
    spherical     sqrt(|x|^2 + eps)                    x/sqrt(|x|^2 + eps)         about 0
    layer_norm    D sqrt(var(x) + eps)                 (x - mean)/sqrt(var + eps)  about 0

E* = g'x - L(x) is the layer's own energy. Every L is a sum over its last axis alone, convex, and
finite for large x. Scale by `gamma` and shift by `delta`, as a layer norm does: L = gamma L(x) +
delta'x. gamma is one number: with one for each component g would not be a gradient.

Source: Krotov and Hopfield 2021, arXiv:2008.06996; Hoover et al. 2023, arXiv:2302.07253.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.energies.language.numerics import logcosh as _logcosh
from attenergy.energies.language.numerics import softplus as _softplus
from attenergy.registry import ArgumentError, nearest

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Lagrangian:
    """One layer: `value` is L(x), (..., D) to (...); `activation` its gradient, (..., D)."""

    value: Map
    activation: Map

    def own_energy(self, x: Tensor) -> Tensor:
        """Return g'x - L(x), (...): what a layer with internal state x (..., D) adds to E."""
        return (self.activation(x) * x).sum(-1) - self.value(x)


def spherical(x: Tensor, eps: float = 1e-5) -> Tensor:
    """sqrt(|x|^2 + eps), (..., D) to (...)."""
    return torch.sqrt((x * x).sum(-1) + eps)


def unit_vector(x: Tensor, eps: float = 1e-5) -> Tensor:
    """x/sqrt(|x|^2 + eps), the gradient of `spherical`; RMS norm is sqrt(D) of it."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + eps)


def layer_norm(
    x: Tensor,
    gamma: float | Tensor = 1.0,
    delta: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """D gamma sqrt(var(x) + eps) + delta'x, (..., D) to (...); one sum for each row of x.

    Args:
        x: (..., D).
        gamma: one number.
        delta: (D,) or None for 0.
        eps: floor of the variance.

    Raises:
        ValueError: gamma has a value for each component, which no energy has.
    """
    _check_gamma(gamma)
    value = x.shape[-1] * gamma * torch.sqrt(x.var(-1, correction=0) + eps)
    return value if delta is None else value + (delta * x).sum(-1)


def normalised(
    x: Tensor,
    gamma: float | Tensor = 1.0,
    delta: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return gamma (x - mean)/sqrt(var(x) + eps) + delta, (..., D), the gradient of `layer_norm`.

    Raises:
        ValueError: gamma has a value for each component.
    """
    _check_gamma(gamma)
    centred = x - x.mean(-1, keepdim=True)
    scaled = gamma * centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    return scaled if delta is None else scaled + delta


def _check_gamma(gamma: float | Tensor) -> None:
    if isinstance(gamma, Tensor) and gamma.numel() != 1:
        raise ArgumentError(
            f"gamma must be one number, got shape {tuple(gamma.shape)}; with a gain for each "
            "component a layer norm is not the gradient of any function"
        )


LAGRANGIANS: dict[str, Lagrangian] = {
    "quadratic": Lagrangian(lambda x: 0.5 * (x * x).sum(-1), lambda x: x),
    "relu": Lagrangian(lambda x: 0.5 * torch.relu(x).square().sum(-1), torch.relu),
    "softplus": Lagrangian(lambda x: _softplus(x).sum(-1), torch.sigmoid),
    "logcosh": Lagrangian(lambda x: _logcosh(x).sum(-1), torch.tanh),
    "lse": Lagrangian(lambda x: torch.logsumexp(x, -1), lambda x: torch.softmax(x, -1)),
    "spherical": Lagrangian(spherical, unit_vector),
    "layer_norm": Lagrangian(layer_norm, normalised),
}


def lagrangian(name: str) -> Lagrangian:
    """The Lagrangian of that name.

    Raises:
        ValueError: there is none; names the nearest and all known ones.
    """
    if name not in LAGRANGIANS:
        hint = nearest(name, LAGRANGIANS)
        known = ", ".join(LAGRANGIANS)
        raise ArgumentError(
            f"no Lagrangian '{name}'{f' ({hint})' if hint else ''}; known: {known}",
            topic="unknown-name",
        )
    return LAGRANGIANS[name]
