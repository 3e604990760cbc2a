"""From an energy to its gradient: by autograd, or in closed form, which must agree.

Backends:
    eager   `torch.func.grad` of the energy; works for every energy
    scores  radial * xi - weights @ X + coupling, for energies that have weights
    sdpa    the same through `scaled_dot_product_attention`, for softmax weights; its fused kernels
            have first derivatives only
    auto    sdpa where it applies and pays (`attenergy.attention.fused`), else scores, else eager
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention.fused import fused_pays
from attenergy.energies import Energy, open_rows
from attenergy.registry import UnknownName

Backend = Literal["auto", "eager", "scores", "sdpa"]


def backends(energy: Energy) -> tuple[Backend, ...]:
    """The backends that an energy has, the slow reference first."""
    if not energy.has_weights:
        return ("eager",)
    return ("eager", "scores", "sdpa") if energy.is_attention else ("eager", "scores")


def check_backend(energy: Energy, backend: Backend) -> None:
    """Check that the energy has the backend.

    Raises:
        ValueError: unknown backend, or one that this energy does not have.
    """
    if backend not in get_args(Backend):
        raise UnknownName("backend", str(backend), get_args(Backend))
    available = backends(energy)
    if backend != "auto" and backend not in available:
        raise ValueError(
            f"'{energy.spec.title}' has no backend '{backend}'; it has {', '.join(available)}"
        )


def _resolve(energy: Energy, backend: Backend, X: Tensor, field: Tensor | None) -> Backend:
    """The backend that `auto` stands for."""
    if backend != "auto":
        return backend
    if not energy.has_weights:
        return "eager"
    return "sdpa" if energy.is_attention and fused_pays(X, field) else "scores"


def gradient(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """grad_xi E, (..., L, D); exactly 0 for a state that sees no pattern.

    Raises:
        ValueError: a shape, type or backend does not fit.
    """
    check_backend(energy, backend)
    mask, field = energy.check(xi, X, mask, field)
    xi = all_states(energy, xi, X, mask, field)
    backend = _resolve(energy, backend, X, field)
    if backend == "eager":

        def total(state: Tensor) -> Tensor:
            value: Tensor = energy(state, X, mask=mask, field=field).sum()
            return value

        found: Tensor = torch.func.grad(total)(xi)
        return found
    opened, occupied = (None, None) if mask is None else open_rows(mask)
    pulled = _read(energy, xi, X, X, opened, field, backend)
    grad = energy.radial(xi, X, opened, field) * xi - pulled
    coupling = energy.coupling(xi, mask)
    grad = grad if coupling is None else grad + coupling
    return grad if occupied is None else torch.where(occupied, grad, 0.0)


def read_values(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    values: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """weights(xi) @ values, (..., L, e): what the states read; 0 where they see no pattern.

    Args:
        energy: an energy that has weights over patterns.
        xi: states (..., L, D).
        X: stored patterns (..., S, D).
        values: what is read instead of the patterns, (..., S, e).
        mask: (..., L, S), True = visible.
        field: (..., L, S).
        backend: `scores`, `sdpa` or `auto`; the weights have no eager form.

    Raises:
        ValueError: the energy has no weights, or a shape or type does not fit.
    """
    check_backend(energy, backend)
    if not energy.has_weights:
        raise ValueError(f"'{energy.spec.title}' defines no weights over patterns; read the state")
    mask, field = energy.check(xi, X, mask, field)
    xi = all_states(energy, xi, X, mask, field)
    opened, occupied = (None, None) if mask is None else open_rows(mask)
    resolved = _resolve(energy, backend, X, field)
    kind: Backend = "scores" if resolved == "eager" else resolved
    out = _read(energy, xi, X, values, opened, field, kind)
    return out if occupied is None else torch.where(occupied, out, 0.0)


def association(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
) -> Tensor:
    """The weights over patterns themselves, (..., L, S); 0 where a state sees no pattern.

    Raises:
        ValueError: the energy has no weights, or a shape or type does not fit.
    """
    if not energy.has_weights:
        raise ValueError(f"'{energy.spec.title}' defines no weights over patterns")
    mask, field = energy.check(xi, X, mask, field)
    if mask is None:
        return energy.weights(xi, X, None, field)
    opened, occupied = open_rows(mask)
    return torch.where(occupied, energy.weights(xi, X, opened, field), 0.0)


def all_states(energy: Energy, xi: Tensor, X: Tensor, *extra: Tensor | None) -> Tensor:
    """The states with every batch axis that patterns, mask, field or heads have and they lack."""
    heads = () if energy.num_heads is None else (energy.num_heads,)
    others = [X.shape[:-2], heads, *(e.shape[:-2] for e in extra if e is not None)]
    batch = torch.broadcast_shapes(xi.shape[:-2], *others)  # type: ignore[no-untyped-call]
    return xi.expand(*batch, *xi.shape[-2:])


def _read(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    values: Tensor,
    opened: Tensor | None,
    field: Tensor | None,
    backend: Backend,
) -> Tensor:
    if backend != "sdpa":
        return energy.weights(xi, X, opened, field) @ values
    found = energy.attention(X, opened, field)
    assert found is not None
    scale, bias = found
    if bias is not None and opened is not None:
        bias = bias.masked_fill(~opened, -torch.inf)
    mask = opened if bias is None else bias
    if mask is not None:
        mask = mask.expand(*xi.shape[:-1], X.shape[-2])
    return scaled_dot_product_attention(scale * xi, X, values, attn_mask=mask, scale=1.0)
