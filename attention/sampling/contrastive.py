"""Contrastive divergence: an energy learns from data, with chains of its own states beside them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.attention.modules.arguments import check_positive, check_tensor, check_whole
from attenergy.attention.sampling.samplers import Target, every_state, sampler_for
from attenergy.energies import Energy
from attenergy.registry import ArgumentError, ShapeError


class Contrast(NamedTuple):
    """What `contrastive_divergence` gives.

    Attributes:
        loss: a number to call `backward` on; its value is no likelihood.
        chains: states (..., L, D) after the last step, without derivatives: where the next call
            goes on (`chains=`).
        acceptance: share of the proposals that were taken, a number; close to 0, steps are too
            large, close to 1 too small (not so for spins).

    Example:
        >>> energy = attenergy.make_energy("binary_rbm", dim=4)
        >>> data, X = torch.ones(8, 4), torch.nn.Parameter(torch.randn(3, 4))
        >>> loss, chains, acceptance = attenergy.contrastive_divergence(energy, data, X)
        >>> loss.shape, chains.shape
        (torch.Size([]), torch.Size([8, 4]))
    """

    loss: Tensor
    chains: Tensor
    acceptance: Tensor


def contrastive_divergence(
    energy: Energy,
    data: Tensor,
    X: Tensor | None = None,
    *,
    steps: int = 1,
    chains: Tensor | None = None,
    sampler: str | None = None,
    step_size: float | None = None,
    temperature: float | Tensor | None = None,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Contrast:
    r"""Loss mean_data E(xi; X)/T - mean_chains E(xi; X)/T, for p(xi) ~ exp(-E(xi; X)/T).

    The gradient of the mean negative log-likelihood of data is

        d/dtheta [mean_data E/T + log Z] = mean_data dE/dtheta/T - <dE/dtheta>_p/T,

    and the chains stand in for p: their states after `steps` steps from the data (contrastive
    divergence), or from where the last call left them (persistent contrastive divergence, with
    `chains`). As steps grow, the gradient of the loss becomes that of the likelihood. It reaches
    the stored patterns, the parameters of the energy with beta among them, and what made the data.

    Example:
        >>> import torch
        >>> from attenergy import contrastive_divergence, make_energy
        >>> _ = torch.manual_seed(0)
        >>> energy = make_energy("binary_rbm", dim=6, beta=1.0)
        >>> X = torch.nn.Parameter(0.1 * torch.randn(8, 6))  # eight hidden units
        >>> data = torch.tensor([[1.0, 1, 1, -1, -1, -1]]).repeat(64, 1)
        >>> optimizer = torch.optim.Adam([X, *energy.parameters()], lr=0.05)
        >>> chains = data
        >>> for _ in range(200):
        ...     loss, chains, _ = contrastive_divergence(energy, data, X, chains=chains)
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        >>> bool((chains == data).double().mean() > 0.9)  # now its own states look like the data
        True

    Args:
        energy: any with a sampler for its domain: `langevin` for real states, `glauber` for spins,
            `metropolis` for the sphere and layer norm (`attenergy.attention.sampling.samplers`).
        data: states (..., L, D) in the energy's domain; without batch axes (M, D) are M states.
        X: stored patterns (..., S, D); None for an energy of the states alone.
        steps: of the chains, from 1; for spins sweeps over all components.
        chains: where the chains start, (..., L, D); the data if None. There may be more or fewer of
            them than data, where no mask says otherwise.
        sampler: its name; the first that fits the domain if None. `exact` draws from mixtures
            without a chain.
        step_size: of the sampler; 0.5 if None (over the quadratic part for `langevin`).
        temperature: T above 0; 1/beta if None, for an energy with a parameter beta.
        mask: boolean (..., L, S), True = visible, of the data and the chains. States that see
            nothing count in no mean.
        generator: source of randomness.

    Raises:
        ValueError: the energy has no such sampler, the data lie outside its domain, or an argument
            does not fit.

    Source: Hinton 2002, doi:10.1162/089976602760128018; persistent chains: Tieleman 2008,
    doi:10.1145/1390156.1390290.
    """
    method = sampler_for(energy, sampler)
    check_whole("steps", steps, 1)
    if X is None and energy.reads_patterns:
        raise ArgumentError(
            f"'{energy.spec.title}' reads stored patterns: give X (..., S, D)", topic="density"
        )
    if step_size is not None and method.default_step_size is None:
        raise ArgumentError("this sampler has no step_size", topic="density")
    size = method.default_step_size or 1.0
    size = size if step_size is None else check_positive("step_size", step_size)
    target = Target(energy, X, mask, temperature)
    _check_inside(energy, "data", data)
    start = data if chains is None else chains
    if chains is not None:
        _check_inside(energy, "chains", chains)
    with torch.no_grad():
        start = every_state(target, start.detach())
        rest = method.run(target, start, steps, size, generator)
    states = rest.state.detach()
    loss = _mean(target, data) - _mean(target, states)
    return Contrast(loss, states, rest.acceptance.mean())


def _mean(target: Target, xi: Tensor) -> Tensor:
    """Mean of E/T over the chains that see something; 0 if none does."""
    values = target.inverse_temperature() * target.value(xi)
    seen = target.occupied(xi).expand(values.shape)
    return torch.where(seen, values, 0.0).sum() / seen.sum().clamp(min=1)


def _check_inside(energy: Energy, name: str, states: Tensor) -> None:
    """Check that states lie in the energy's domain.

    Raises:
        ValueError: they do not.
    """
    check_tensor(name, states)
    if not states.is_floating_point() or states.ndim < 2 or states.shape[-1] != energy.dim:
        raise ShapeError(
            f"{name} must be floating point (..., L, D) with D = {energy.dim}, got "
            f"{tuple(states.shape)} of {states.dtype}"
        )
    near = states.detach()
    if not torch.allclose(energy.project(near), near, rtol=1e-3, atol=1e-3):
        raise ArgumentError(
            f"{name} must lie in the domain '{energy.spec.domain}' of '{energy.spec.title}'; "
            "energy.project brings states there",
            topic="density",
        )
