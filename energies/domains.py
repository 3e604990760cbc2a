"""Where states live, and what a step is there.

A step of descent is taken in the coordinates that belong to a domain, and cannot leave it:

    real           xi - d                             all of R^D
    sphere         sqrt(D) (xi - d)/|xi - d|          |xi| = sqrt(D)
    layer_norm     LN(xi - d), without gain           mean 0 and variance 1
    magnetisation  tanh(atanh(xi) - d)                -1 < xi_i < 1, means of spins
    simplex        softmax(log(xi) - d)               xi_i > 0, sum_i xi_i = 1
    spin           sign(-d)                           xi_i = -1 or 1

with d = gamma/A grad E. For E = -v(xi) - S(xi)/beta, v convex and S the entropy of the
magnetisations or of the simplex, A = 1/beta and gamma = 1 give the mean-field equation.

On the sphere and in `layer_norm` no step of any size raises E if -E is convex: the new state is
the point of the domain that is nearest to xi - d, so it lies at least as low along grad E as xi.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Domain:
    """One domain.

    Attributes:
        project: a point near the domain to a point in it; points in it stay (to rounding).
        enter: any real vector into the domain, smoothly where there is a smooth way.
        move: (xi, d) to the state after a step.
        largest_step: below this gamma a step is safe if E is a convex part in A minus a convex v.
    """

    project: Map
    enter: Map
    move: Callable[[Tensor, Tensor], Tensor]
    largest_step: float


def _keep(xi: Tensor) -> Tensor:
    return xi


def _to_sphere(xi: Tensor) -> Tensor:
    # The floor under the root keeps the derivative at xi = 0 finite.
    floor = torch.finfo(xi.dtype).eps
    return xi * torch.rsqrt((xi * xi).mean(-1, keepdim=True) + floor)


def _layer_norm(xi: Tensor) -> Tensor:
    """Mean 0 and variance 1: the sphere, cut by the plane sum_i xi_i = 0."""
    return _to_sphere(xi - xi.mean(-1, keepdim=True))


def _inside(xi: Tensor) -> Tensor:
    """Magnetisations at distance sqrt(eps) from +-1, where atanh is still finite and exact."""
    edge = 1.0 - torch.finfo(xi.dtype).eps ** 0.5
    return xi.clamp(-edge, edge)


def _to_simplex(xi: Tensor) -> Tensor:
    positive = xi.clamp_min(torch.finfo(xi.dtype).eps ** 2)
    return positive / positive.sum(-1, keepdim=True)


def _signs(xi: Tensor) -> Tensor:
    """+1 from 0 on, with derivatives of 0: what made the states has a gradient. NaN stays NaN."""
    return torch.where(xi.isnan(), xi, torch.sign(torch.where(xi == 0, 1.0, xi)))


def _spin_move(xi: Tensor, d: Tensor) -> Tensor:
    """Against the gradient; a spin without a preference stays, one with NaN is NaN."""
    moved = torch.where(d == 0, xi, -torch.sign(d))
    return torch.where(d.isnan() | xi.isnan(), math.nan, moved)


DOMAINS: dict[str, Domain] = {
    "real": Domain(_keep, _keep, lambda xi, d: xi - d, 2.0),
    "sphere": Domain(_to_sphere, _to_sphere, lambda xi, d: _to_sphere(xi - d), float("inf")),
    "layer_norm": Domain(_layer_norm, _layer_norm, lambda xi, d: _layer_norm(xi - d), float("inf")),
    "magnetisation": Domain(
        _inside,
        lambda xi: _inside(torch.tanh(xi)),
        lambda xi, d: _inside(torch.tanh(torch.atanh(_inside(xi)) - d)),
        1.0,
    ),
    "simplex": Domain(
        _to_simplex,
        lambda xi: torch.softmax(xi, -1),
        lambda xi, d: torch.softmax(torch.log(_to_simplex(xi)) - d, -1),
        1.0,
    ),
    "spin": Domain(_signs, _signs, _spin_move, float("inf")),
}
