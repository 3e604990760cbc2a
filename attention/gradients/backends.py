"""Which forms of the gradient and of the weights an energy has."""

from __future__ import annotations

from typing import Literal, get_args

from attenergy.attention.gradients.chunked import can_chunk
from attenergy.energies import Energy
from attenergy.energies.parameters import check_made
from attenergy.registry import ArgumentError, UnknownName

Backend = Literal["auto", "eager", "traced", "scores", "sdpa", "chunked", "flex"]


def backends(energy: Energy) -> tuple[Backend, ...]:
    """The backends that an energy has on any device, the slow reference first.

    Energies with softmax weights have `flex` besides, with derivatives on CUDA only.

    Example:
        >>> backends(attenergy.make_energy("lse", dim=4))[0]
        'eager'
    """
    available: list[Backend] = ["eager", "traced"]
    if energy.has_closed_form:
        available.append("scores")
    if energy.is_attention:
        available.append("sdpa")
    if can_chunk(energy):
        available.append("chunked")
    return tuple(available)


def check_backend(energy: Energy, backend: Backend) -> None:
    """Check that the energy has the backend.

    Raises:
        TypeError: the energy is not made.
        ValueError: unknown backend, or one that this energy does not have.
    """
    check_made(energy)
    if not isinstance(backend, str) or backend not in get_args(Backend):
        raise UnknownName("backend", str(backend), get_args(Backend))
    if backend == "auto":
        return
    available = backends(energy)
    if backend in available or (backend == "flex" and energy.is_attention):
        return
    raise ArgumentError(
        f"'{energy.spec.title}' has no backend '{backend}'; it has {', '.join(available)}",
        topic="backend",
    )


def check_weights(energy: Energy) -> None:
    """Check that the energy has weights over patterns.

    Raises:
        TypeError: the energy is not made.
        ValueError: it has none.
    """
    check_made(energy)
    if not energy.has_weights:
        raise ArgumentError(
            f"'{energy.spec.title}' defines no weights over patterns; read the state",
            topic="no-weights",
        )
