"""How firm a fixed point is: the spectral radius of the update's Jacobian there."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.analysis.attractors.rest import update
from attenergy.attention.solvers.problem import Problem

#: Products with the Jacobian; the radius is the mean growth over the second half of them.
PRODUCTS = 60


def spectral_radius(
    problem: Problem, xi: Tensor, generator: torch.Generator, products: int = PRODUCTS
) -> Tensor | None:
    r"""The largest |eigenvalue| of J = d T/d xi, T the update, by power iteration with J'v.

    Below 1 the fixed point attracts, and errors shrink by this factor per step near it; at 1 it
    splits or merges with another. For log-sum-exp with gamma = 1, J = beta X'(diag p - p p')X, so
    the radius is beta times the largest variance of the patterns under p along any direction.

    Args:
        problem: with states that do not interact, or that do: then J is that of all states.
        xi: fixed points (N, H, L, D).
        generator: source of the first vectors.
        products: with J', from 2.

    Returns:
        (N, H, L), or (N, H) where states interact; None for spins, which have no derivatives.
    """
    if problem.energy.domain.discrete:
        return None
    axes = problem.axes
    _, pull = torch.func.vjp(lambda state: update(problem, state), xi.detach())[:2]
    v = torch.randn(xi.shape, generator=generator, dtype=torch.float64).to(xi)
    v = v / _length(v, axes).clamp_min(torch.finfo(xi.dtype).tiny)
    growth = []
    for _ in range(products):
        v = pull(v)[0].detach()
        length = _length(v, axes)
        growth.append(length)
        v = v / torch.where(length > 0, length, 1.0)
    late = torch.stack(growth[products // 2 :])
    radius = late.log().mean(0).exp()  # 0 where J'v is
    return radius.squeeze(axes)


def _length(v: Tensor, axes: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return length
