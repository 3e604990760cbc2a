"""Partition function, likelihood and samples of energies that are mixtures."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.density.mixture import Mixture, mixture
from attenergy.energies.parameters import check_made
from attenergy.registry import ArgumentError, ShapeError


def log_partition(energy: Energy, X: Tensor) -> Tensor:
    """Logarithm of Z = int exp(-beta E(xi; X)) dxi, a number, in closed form.

    beta is the energy's own inverse temperature, at which the integral is known; see
    `attenergy.energies.density.mixture` for which energies. For log-sum-exp

        log Z = D/2 log(2 pi/beta) + lse(beta/2 |x_n|^2).

    Args:
        energy: a formula without heads.
        X: stored patterns (N, D).

    Raises:
        ValueError: no closed form is known, or the patterns do not fit.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0)
        >>> log_partition(energy, torch.eye(2)).shape
        torch.Size([])
    """
    density = mixture(energy, X)
    # Where the density is known, so is Z: log Z = -beta E - log p, at any state.
    state = density.means[:1]
    value: Tensor = -density.beta * energy(state, X) - density.log_density(state)
    return value.squeeze(0)


def log_likelihood(energy: Energy, states: Tensor, X: Tensor) -> Tensor:
    """The log-likelihood log p(xi) = -beta E(xi; X) - log Z of states (..., D), giving (...).

    Differentiable in the patterns and in the energy's parameters.

    Args:
        energy: a formula without heads.
        states: (..., D).
        X: stored patterns (N, D).

    Raises:
        ValueError: no closed form is known, or a shape does not fit.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0)
        >>> log_likelihood(energy, torch.zeros(3, 2), torch.eye(2)).shape
        torch.Size([3])
    """
    check_states(energy, states)
    return mixture(energy, X).log_density(states)


@torch.no_grad()
def sample(
    energy: Energy, X: Tensor, count: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Independent states (count, D) from p(xi) ~ exp(-beta E(xi; X)), without a Markov chain.

    Args:
        energy: a formula without heads.
        X: stored patterns (N, D).
        count: how many, from 0.
        generator: source of randomness.

    Raises:
        ValueError: no closed form is known, or an argument does not fit.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=4.0)
        >>> sample(energy, torch.eye(2), 5).shape
        torch.Size([5, 2])
    """
    if count < 0:
        raise ArgumentError(f"count must be a whole number from 0, got {count}")
    density = mixture(energy, X)
    if count == 0:
        return X.new_zeros(0, X.shape[1])
    which = torch.multinomial(density.log_weights.exp(), count, True, generator=generator)
    noise = torch.randn(count, X.shape[1], generator=generator, dtype=X.dtype, device=X.device)
    if density.kind == "gaussian":
        return density.means[which] + noise / density.precision.sqrt()
    return density.means[which] + _in_ball(noise, density, generator)


def _in_ball(noise: Tensor, density: Mixture, generator: torch.Generator | None) -> Tensor:
    """Offsets with density ~ 1 - precision/2 |u|^2.

    The first D of D + 4 coordinates of a point that is uniform on the sphere have the density
    (1 - |u|^2)^1.
    """
    extra = torch.randn(len(noise), 4, generator=generator, dtype=noise.dtype, device=noise.device)
    length = torch.linalg.vector_norm(torch.cat([noise, extra], 1), dim=-1, keepdim=True)
    offset: Tensor = noise / length * (2 / density.precision).sqrt()
    return offset


def check_states(energy: Energy, states: Tensor) -> None:
    """Check that states are (..., D).

    Raises:
        ValueError: they are not.
    """
    check_made(energy)
    if not states.ndim or states.shape[-1] != energy.dim:
        raise ShapeError(
            f"states must be (..., D) with D = {energy.dim}, got {tuple(states.shape)}"
        )
