r"""Energies whose state is a memory matrix: linear attention and the delta rule as descent.

    hebb    E(M; k, v) = -v'M k             dE/dM = -v k'           a step adds v k'
    delta   E(M; k, v) = 1/2 |M k - v|^2    dE/dM = (M k - v) k'    a step corrects what M says of k

Tokens (k_t, v_t) arrive one after the other, M takes one step of size gamma_t for each, and q_t
reads o_t = M_t q_t. With gamma = 1 the Hebb steps are causal linear attention, o_t = sum_{s<=t}
v_s (k_s'q_t); the delta steps are DeltaNet. For the delta rule a step at |k| = 1 with gamma in
(0, 2) lowers E, and gamma = 1 stores the pair exactly.

The state is a matrix (..., e, D), not a vector per token, so these are functions beside the
registry and no entries of it. Source: Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024,
arXiv:2406.06484.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from attenergy.registry import ArgumentError, ShapeError, nearest

MatrixEnergy = Callable[[Tensor, Tensor, Tensor], Tensor]


def hebb_energy(memory: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return -v'M k, (...), for M (..., e, D), k (..., D) and v (..., e)."""
    return -(value * _recalled(memory, key)).sum(-1)


def delta_energy(memory: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return 1/2 |M k - v|^2, (...), for M (..., e, D), k (..., D) and v (..., e)."""
    return 0.5 * (_recalled(memory, key) - value).square().sum(-1)


ENERGIES: dict[str, MatrixEnergy] = {"hebb": hebb_energy, "delta": delta_energy}


def fast_weights(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    rule: str = "delta",
    step_size: float | Tensor = 1.0,
    memory: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """M_t = M_{t-1} - gamma_t dE/dM (M_{t-1}; k_t, v_t),  o_t = M_t q_t.

    Args:
        queries: (..., L, D).
        keys: (..., L, D).
        values: (..., L, e).
        rule: `hebb` or `delta`; the step is autograd's gradient of that energy.
        step_size: gamma, a number or (..., L).
        memory: M_0, (..., e, D); zero if None.

    Returns:
        o (..., L, e) and the last M (..., e, D).

    Raises:
        ValueError: unknown rule, or shapes that do not fit.
    """
    if rule not in ENERGIES:
        hint = nearest(rule, ENERGIES)
        known = ", ".join(ENERGIES)
        raise ArgumentError(
            f"no rule '{rule}'{f' ({hint})' if hint else ''}; known: {known}", topic="unknown-name"
        )
    if queries.shape != keys.shape or keys.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            "queries and keys must be (..., L, D) and values (..., L, e), got "
            f"{tuple(queries.shape)}, {tuple(keys.shape)} and {tuple(values.shape)}"
        )
    if memory is None:
        memory = keys.new_zeros(*keys.shape[:-2], values.shape[-1], keys.shape[-1])
    gamma = torch.as_tensor(step_size, dtype=keys.dtype, device=keys.device)
    gamma = gamma.expand(keys.shape[:-1])
    read = []
    for t in range(keys.shape[-2]):
        total = partial(_total, ENERGIES[rule], keys[..., t, :], values[..., t, :])
        memory = memory - gamma[..., t, None, None] * torch.func.grad(total)(memory)
        read.append(_recalled(memory, queries[..., t, :]))
    return torch.stack(read, -2), memory


def _total(energy: MatrixEnergy, key: Tensor, value: Tensor, memory: Tensor) -> Tensor:
    return energy(memory, key, value).sum()


def _recalled(memory: Tensor, key: Tensor) -> Tensor:
    """M k, (..., e)."""
    return (memory @ key.unsqueeze(-1)).squeeze(-1)
