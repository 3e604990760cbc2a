"""Sparsemax without sorting."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.energies.rows.kernel import Extra, RowKernel, RowNumbers, row_sums
from attenergy.energies.rows.workspace import workspace


class Sparsemax(RowKernel):
    """Weights y = max(z - t, 0) of sum 1.

    The sum is convex and falling in t, and linear where the support stays. So Newton steps from a t
    at which it is at least 1 (the largest score - 1, or the t of the full support) rise to the root
    and never beyond; the support can only shrink, and once it stays the root is exact. That is at
    most one step for each score, in practice four to seven.

    Source: Michelot 1986, doi:10.1007/BF00938486.
    """

    def forward(self, z: Tensor, *args: Tensor) -> tuple[Tensor, RowNumbers]:
        """The weights, and t."""
        t = simplex_threshold(z)
        return z.sub_(t).relu_(), (t,)

    def again(self, z: Tensor, numbers: RowNumbers, *args: Tensor) -> tuple[Tensor, Extra]:
        """The weights."""
        y = z.sub_(numbers[0]).relu_()
        return y, ()

    def pull(
        self, y: Tensor, extra: Extra, grad: Tensor, wanted: tuple[bool, ...], *args: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """On the support, dy minus its mean there."""
        # A NaN is in the support, so that it shows: 1 where y is not 0.
        support = torch.ne(y, 0.0, out=y)
        mean = row_sums(grad.mul_(support)) / row_sums(support)
        return grad.sub_(support.mul_(mean)), ()


def simplex_threshold(z: Tensor) -> Tensor:
    """The t (..., L, 1) with sum max(z - t, 0) = 1; NaN for a row that holds NaN or +inf."""
    top = z.amax(-1, keepdim=True)
    top = top + 0.0 * top  # NaN if it is infinite: such a row has no weights
    t = torch.maximum(top - 1.0, (z.sum(-1, keepdim=True) - 1.0) / z.shape[-1])
    above, size = workspace("above", z.shape, z), None
    for _ in range(z.shape[-1] + 1):
        torch.sub(z, t, out=above).relu_()
        excess = row_sums(above) - 1.0
        count = row_sums(torch.gt(above, 0.0, out=above))
        if size is not None and torch.equal(count, size):
            break  # the support of every row has stayed
        t, size = t + (excess / count.clamp_min(1.0)).clamp_min_(0.0), count
    return t
