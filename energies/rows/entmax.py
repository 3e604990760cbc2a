"""Entmax of any order between softmax and sparsemax, without sorting or bisection."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attenergy.energies.rows.kernel import RowKernel, RowNumbers
from attenergy.energies.rows.workspace import workspace

#: Newton steps at most; no more than twelve were seen, and an order that is NaN never ends them.
_MOST = 100


class Entmax(RowKernel):
    """Weights y = u^(1/e) of sum 1, with u = max(1 + e (z - t), 0) and e = alpha - 1 in (0, 1].

    The norm |u| of order 1/e, which must be 1, is convex and falling in t (linear for softmax and
    for equal scores). So Newton steps from t = max z, where it is at least 1, rise to the root and
    never beyond; they are quadratic near it. With q = dy/dz = y/u at fixed t,

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

    def again(self, z: Tensor, numbers: RowNumbers, *args: Tensor) -> tuple[Tensor, Tensor]:
        """The weights, and u - 1."""
        epsilon = args[0] - 1.0
        top, rise = numbers
        w, q = _powers(z.sub_(top).mul_(epsilon), rise, epsilon, (z, *_space(z)[1:]))
        return q.addcmul_(q, w), w

    def pull(
        self, y: Tensor, extra: Tensor, grad: Tensor, wanted: tuple[bool, ...], *args: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """As above."""
        w = extra
        u = torch.add(w, 1.0, out=workspace("support", w.shape, w))
        q = y.div_(u)  # 0 off the support
        mean = grad.mul_(q).sum(-1, keepdim=True) / q.sum(-1, keepdim=True)
        dz = grad.sub_(q.mul_(mean))
        if not wanted[0]:
            return dz, (None,)
        logs = torch.log1p(w, out=q)
        curve = w.sub_(logs.addcmul_(logs, w))
        return dz, (curve.mul_(dz).sum(-1, keepdim=True) / (args[0] - 1.0).square(),)


def _search(x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """The weights for x = e (z - max z), and e (t - max z)."""
    eps = torch.finfo(x.dtype).eps
    rise, space = torch.zeros_like(x[..., :1]), _space(x)
    for _ in range(_MOST):
        w, q = _powers(x, rise, epsilon, space)
        slope = q.sum(-1, keepdim=True)
        y = q.addcmul_(q, w)
        total = y.sum(-1, keepdim=True)
        step = (total - total.pow(1.0 - epsilon)) / slope
        # A NaN has come to rest, too.
        if not bool((((total - 1.0).abs() > 16 * eps) & (step.abs() > eps)).any()):
            break
        rise = rise + step
    return y, rise


def _space(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where `_powers` writes."""
    u, power, support = (workspace(name, x.shape, x) for name in ("u", "power", "support"))
    return u, power, support


def _powers(
    x: Tensor, rise: Tensor, epsilon: Tensor, space: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """U - 1, and u^(1/e - 1) on the support, else 0, for u = max(1 + x - rise, 0)."""
    # u is kept away from 0, where logarithm and power are several times slower.
    floor = torch.finfo(x.dtype).eps / 2 - 1.0
    w, q, support = space
    torch.sub(x, rise, out=w).clamp_min_(floor)
    torch.log1p(w, out=q).mul_((1.0 / epsilon - 1.0) / math.log(2.0)).exp2_()
    return w, q.mul_(torch.gt(w, floor, out=support))
