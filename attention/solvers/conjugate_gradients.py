"""Conjugate gradients for many symmetric systems at once, none of which touches another."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Solution(NamedTuple):
    """The solution of every system.

    Attributes:
        x: as the right-hand sides.
        solved: boolean, with axes of length 1 where a system lies: whether the residual fell below
            the tolerance. If not, the matrix has a direction that does not rise (it
            is not positive definite), or the iterations did not suffice.
        iterations: whole numbers, shaped like `solved`.
    """

    x: Tensor
    solved: Tensor
    iterations: Tensor


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    axes: tuple[int, ...],
    *,
    tolerance: float,
    most: int,
) -> Solution:
    """Solve A x = b for every system alone, A symmetric and positive definite.

    Args:
        apply: x -> A x, for all systems.
        b: right-hand sides.
        axes: the axes that one system takes up; the others count systems.
        tolerance: a system is solved when |b - A x| <= tolerance |b|.
        most: largest number of iterations.

    Source: Hestenes and Stiefel 1952, doi:10.6028/jres.049.044.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum(axes, keepdim=True)

    # With right-hand sides of length 1 no square of a small number vanishes.
    length: Tensor = torch.linalg.vector_norm(b, dim=axes, keepdim=True)
    r = b / torch.where(length > 0, length, 1.0)
    x, p, square = torch.zeros_like(r), r, dot(r, r)
    iterations = torch.zeros_like(square, dtype=torch.int64)
    broken = ~square.isfinite()
    for _ in range(most):
        active = (square > tolerance**2) & ~broken
        if not bool(active.any()):
            break
        ahead = apply(p)
        rise = dot(p, ahead)
        broken = broken | (active & ~(rise > 0))
        active = active & ~broken
        alpha = square / rise
        x, r = torch.where(active, x + alpha * p, x), torch.where(active, r - alpha * ahead, r)
        new = dot(r, r)
        p = torch.where(active, r + new / square * p, p)
        square = torch.where(active, new, square)
        iterations = iterations + active
    return Solution(x * length, (square <= tolerance**2) & ~broken, iterations)
