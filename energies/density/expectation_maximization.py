"""Stored patterns of greatest likelihood, for energies that are Gaussian mixtures.

The log-likelihood of data y_1 ... y_M under log-sum-exp is, up to a constant,

    L(X) = sum_i lse_n(beta x_n.y_i) - M lse_n(beta/2 |x_n|^2),
    dL/dx_n = beta (sum_i r_in y_i - M w_n x_n),

with responsibilities r_i = softmax(beta X y_i) and weights w = softmax(beta/2 |x|^2).

The first term pulls patterns to the data that they are responsible for; the second, the partition
function, pulls them to 0 in proportion to their weight. Both terms are convex in X. Expectation
maximisation replaces the first by its tangent and maximises what is left, which is concave: so no
step lowers L. With a_n = sum_i r_in y_i, the maximum x_n = t_n a_n/|a_n| solves

    t_n exp(beta t_n^2/2) = Z |a_n|/M,   Z = sum_n exp(beta t_n^2/2),

one equation for Z once t_n is written by Lambert's function, beta t_n^2 = W(beta (Z |a_n|/M)^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.density.mixture import Mixture, mixture
from attenergy.energies.density.partition import check_states
from attenergy.registry import ArgumentError, ShapeError


@dataclass(frozen=True)
class Fit:
    """Fitted patterns.

    Attributes:
        patterns: (N, D).
        log_likelihoods: mean log p of the data before the first and after every step; it never
            falls.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=4.0)
        >>> data = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
        >>> fitted = fit(energy, data, torch.tensor([[0.5, 0.0], [-0.5, 0.0]]))
        >>> fitted.patterns.shape, bool(fitted.log_likelihoods[-1] >= fitted.log_likelihoods[0])
        (torch.Size([2, 2]), True)
    """

    patterns: Tensor
    log_likelihoods: Tensor


@torch.no_grad()
def fit(
    energy: Energy, data: Tensor, patterns: Tensor, *, steps: int = 100, tolerance: float = 1e-10
) -> Fit:
    """Stored patterns that make data likely under p(xi) ~ exp(-beta E(xi; X)); beta stays.

    Expectation maximisation, exact in both of its steps, for mixtures of Gaussians whose weights
    follow from the patterns' lengths (log-sum-exp) or are equal (Gaussian kernels).

    Args:
        energy: a formula without heads.
        data: (M, D), M at least 1.
        patterns: (N, D), where to start; rows of the data are a good choice.
        steps: most steps, from 0.
        tolerance: stop when a step raises the mean log-likelihood by no more.

    Raises:
        ValueError: the energy is no such mixture, or an argument does not fit.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=4.0)
        >>> data = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
        >>> fit(energy, data, torch.tensor([[0.5, 0.0], [-0.5, 0.0]])).patterns.shape
        torch.Size([2, 2])
    """
    check_states(energy, data)
    if data.ndim != 2 or not len(data):
        raise ShapeError(f"data must be (M, D) with M at least 1, got {tuple(data.shape)}")
    X = patterns
    current = mixture(energy, X)
    if current.kind != "gaussian" or current.weighting == "other":
        raise ArgumentError(
            f"'{energy.spec.title}' cannot be fitted in closed form: it must be a mixture of "
            "Gaussians with weights that are equal or follow from the patterns' lengths",
            topic="density",
        )
    values = [current.log_density(data).mean()]
    for _ in range(steps):
        X = _raised(current, data) / current.scale
        current = mixture(energy, X)
        values.append(current.log_density(data).mean())
        if values[-1] - values[-2] <= tolerance:
            break
    return Fit(X, torch.stack(values))


def _raised(fitted: Mixture, data: Tensor) -> Tensor:
    """The means after one step of expectation maximisation."""
    distance = torch.cdist(data, fitted.means).square()
    shares = torch.softmax(fitted.log_weights - 0.5 * fitted.precision * distance, -1)
    if fitted.weighting == "equal":
        total = shares.sum(0).unsqueeze(-1)
        # A component that no datum needs stays where it is.
        return torch.where(total > 0, shares.mT @ data / total, fitted.means)
    pull = shares.mT @ data / len(data)
    length = torch.linalg.vector_norm(pull, dim=-1, keepdim=True)
    root = fitted.precision.sqrt()
    away = tied_lengths((root * length).squeeze(-1)) / root
    means: Tensor = pull * (away.unsqueeze(-1) / length.clamp_min(torch.finfo(data.dtype).tiny))
    return means


def tied_lengths(pull: Tensor) -> Tensor:
    """The t (N,) with t_n exp(t_n^2/2) = c_n Z and Z = sum_n exp(t_n^2/2), for c = `pull` from 0.

    Newton's method in log Z on lse(t^2/2) - log Z, which is convex and falls from a value above 0
    at Z = N; so every step stays on the left of the only root.
    """
    log_pull = torch.log(pull.clamp_min(torch.finfo(pull.dtype).tiny))
    log_z = pull.new_tensor(math.log(len(pull)))
    for _ in range(100):
        square = _omega(2 * (log_pull + log_z))
        excess = torch.logsumexp(0.5 * square, 0) - log_z
        if excess <= 4 * torch.finfo(pull.dtype).eps * log_z.abs().clamp_min(1.0):
            break
        slope = (torch.softmax(0.5 * square, 0) / (1 + square)).sum()
        log_z = log_z + excess / slope
    return square.sqrt()


def _omega(y: Tensor) -> Tensor:
    """W(exp(y)): the w with w + log w = y, by Newton's method in v = log w from the right."""
    v = torch.where(y < 1, y, torch.log(y.clamp_min(1.0)))
    for _ in range(12):
        v = v - (v.exp() + v - y) / (v.exp() + 1)
    return v.exp()
