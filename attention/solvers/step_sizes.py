"""Step sizes: one for all steps, or one for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from torch import Tensor

from attenergy.attention.modules.arguments import check_positive, is_number
from attenergy.energies import Energy
from attenergy.energies.presence import may_count
from attenergy.registry import ArgumentError

#: One number, or one for every head, sample or state: broadcastable to (..., L, 1).
StepSize = float | Tensor


def step_sizes(
    energy: Energy, given: StepSize | Sequence[StepSize] | None, steps: int
) -> tuple[StepSize, ...]:
    """The step size of every step, `steps` of them.

    Args:
        energy: its entry's default is taken for None.
        given: one for all steps, or a sequence with one for each.
        steps: how many.

    Raises:
        ValueError: a number is not above 0, a tensor has not the axes (..., L, 1), or a sequence
            has another length.
    """
    if given is None:
        return (default_step_size(energy),) * steps
    if is_one(given):
        return (check_step_size(given),) * steps
    gammas = tuple(check_step_size(gamma) for gamma in each(given))
    if len(gammas) != steps:
        raise ArgumentError(
            f"step_size lists {len(gammas)} numbers, there are {steps} steps", topic="step-size"
        )
    return gammas


def is_one(given: Any) -> TypeGuard[StepSize]:
    """Whether a step size is one for all steps: a number of any kind, or a tensor."""
    return is_number(given) or isinstance(given, Tensor)


def each(given: Any) -> Iterable[Any]:
    """The step sizes that a sequence lists.

    Raises:
        ValueError: it is none.
    """
    try:
        if not isinstance(given, (str, bytes)):
            return tuple(given)
    except TypeError:  # nothing to go through
        pass
    raise ArgumentError(
        f"step_size must be a number above 0, a tensor or a sequence of them, got {given!r}",
        topic="step-size",
    )


def check_above_zero(given: Any) -> None:
    """Refuse tensors of step sizes that are not above 0, where their numbers may be looked at.

    That is not while a graph is compiled, exported or traced, nor under `torch.vmap`.

    Raises:
        ValueError: a number is not above 0, or not finite.
    """
    if given is None or is_number(given):
        return  # see `check_step_size`
    for gamma in [given] if is_one(given) else each(given):
        if not isinstance(gamma, Tensor) or not may_count(gamma.detach()):
            continue
        fine = (gamma > 0) & gamma.isfinite()
        if not bool(fine.all()):
            wrong = gamma.detach()[~fine].flatten()[0].item()
            raise ArgumentError(
                f"step_size must be a finite number above 0, got a tensor with {wrong:g} in it",
                topic="step-size",
            )


def check_step_size(gamma: StepSize) -> StepSize:
    """Return the step size; a number as one of Python's.

    Raises:
        ValueError: a number that is not above 0, or a tensor without the axes (..., L, 1).
    """
    if not isinstance(gamma, Tensor):
        return check_positive("step_size", gamma)
    if gamma.is_complex():
        raise ArgumentError(f"step_size must hold real numbers, got {gamma.dtype}")
    if gamma.ndim and gamma.shape[-1] != 1:
        raise ArgumentError(
            f"step_size must be broadcastable to (..., L, 1), got {tuple(gamma.shape)}; step sizes "
            "for one step after the other are a list, as gamma.unbind() gives it",
            topic="step-size",
        )
    return gamma


def check_sizes_fit(gammas: Sequence[StepSize], xi: Tensor) -> None:
    """Check that step sizes go with states (..., L, D).

    Raises:
        ValueError: a tensor cannot be broadcast with (..., L, 1).
    """
    rows = (*xi.shape[:-1], 1)
    for gamma in gammas:
        sizes = gamma.shape if isinstance(gamma, Tensor) else ()
        pairs = zip(sizes[::-1], rows[::-1], strict=False)
        if any(own not in (size, 1) and size != 1 for own, size in pairs):
            raise ArgumentError(
                f"step_size must be broadcastable to (..., L, 1) = {rows}, got {tuple(sizes)}",
                topic="step-size",
            )


def scaled_step(gamma: StepSize, direction: Tensor) -> Tensor:
    """The step gamma * direction; the common gamma = 1 costs nothing, backward either."""
    return direction if isinstance(gamma, float) and gamma == 1.0 else gamma * direction


def default_step_size(energy: Energy) -> float:
    """Return gamma of the energy's entry."""
    return float(energy.spec.step_size.default)
