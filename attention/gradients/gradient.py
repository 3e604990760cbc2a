"""From an energy to its gradient: by autograd, or in closed form, which must agree.

Backends:
    eager    `torch.func.grad` of the energy; works for every energy
    traced   the same as a graph of plain operations, for `torch.export`, ONNX and checkpointing
             (`attenergy.attention.gradients.traced`)
    scores   radial * xi - weights @ X + coupling, for energies that have weights, or that have a
             coupling alone; on a CPU in blocks where weights depend on one row of scores
             (`attenergy.attention.gradients.blocked`)
    sdpa     the same through `scaled_dot_product_attention`, for softmax weights
    chunked  scores or eager, some states at a time, in memory that does not grow with their number;
             for states that do not interact (`attenergy.attention.gradients.chunked`)
    flex     softmax weights through FlexAttention; derivatives on CUDA only
             (`attenergy.attention.gradients.flex`)
    auto     sdpa where it applies and pays (`attenergy.attention.gradients.sdpa`), else scores;
             without a closed form eager, or traced where `torch.func.grad` is refused. Above a
             limit of memory (`attenergy.attention.gradients.chunked.THRESHOLD`) chunked in place of
             eager and of scores that are not read in blocks
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.attention.gradients.backends import Backend, check_backend, check_weights
from attenergy.attention.gradients.blocked import blocks_fit, read_in_blocks
from attenergy.attention.gradients.chunked import can_chunk, chunks_pay, in_chunks
from attenergy.attention.gradients.flex import flex_read
from attenergy.attention.gradients.prepare import Prepared, opened_rows, prepare
from attenergy.attention.gradients.sdpa import (
    biased_attention,
    fused_attention,
    fused_pays,
    hidden_bias,
    mixed_attention,
)
from attenergy.attention.gradients.traced import trace_needed, traced_gradient
from attenergy.energies import Energy
from attenergy.energies.masks import check_tensor, clear_hidden, clear_states


def _of_all_states(energy: Energy) -> Backend:
    """The closed form, or else the form of autograd's gradient that is possible here."""
    if energy.has_closed_form:
        return "scores"
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
    if large and not (energy.has_row_form and blocks_fit(xi, X)):
        return "chunked"
    return _of_all_states(energy)


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

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0).requires_grad_(False)
        >>> gradient(energy, torch.zeros(1, 2), torch.eye(2))
        tensor([[-0.5000, -0.5000]])
    """
    check_backend(energy, backend)
    given, xi = prepare(energy, xi, X, mask, field)
    return prepared_gradient(given, xi, given.X, backend)


def prepared_gradient(given: Prepared, xi: Tensor, X: Tensor, backend: Backend) -> Tensor:
    """What `gradient` does with what is prepared, X the patterns among that or the states."""
    energy, field = given.energy, given.field
    if not xi.shape[-2]:
        return no_slope(energy, xi, X, field)
    kind = _resolve(energy, backend, xi, X, field)
    if kind == "chunked":
        rows = partial(_gradient_of_rows, backend=_of_all_states(energy))
        return in_chunks(rows, energy, xi, (X,), given.mask, field)
    return _gradient(given, xi, X, kind)


def _gradient_of_rows(
    energy: Energy,
    xi: Tensor,
    mask: Tensor | None,
    field: Tensor | None,
    X: Tensor,
    *,
    backend: Backend,
) -> Tensor:
    """The gradient of some of the states, whose rows of the mask are opened by themselves."""
    given = Prepared(energy, X, mask, field, *opened_rows(energy, mask), X.shape[-2])
    return _gradient(given, xi, X, backend)


def _gradient(given: Prepared, xi: Tensor, X: Tensor, backend: Backend) -> Tensor:
    energy, field, occupied = given.energy, given.field, given.occupied
    if backend == "traced":
        return traced_gradient(energy, xi, X, given.mask, field)
    xi = xi if occupied is None else clear_states(xi, occupied)
    if backend == "eager":
        mask = given.mask if energy.states_interact else given.opened

        def total(state: Tensor) -> Tensor:
            value = energy.energy(state, X, mask, field)
            if occupied is not None and not energy.states_interact:
                value = torch.where(occupied.squeeze(-1), value, 0.0)
            return value.sum()

        grad: Tensor = torch.func.grad(total)(xi)
    else:
        radial = energy.radial(xi, X, given.opened, field)
        if energy.has_weights:
            grad = _minus(radial, xi, _read(energy, xi, X, X, given.opened, field, backend))
        else:
            grad = radial * xi
        coupling = energy.coupling(xi, given.mask)
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

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0).requires_grad_(False)
        >>> read_values(energy, torch.zeros(1, 2), torch.eye(2), torch.tensor([[1.0], [3.0]]))
        tensor([[2.]])
    """
    check_backend(energy, backend)
    check_weights(energy)
    check_tensor("values", values)
    given, xi = prepare(energy, xi, X, mask, field)
    return prepared_read(given, xi, given.X, values, backend)


def prepared_read(
    given: Prepared, xi: Tensor, X: Tensor, values: Tensor, backend: Backend
) -> Tensor:
    """What `read_values` does with what is prepared, X the patterns among that or the states."""
    energy, mask, field = given.energy, given.mask, given.field
    xi, values = prepared_values(given, xi, values)
    kind = _resolve(energy, backend, xi, X, field)
    if kind == "chunked":
        rows = partial(_read_rows, backend="scores")
        return in_chunks(rows, energy, xi, (X, values), mask, field)
    return _read_opened(given, xi, X, values, kind)


def prepared_values(given: Prepared, xi: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values in which nothing hidden acts, one for each pattern, and the states that read them."""
    values = values if given.patterns else pad(values, (0, 0, 0, 1))
    xi, values = clear_hidden(given.mask, xi, values)
    return xi, values


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
    given = Prepared(energy, X, mask, field, *opened_rows(energy, mask), X.shape[-2])
    return _read_opened(given, xi, X, values, backend)


def _read_opened(
    given: Prepared, xi: Tensor, X: Tensor, values: Tensor, backend: Backend
) -> Tensor:
    occupied = given.occupied
    xi = xi if occupied is None else clear_states(xi, occupied)
    out = _read(given.energy, xi, X, values, given.opened, given.field, backend)
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

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0).requires_grad_(False)
        >>> attention_weights(energy, torch.zeros(1, 2), torch.eye(2))
        tensor([[0.5000, 0.5000]])
    """
    check_weights(energy)
    given, xi = prepare(energy, xi, X, mask, field)
    return prepared_weights(given, xi, given.X)


def prepared_weights(given: Prepared, xi: Tensor, X: Tensor) -> Tensor:
    """What `attention_weights` does with what is prepared, X as for `prepared_gradient`."""
    energy, occupied = given.energy, given.occupied
    xi = xi if occupied is None else clear_states(xi, occupied)
    weights = energy.weights(xi, X, given.opened, given.field)
    weights = weights if occupied is None else torch.where(occupied, weights, 0.0)
    return weights if given.patterns else weights[..., :0]


association = attention_weights  # earlier name


def no_slope(energy: Energy, xi: Tensor, *others: Tensor | None) -> Tensor:
    """The gradient where there are no states: empty, with derivatives of 0 for all it reads."""
    read = (x for x in (*others, *energy.parameters()) if x is not None)
    return xi * sum((0.0 * x.sum() for x in read), start=1.0)


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
        mixed = energy.mixed_patterns(X, values, opened, field)
        if mixed is not None:
            return mixed_attention(xi, mixed)
        form = energy.row_form(X, opened, field) if energy.has_row_form else None
        if form is not None:
            q = xi if isinstance(form.scale, float) and form.scale == 1.0 else form.scale * xi
            out = read_in_blocks(form.kernel, q, X, values, form.bias, opened, *form.arguments)
            if out is not None:
                return out
        return energy.weights(xi, X, opened, field) @ values
    softmax_form = energy.attention(X, opened, field)
    assert softmax_form is not None
    scale, bias = softmax_form
    if bias is not None and bias.shape[-2] == 1 and xi.shape[-2] > 1:
        return biased_attention(scale * xi, X, values, bias, hidden_bias(xi, X, None, opened))
    return fused_attention(xi, X, values, hidden_bias(xi, X, bias, opened), scale)
