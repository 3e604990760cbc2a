"""Step sizes: one for all steps, or one for each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from attenergy.attention.modules.arguments import check_positive
from attenergy.energies import Energy
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
    if isinstance(given, (int, float, Tensor)):
        return (check_step_size(given),) * steps
    gammas = tuple(check_step_size(gamma) for gamma in given)
    if len(gammas) != steps:
        raise ArgumentError(
            f"step_size lists {len(gammas)} numbers, there are {steps} steps", topic="step-size"
        )
    return gammas


def check_step_size(gamma: StepSize) -> StepSize:
    """Return the step size itself.

    Raises:
        ValueError: a number that is not above 0, or a tensor without the axes (..., L, 1).
    """
    if not isinstance(gamma, Tensor):
        check_positive("step_size", gamma)
    elif gamma.ndim and gamma.shape[-1] != 1:
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
