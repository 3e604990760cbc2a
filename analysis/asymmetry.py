"""Whether a vector field is a gradient: the asymmetry of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attenergy.registry import AnalysisError


def curl(update: Callable[[Tensor], Tensor], xi: Tensor) -> float:
    """|J - J'| / |J| with J the Jacobian of `update` at `xi` and |.| the Frobenius norm.

    0 for the gradient of any energy, whatever the states; about sqrt(2) for a random field.
    Give the update itself, without the identity of a residual connection, and several states that
    do not saturate it: where J is nearly 0 the quotient says nothing.

    Args:
        update: maps states of the shape of `xi` to a field of the same shape.
        xi: the states at which the Jacobian is taken; all their numbers together are its side.

    Returns:
        The quotient, or 0 if the Jacobian is 0.

    Raises:
        ValueError: the field has another shape than the states, or a Jacobian that is not finite.

    Example:
        >>> round(curl(lambda x: torch.stack([-x[1], x[0]]), torch.zeros(2)), 3)  # a rotation
        2.0
        >>> round(curl(lambda x: 2 * x, torch.zeros(2)), 3)  # a gradient
        0.0
    """
    field = update(xi)
    if field.shape != xi.shape:
        raise AnalysisError(
            f"update must keep the shape {tuple(xi.shape)} of its states, got {tuple(field.shape)}"
        )
    rows = torch.func.jacrev(update)(xi).detach().reshape(xi.numel(), xi.numel())
    if not torch.isfinite(rows).all():
        raise AnalysisError("the Jacobian of the update is not finite at these states")
    size = torch.linalg.matrix_norm(rows)
    if size == 0:
        return 0.0
    return float(torch.linalg.matrix_norm(rows - rows.mT) / size)
