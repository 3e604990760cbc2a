"""Entmax of any order between softmax and sparsemax, without sorting or bisection."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.energies.rows.kernel import Extra, RowKernel, RowNumbers, row_sums
from attenergy.energies.rows.workspace import workspace

#: Newton steps at most; no more than twelve were seen, and an order that is NaN never ends them.
_MOST = 100


class Entmax(RowKernel):
    """Weights y = u^(1/e) of sum 1, with u = max(1 + e (z - t), 0) and e = alpha - 1 in (0, 1].

    The norm |u| of order 1/e, which must be 1, is convex and falling in t (linear for softmax and
    for equal scores). So Newton steps from a t where it is at least 1 (max z, or the t of equal
    scores of the same mean, as powers are convex) rise to the root and never beyond; they are
    quadratic near it. With q = dy/dz = y/u at fixed t,

        dz_i = q_i (dy_i - m),  m = sum q dy / sum q,    de = sum_i dz_i (u_i - 1 - u_i log u_i)/e^2

    Source: Peters et al. 2019, arXiv:1905.05702; the derivative in alpha: Correia et al. 2019,
    arXiv:1909.00015.
    """

    def takes(self, *args: Tensor) -> bool:
        """Whether e is not too near 0, nor beyond 1."""
        epsilon = args[0].detach() - 1.0
        least = torch.finfo(epsilon.dtype).eps ** 0.25  # rounding of u is divided by e
        return bool(((epsilon >= least) & (epsilon <= 1.0)).all())

    def forward(self, z: Tensor, *args: Tensor) -> tuple[Tensor, RowNumbers]:
        """The weights; the largest score, and e (t - it)."""
        epsilon = args[0] - 1.0
        top = z.amax(-1, keepdim=True)
        top = top + 0.0 * top  # NaN if it is infinite: such a row has no weights
        y, rise = _search(z.sub_(top).mul_(epsilon), epsilon)
        return y, (top, rise)

    def again(self, z: Tensor, numbers: RowNumbers, *args: Tensor) -> tuple[Tensor, Extra]:
        """The weights; u - 1, q and log u."""
        epsilon = args[0] - 1.0
        top, rise = numbers
        powers = _powers(z.sub_(top).mul_(epsilon), rise, epsilon)
        return _times_u(powers), powers

    def pull(
        self, y: Tensor, extra: Extra, grad: Tensor, wanted: tuple[bool, ...], *args: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """As above."""
        w, q, logs = extra
        dz = grad.mul_(q)
        mean = row_sums(dz) / row_sums(q)
        dz.sub_(q.mul_(mean))
        if not wanted[0]:
            return dz, (None,)
        curve = w.sub_(logs.addcmul_(logs, w)).mul_(dz)
        return dz, (row_sums(curve) / (args[0] - 1.0).square(),)


def _search(x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """The weights for x = e (z - max z), and e (t - max z)."""
    eps = torch.finfo(x.dtype).eps
    # As powers are convex, the norm is at least 1 where it is for equal scores of the same mean.
    rise = (row_sums(x) / x.shape[-1] + (1.0 - x.shape[-1] ** -epsilon)).clamp_min_(0.0)
    for _ in range(_MOST):
        powers = _powers(x, rise, epsilon)
        slope = row_sums(powers.q)
        y = _times_u(powers)
        total = row_sums(y)
        step = (total - total.pow(1.0 - epsilon)) / slope
        rise = rise + step
        # A NaN has come to rest, too.
        resting = ((total - 1.0).abs() <= eps**0.5) | (step.abs() <= eps) | total.isnan()
        if bool(resting.all()):
            # The step is so small that its square is rounding: dy = -q step / e.
            y.addcmul_(powers.q, step / epsilon, value=-1.0).clamp_min_(0.0)
            if bool(((row_sums(y) - 1.0).abs() > 32 * eps).any()):
                continue
            break
    return y, rise


class _Powers(NamedTuple):
    """For u = max(1 + x - rise, 0): u - 1, u^(1/e - 1) on the support, else 0, and log u."""

    w: Tensor
    q: Tensor
    logs: Tensor


def _powers(x: Tensor, rise: Tensor, epsilon: Tensor) -> _Powers:
    w, q, logs, support = (
        workspace(name, x.shape, x) for name in ("u", "power", "logarithm", "support")
    )
    # u is kept away from 0, where logarithm and power are several times slower.
    floor = torch.finfo(x.dtype).eps / 2 - 1.0
    torch.sub(x, rise, out=w).clamp_min_(floor)
    torch.log1p(w, out=logs)
    torch.mul(logs, (1.0 / epsilon - 1.0) / math.log(2.0), out=q).exp2_()
    q.mul_(torch.gt(w, floor, out=support))
    return _Powers(w, q, logs)


def _times_u(powers: _Powers) -> Tensor:
    """u^(1/e)."""
    y = workspace("weights", powers.q.shape, powers.q)
    return torch.addcmul(powers.q, powers.q, powers.w, out=y)
