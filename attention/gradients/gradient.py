"""From an energy to its gradient: by autograd, or in closed form, which must agree.

Backends:
    eager    `torch.func.grad` of the energy; works for every energy
    traced   the same as a graph of plain operations, for `torch.export`, ONNX and checkpointing
             (`attenergy.attention.gradients.traced`)
    scores   radial * xi - weights @ X + coupling, for energies that have weights
    sdpa     the same through `scaled_dot_product_attention`, for softmax weights
    chunked  scores or eager, some states at a time, in memory that does not grow with their number;
             for states that do not interact (`attenergy.attention.gradients.chunked`)
    flex     softmax weights through FlexAttention; derivatives on CUDA only
             (`attenergy.attention.gradients.flex`)
    auto     sdpa where it applies and pays (`attenergy.attention.gradients.sdpa`), else scores;
             without weights eager, or traced where `torch.func.grad` is refused. Above a limit of
             memory (`attenergy.attention.gradients.chunked.THRESHOLD`) chunked in place of scores
             and eager
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.attention.gradients.chunked import can_chunk, chunks_pay, in_chunks
from attenergy.attention.gradients.flex import flex_read
from attenergy.attention.gradients.sdpa import fused_attention, fused_pays
from attenergy.attention.gradients.traced import trace_needed, traced_gradient
from attenergy.energies import Energy
from attenergy.energies.masks import check_tensor, clear_hidden, clear_states
from attenergy.registry import ArgumentError, UnknownName

Backend = Literal["auto", "eager", "traced", "scores", "sdpa", "chunked", "flex"]


def backends(energy: Energy) -> tuple[Backend, ...]:
    """The backends that an energy has on any device, the slow reference first.

    Energies with softmax weights have `flex` besides, with derivatives on CUDA only.
    """
    found: list[Backend] = ["eager", "traced"]
    if energy.has_weights:
        found.append("scores")
    if energy.is_attention:
        found.append("sdpa")
    if can_chunk(energy):
        found.append("chunked")
    return tuple(found)


def check_backend(energy: Energy, backend: Backend) -> None:
    """Check that the energy has the backend.

    Raises:
        ValueError: unknown backend, or one that this energy does not have.
    """
    if backend == "auto":
        return
    if backend not in get_args(Backend):
        raise UnknownName("backend", str(backend), get_args(Backend))
    available = backends(energy)
    if backend in available or (backend == "flex" and energy.is_attention):
        return
    raise ArgumentError(
        f"'{energy.spec.title}' has no backend '{backend}'; it has {', '.join(available)}"
    )


def _by_autograd() -> Backend:
    """The form of autograd's gradient that is possible here."""
    return "traced" if trace_needed() else "eager"


def _resolve(
    energy: Energy, backend: Backend, xi: Tensor, X: Tensor, field: Tensor | None
) -> Backend:
    """The backend that `auto` stands for."""
    if backend != "auto":
        return backend
    large = can_chunk(energy) and chunks_pay(xi, X)
    # With a field that learns, PyTorch's kernel writes the weights out.
    flat = not large or field is None or not field.requires_grad
    if energy.is_attention and flat and fused_pays(X, field):
        return "sdpa"
    if large:
        return "chunked"
    return "scores" if energy.has_weights else _by_autograd()


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
    X, mask, field = some_patterns(energy, X, mask, field)
    xi, X = clear_hidden(mask, all_states(energy, xi, X, mask, field), X)
    return checked_gradient(energy, xi, X, mask, field, backend)


def checked_gradient(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    mask: Tensor | None,
    field: Tensor | None,
    backend: Backend,
) -> Tensor:
    """What `gradient` does with arguments that are checked, and in which nothing hidden acts."""
    if not xi.shape[-2]:
        return no_slope(energy, xi, X, field)
    kind = _resolve(energy, backend, xi, X, field)
    if kind == "chunked":
        inner: Backend = "scores" if energy.has_weights else _by_autograd()
        return in_chunks(partial(_gradient, backend=inner), energy, xi, (X,), mask, field)
    return _gradient(energy, xi, mask, field, X, backend=kind)


def _gradient(
    energy: Energy,
    xi: Tensor,
    mask: Tensor | None,
    field: Tensor | None,
    X: Tensor,
    *,
    backend: Backend,
) -> Tensor:
    if backend == "traced":
        return traced_gradient(energy, xi, X, mask, field)
    opened, occupied = (None, None) if mask is None else energy.opened(mask)
    xi = xi if occupied is None else clear_states(xi, occupied)
    if backend == "eager":

        def total(state: Tensor) -> Tensor:
            return energy.cleared(state, X, mask, field).sum()

        found: Tensor = torch.func.grad(total)(xi)
        return found if occupied is None else torch.where(occupied, found, 0.0)
    pulled = _read(energy, xi, X, X, opened, field, backend)
    grad = _minus(energy.radial(xi, X, opened, field), xi, pulled)
    coupling = energy.coupling(xi, mask)
    grad = grad if coupling is None else grad + coupling
    return grad if occupied is None else torch.where(occupied, grad, 0.0)


def _minus(radial: Tensor | float, xi: Tensor, pulled: Tensor) -> Tensor:
    """Gradient radial * xi - pulled; a radial factor of 0 or 1 costs nothing, backward either."""
    if isinstance(radial, float) and radial in (0.0, 1.0):
        return xi - pulled if radial else -pulled
    return radial * xi - pulled


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
        backend: as for `gradient`; the weights have no other form than `scores` in place of `eager`
            and `traced`.

    Raises:
        ValueError: the energy has no weights, or a shape or type does not fit.
    """
    check_backend(energy, backend)
    if not energy.has_weights:
        raise ArgumentError(
            f"'{energy.spec.title}' defines no weights over patterns; read the state"
        )
    check_tensor("values", values)
    mask, field = energy.check(xi, X, mask, field)
    values = values if X.shape[-2] else pad(values, (0, 0, 0, 1))
    X, mask, field = some_patterns(energy, X, mask, field)
    xi = all_states(energy, xi, X, mask, field)
    xi, X, values = clear_hidden(mask, xi, X, values)
    kind = _resolve(energy, backend, xi, X, field)
    if kind == "chunked":
        rows = partial(_read_rows, backend="scores")
        return in_chunks(rows, energy, xi, (X, values), mask, field)
    return _read_rows(energy, xi, mask, field, X, values, backend=kind)


def _read_rows(
    energy: Energy,
    xi: Tensor,
    mask: Tensor | None,
    field: Tensor | None,
    X: Tensor,
    values: Tensor,
    *,
    backend: Backend,
) -> Tensor:
    opened, occupied = (None, None) if mask is None else energy.opened(mask)
    xi = xi if occupied is None else clear_states(xi, occupied)
    out = _read(energy, xi, X, values, opened, field, backend)
    return out if occupied is None else torch.where(occupied, out, 0.0)


def attention_weights(
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
        raise ArgumentError(f"'{energy.spec.title}' defines no weights over patterns")
    mask, field = energy.check(xi, X, mask, field)
    stored = X.shape[-2]
    X, mask, field = some_patterns(energy, X, mask, field)
    if mask is None:
        return energy.weights(xi, X, None, field)
    xi = all_states(energy, xi, X, mask, field)
    opened, occupied = energy.opened(mask)
    xi, X = clear_hidden(mask, clear_states(xi, occupied), X)
    weights = torch.where(occupied, energy.weights(xi, X, opened, field), 0.0)
    return weights if stored else weights[..., :0]


association = attention_weights  # earlier name


def some_patterns(
    energy: Energy, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The same, but one pattern that no state sees where there are no patterns at all."""
    if X.shape[-2] or not energy.reads_patterns:
        return X, mask, field
    rows = (1,) if mask is None else mask.shape[:-1]
    hidden = torch.zeros(*rows, 1, dtype=torch.bool, device=X.device)
    return pad(X, (0, 0, 0, 1)), hidden, None if field is None else pad(field, (0, 1))


def no_slope(energy: Energy, xi: Tensor, *others: Tensor | None) -> Tensor:
    """The gradient where there are no states: empty, with derivatives of 0 for all it reads."""
    read = (x for x in (*others, *energy.parameters()) if x is not None)
    return xi * sum((0.0 * x.sum() for x in read), start=1.0)


def all_states(energy: Energy, xi: Tensor, X: Tensor, *extra: Tensor | None) -> Tensor:
    """The states with every batch axis that patterns, mask, field or heads have and they lack."""
    heads = () if energy.num_heads is None else (energy.num_heads,)
    others = [X.shape[:-2], heads, *(e.shape[:-2] for e in extra if e is not None)]
    own = xi.shape[:-2]
    if all(other == own[len(own) - len(other) :] for other in others):
        return xi  # as in most layers; `broadcast_shapes` takes longer than the whole rest here
    batch = torch.broadcast_shapes(own, *others)  # type: ignore[no-untyped-call]
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
    if backend == "flex":
        return flex_read(energy, xi, X, values, opened, field)
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
    return fused_attention(scale * xi, X, values, mask)
