"""Convex conjugates whose gradients are sparse weights over patterns.

    conj(z) = max_y [ y'z - Omega(y) ],    grad conj(z) = the y that attains it

over the simplex (or over 0 <= y <= 1, sum y = k), for regularisers Omega that are 0 at the corners.
The maximum is where y_i = g(z_i - t), with a threshold t that makes the sum right; entries below it
are exactly 0. Scores are (..., N), with -inf for hidden patterns; no row may be all hidden.

The threshold is found without a gradient. Derivatives then come from one of two facts, and need no
code of their own, so that autograd may be applied again and again:

* Where t is linear in z on a fixed support (`sparsemax`, `ksubsets`), it is written down as such.
* Else Newton steps t <- t - f/f' on the equation f(t, z) = 0 are taken with a gradient, from the
  root that was found. A step turns an error e into O(e^2). The root without a gradient is off by
  O(d) at scores that differ by d; one step leaves O(d^2), two leave O(d^4): after two steps value
  and derivatives up to the third order are those of the true root.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from attenergy.energies.language.table import Function
from attenergy.energies.language.typing_rules import parametrised, reduces, takes
from attenergy.energies.rows.apply import row_weights
from attenergy.energies.rows.entmax import Entmax
from attenergy.energies.rows.kernel import RowKernel
from attenergy.energies.rows.sparsemax import Sparsemax

Scalar = Tensor | float

#: Newton steps to the threshold, which rise towards it from below and become quadratic.
_SEARCH = 10
_CORRECTIONS = 2


def sparsemax(z: Tensor) -> Tensor:
    """Projection on the simplex, argmin |y - z|^2: y = max(z - t, 0).

    Source: Martins and Astudillo 2016, arXiv:1602.02068.
    """
    return row_weights(SPARSEMAX, z)


def _sparsemax_by_sorting(z: Tensor) -> Tensor:
    scores, _ = _shifted(z)
    return _sparsemax(scores).to(z.dtype)


def sparsemax_conj(z: Tensor) -> Tensor:
    """Conjugate max_y [y'z - (|y|^2 - 1)/2] over the simplex, (..., 1); gradient `sparsemax`."""
    scores, top = _shifted(z)
    return (top + _quadratic_value(scores, _sparsemax(scores), 1.0)).to(z.dtype)


def ksubsets(z: Tensor, k: Scalar) -> Tensor:
    """Projection on 0 <= y <= 1, sum y = k: y = z - t clipped to [0, 1].

    With fewer than k visible patterns all of them get 1.

    Source: Martins et al. 2023 (sparse modern Hopfield networks); Blondel et al. 2020.
    """
    scores, _ = _shifted(z)
    return _ksubsets(scores, _reachable(scores, k)).to(z.dtype)


def ksubsets_conj(z: Tensor, k: Scalar) -> Tensor:
    """Conjugate max_y [y'z - (|y|^2 - k)/2] over 0 <= y <= 1, sum y = k; gradient `ksubsets`."""
    scores, top = _shifted(z)
    total = _reachable(scores, k)
    return (total * top + _quadratic_value(scores, _ksubsets(scores, total), total)).to(z.dtype)


def entmax(z: Tensor, alpha: Scalar) -> Tensor:
    """Weights p_i = max(1 + (alpha - 1)(z_i - t), 0)^(1/(alpha - 1)) of sum 1.

    alpha lies in [1, 2] and is clipped to it: softmax at 1, sparsemax at 2.

    Source: Peters et al. 2019, arXiv:1905.05702.
    """
    order = alpha.clamp(1.0, 2.0) if isinstance(alpha, Tensor) else min(max(alpha, 1.0), 2.0)
    return row_weights(ENTMAX, z, order)


def _entmax_by_search(z: Tensor, alpha: Scalar) -> Tensor:
    scores, _ = _shifted(z)
    epsilon = _scalar(alpha, scores).sub(1.0).clamp(0.0, 1.0)
    t = _entmax_threshold(scores, epsilon, _CORRECTIONS)
    return _tsallis(scores, epsilon, t)[0].to(z.dtype)


def entmax_conj(z: Tensor, alpha: Scalar) -> Tensor:
    """Conjugate max_y [y'z - (sum y^alpha - 1)/(alpha (alpha - 1))]; gradient `entmax`.

    Written as its dual, min over t of t + (sum p v - 1)/alpha with v = 1 + (alpha - 1)(z - t) and
    p = max(v, 0)^(1/(alpha - 1)). An error of t enters squared there, so one step is enough.
    """
    scores, top = _shifted(z)
    epsilon = _scalar(alpha, scores).sub(1.0).clamp(0.0, 1.0)
    t = _entmax_threshold(scores, epsilon, _CORRECTIONS - 1)
    p, v = _tsallis(scores, epsilon, t)
    dual = t + ((p * v).sum(-1, keepdim=True) - 1.0) / (1.0 + epsilon)
    return (top + dual).to(z.dtype)


def normmax(z: Tensor, alpha: Scalar) -> Tensor:
    """Weights proportional to max(z - t, 0)^(1/(alpha - 1)), with |max(z - t, 0)| = 1.

    The norm that fixes t is the dual one, of order alpha/(alpha - 1).

    alpha is above 1 (clipped at 1.001): the largest entry alone as alpha falls to 1, uniform over
    the support as alpha grows.

    Source: Blondel et al. 2020, arXiv:1901.02324; Santos et al. 2024, arXiv:2402.13725.
    """
    scores, _ = _shifted(z)
    order = _scalar(alpha, scores).clamp_min(1.001)
    w, _ = _ramps(scores, order, _normmax_threshold(scores, order))
    return (w / w.sum(-1, keepdim=True)).to(z.dtype)


def normmax_conj(z: Tensor, alpha: Scalar) -> Tensor:
    """Conjugate max_y [y'z - (|y|_alpha - 1)] over the simplex, t + 1; gradient `normmax`."""
    scores, top = _shifted(z)
    order = _scalar(alpha, scores).clamp_min(1.001)
    return (top + _normmax_threshold(scores, order) + 1.0).to(z.dtype)


def _shifted(z: Tensor) -> tuple[Tensor, Tensor]:
    """Scores minus the largest, and the largest, at least in single precision.

    A common shift c adds c sum y to the value whatever c is, so it needs no gradient of its own.
    A row that holds a NaN becomes NaN.
    """
    wide = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
    top = wide.detach().amax(-1, keepdim=True)
    top = top + 0.0 * top  # NaN if it is infinite: such a row has no weights
    return wide - top, top


def _scalar(value: Scalar, like: Tensor) -> Tensor:
    return value.to(like.dtype) if isinstance(value, Tensor) else like.new_full((), value)


def _quadratic_value(z: Tensor, y: Tensor, total: Scalar) -> Tensor:
    """Value y'z - (|y|^2 - total)/2; hidden scores are -inf, but their y is 0."""
    seen = torch.where(y == 0, 0.0, z)
    return (y * seen - 0.5 * y * y).sum(-1, keepdim=True) + 0.5 * total


def _sparsemax(z: Tensor) -> Tensor:
    # In descending order the support is the longest head with z_j > (sum of the head - 1)/j.
    ordered = z.detach().sort(-1, descending=True).values
    sums = ordered.cumsum(-1)
    rank = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    size = (1.0 + rank * ordered > sums).sum(-1, keepdim=True).clamp_min(1)
    # In this form all of a row that holds a NaN is in the support, and gets it.
    support = ~(z.detach() < ordered.gather(-1, size - 1))
    inside = torch.where(support, z, 0.0)
    t = (inside.sum(-1, keepdim=True) - 1.0) / support.sum(-1, keepdim=True)
    return torch.relu(torch.where(support, z - t, 0.0))


def _reachable(z: Tensor, k: Scalar) -> Tensor:
    """k, or the number of visible patterns if that is less."""
    seen = (z != -torch.inf).sum(-1, keepdim=True).to(z.dtype)
    return torch.minimum(_scalar(k, z), seen)


def _ksubsets(z: Tensor, total: Tensor) -> Tensor:
    fixed, wanted = z.detach(), total.detach()
    seen = fixed != -torch.inf
    # sum clip(z - t, 0, 1) is piecewise linear in t, with corners at z_i - 1 and z_i. Hidden
    # patterns go so far down that the sum is reached before their corners are.
    lowest = torch.where(seen, fixed, 0.0).amin(-1, keepdim=True) - 2.0
    placed = torch.where(seen, fixed, lowest)
    corners, order = torch.cat([placed, placed - 1.0], -1).sort(-1, descending=True)
    slope = torch.where(order < z.shape[-1], 1.0, -1.0).to(z.dtype).cumsum(-1)
    gained = (slope[..., :-1] * (corners[..., :-1] - corners[..., 1:])).cumsum(-1)
    # The last corner of which the sum is not yet exceeded; t lies between it and the next one.
    index = (gained < wanted).sum(-1, keepdim=True).clamp_max(gained.shape[-1] - 1)
    upper, lower = corners.gather(-1, index), corners.gather(-1, index + 1)
    full = seen & (fixed - 1.0 >= upper)
    free = seen & ~full & ~(fixed <= lower)  # of a row that holds a NaN, all
    count = free.sum(-1, keepdim=True)
    rest = total - full.sum(-1, keepdim=True)
    t = (torch.where(free, z, 0.0).sum(-1, keepdim=True) - rest) / count.clamp_min(1)
    return torch.where(full, 1.0, torch.where(free, z - t, 0.0).clamp(0.0, 1.0))


def _tsallis(z: Tensor, epsilon: Tensor, t: Tensor, derived: bool = True) -> tuple[Tensor, Tensor]:
    """Powers p = v^(1/epsilon) and v = 1 + epsilon (z - t) where v > 0; else 0 and 1.

    With `derived` epsilon may be 0, and derivatives with respect to it are right near 0.
    """
    support = 1.0 + epsilon * (z - t) > 0
    if derived:  # all of a row that holds a NaN, and thus has no threshold
        support = support | t.isnan()
    u = torch.where(support, z, t) - t
    x = epsilon * u
    logarithm = u * _log1p_ratio(x) if derived else torch.log1p(x) / epsilon
    return torch.where(support, torch.exp(logarithm), 0.0), 1.0 + x


def _log1p_ratio(x: Tensor) -> Tensor:
    """log(1 + x)/x, with all derivatives right also near 0."""
    near = x.abs() < 0.02
    small = torch.where(near, x, 0.0)
    series = torch.zeros_like(x)
    for n in range(10, 0, -1):
        series = (-1.0) ** (n - 1) / n + small * series
    far = torch.where(near, 1.0, x)
    return torch.where(near, series, torch.log1p(far) / far)


def _entmax_threshold(z: Tensor, epsilon: Tensor, corrections: int) -> Tensor:
    """Threshold t with sum p = 1, for scores whose largest is 0.

    The search takes the equation as |v| = 1 in the (1/epsilon)-norm, which is convex in t (and
    linear for softmax): Newton steps from t = 0, where it is at least 1, never overshoot.
    """
    fixed, small = z.detach(), epsilon.detach().clamp_min(torch.finfo(z.dtype).tiny ** 0.5)
    t = torch.zeros_like(fixed[..., :1])
    for _ in range(_SEARCH):
        p, v = _tsallis(fixed, small, t, derived=False)
        total = p.sum(-1, keepdim=True)
        excess = -torch.expm1(-small * torch.log(total)) / small
        t = t + excess * total / (p / v).sum(-1, keepdim=True)
    for _ in range(corrections):
        p, v = _tsallis(z, epsilon, t)
        t = t + (p.sum(-1, keepdim=True) - 1.0) / (p / v).sum(-1, keepdim=True)
    return t


def _ramps(z: Tensor, alpha: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """d^(1/(alpha - 1)) and d^(alpha/(alpha - 1)) with d = max(z - t, 0)."""
    support = ~(z <= t)  # of a row that holds a NaN, all
    distance = torch.where(support, z, t + 1.0) - t
    w = torch.where(support, torch.exp(torch.log(distance) / (alpha - 1.0)), 0.0)
    return w, w * distance


def _normmax_threshold(z: Tensor, alpha: Tensor) -> Tensor:
    """Threshold t with |max(z - t, 0)| = 1 in the dual norm, which is convex in t as above."""
    fixed, order = z.detach(), alpha.detach()
    t = torch.full_like(fixed[..., :1], -1.0)
    for _ in range(_SEARCH):
        w, power = _ramps(fixed, order, t)
        total = power.sum(-1, keepdim=True)
        t = t + (total - total ** (1.0 / order)) / w.sum(-1, keepdim=True)
    for _ in range(_CORRECTIONS):
        w, power = _ramps(z, alpha, t)
        slope = w.sum(-1, keepdim=True) * (alpha / (alpha - 1.0))
        t = t + (power.sum(-1, keepdim=True) - 1.0) / slope
    return t


SPARSEMAX, ENTMAX = Sparsemax(_sparsemax_by_sorting), Entmax(_entmax_by_search)


def _conjugate_rows(
    weights: Callable[..., Tensor],
    value: Callable[..., Tensor],
    doc: str,
    *limits: float,
    rows: RowKernel | None = None,
) -> list[Function]:
    """Sparse weights and the convex conjugate whose gradient they are (`conjugates`)."""
    name, takes_n, gives_one = weights.__name__, takes(("N",)), reduces("N", ("N",))
    if limits:
        takes_n, gives_one = parametrised(takes_n, *limits), parametrised(gives_one, *limits)
    arity, about = 2 if limits else 1, f"the scalar whose gradient is {name}"
    doc = f"{doc}, over the visible patterns"
    return [
        Function(
            name, arity, takes_n, doc, smooth=False, torch=weights, hidden=-math.inf, rows=rows
        ),
        Function(
            f"{name}_conj",
            arity,
            gives_one,
            about,
            smooth=False,
            gradient=name,
            torch=value,
            hidden=-math.inf,
        ),
    ]


CONJUGATES = [
    *_conjugate_rows(sparsemax, sparsemax_conj, "projection on the simplex", rows=SPARSEMAX),
    *_conjugate_rows(
        entmax,
        entmax_conj,
        "between softmax (alpha = 1) and sparsemax (2)",
        1.0,
        2.0,
        rows=ENTMAX,
    ),
    *_conjugate_rows(
        normmax,
        normmax_conj,
        "near-uniform weights on a sparse support",
        1.0,
        math.inf,
    ),
    *_conjugate_rows(
        ksubsets,
        ksubsets_conj,
        "weights up to 1 that sum to k",
        0.0,
        math.inf,
    ),
]
