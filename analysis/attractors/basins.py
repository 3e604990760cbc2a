"""What lies around a fixed point: how far patterns are apart, and from where one comes back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.analysis.attractors.rest import REST, iterate
from attenergy.analysis.attractors.subsets import landscapes, visible
from attenergy.attention.solvers.problem import Problem

#: How far starts are from the fixed point, in units of the spread of the patterns.
RADII = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
#: Two states closer than this share of the spread are one fixed point.
NEAR = 0.01
#: Most patterns of one head whose separation is computed, and samples they are taken from.
MOST_PATTERNS = 256


def separation(problem: Problem, xi: Tensor) -> Tensor:
    """Delta_i = x_i'x_i - max_{j != i} x_i'x_j of the patterns of each head, (H, n).

    A pattern with Delta_i > 0 is nearer (by product) to itself than to any other; the larger
    beta Delta_i, the closer to it a log-sum-exp comes to rest (Ramsauer et al. 2020, theorem 5).

    Args:
        problem: of the patterns (B, H, S, D).
        xi: its states (B, H, L, D).
    """
    X = problem.stored(xi)
    heads = xi.shape[1]
    seen = visible(problem, xi).any(2)  # (B|1, H|1, S)
    parts = []
    for sample in range(X.shape[0]):
        here = X[sample]
        there = seen[sample if seen.shape[0] > 1 else 0].expand(here.shape[0], -1)
        rows = slice(None) if here.shape[1] <= MOST_PATTERNS else slice(0, MOST_PATTERNS)
        products = here[:, rows] @ here.mT  # (H, n, S)
        own = torch.diagonal(products, dim1=-2, dim2=-1)
        itself = torch.eye(*products.shape[-2:], dtype=torch.bool, device=X.device)
        others = products.masked_fill(itself | ~there.unsqueeze(1), -torch.inf).amax(-1)
        apart = (own - others).masked_fill(~there[:, rows] | others.isinf(), torch.nan)
        parts.append(apart.expand(heads, -1))
    return torch.cat(parts, -1)


@dataclass(frozen=True, eq=False)
class Basins:
    """From where states come back to a fixed point, for N fixed points of H heads.

    Attributes:
        returned: (R, N, H) share of the starts at each distance `RADII` that end in it.
        reached: (N, H) share of random starts that end in it.
        ends: (N, H) number of different fixed points in which random starts end.
        spread: (N, H) unit of the distances: root mean square distance of the patterns from their
            mean.
    """

    returned: Tensor
    reached: Tensor
    ends: Tensor
    spread: Tensor


def basins(
    problem: Problem,
    places: tuple[Tensor, Tensor],
    points: Tensor,
    *,
    directions: int,
    starts: int,
    generator: torch.Generator,
    tolerance: float,
    max_steps: int,
) -> Basins:
    """Start around fixed points and anywhere, and see where that ends.

    A start at distance r is x* + r u with u of random direction, in the energy's domain; a random
    start is drawn from the normal distribution with the mean of the patterns and their spread.

    Args:
        problem: of the patterns (B, H, S, D).
        places: samples and positions (N,) of the states.
        points: their fixed points (N, H, D); (N, H, L, D) where states interact.
        directions: starts at each distance.
        starts: random starts.
        generator: source of directions and starts.
        tolerance: as for `iterate`.
        max_steps: as for `iterate`.
    """
    samples, positions = places
    interact = problem.energy.states_interact
    joint = points if interact else points.unsqueeze(2)  # (N, H, L|1, D)
    mean, spread = _cloud(problem, samples, positions, joint)
    unit = spread[:, :, None, None]

    def noise(times: int) -> Tensor:
        shape = (len(points), times, *joint.shape[1:])
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(points)

    around = []
    for radius in RADII:
        u = noise(directions)
        u = u / torch.linalg.vector_norm(u, dim=-1, keepdim=True)
        around.append(joint.unsqueeze(1) + radius * unit.unsqueeze(1) * u)
    anywhere = mean.unsqueeze(1) + unit.unsqueeze(1) * noise(starts) / points.shape[-1] ** 0.5
    begun = torch.cat([*around, anywhere], 1)  # (N, M, H, L|1, D)
    if not interact:
        begun = begun.squeeze(3).transpose(1, 2)  # (N, H, M, D)
    posed, xi = landscapes(problem, samples, positions, begun)
    ended = iterate(posed, xi, tolerance=tolerance, max_steps=max_steps)
    state, rests = ended.state, ended.outcome == REST
    if interact:
        state = state.reshape(len(points), -1, *state.shape[1:]).transpose(1, 2)  # (N, H, M, L, D)
        rests = rests.reshape(len(points), -1, *rests.shape[1:]).all(-1).transpose(1, 2)
    else:
        state = state.unsqueeze(3)
    size = torch.linalg.vector_norm(joint, dim=(-2, -1)) / joint.shape[2] ** 0.5
    least = 100 * tolerance * size.clamp_min(points.shape[-1] ** 0.5)
    near = torch.maximum(NEAR * spread, least)
    away = _distance(state, joint.unsqueeze(2))
    here = (away <= near.unsqueeze(-1)) & rests  # (N, H, M)
    many = len(RADII) * directions
    near_by = here[..., :many].reshape(*here.shape[:2], len(RADII), directions)
    returned = near_by.double().mean(-1)
    count = _different(state[:, :, many:], rests[..., many:], near)
    return Basins(
        returned.movedim(-1, 0), here[..., many:].double().mean(-1), count, spread.double()
    )


def half_radius(returned: list[float]) -> float | None:
    """The distance from which half of the starts return, between `RADII`; None if from all.

    Where already from the first distance fewer return, that distance times their share over half.
    """
    if returned[0] < 0.5:
        return RADII[0] * returned[0] / 0.5
    for index in range(1, len(RADII)):
        high, low = returned[index - 1], returned[index]
        if low < 0.5:
            part = (high - 0.5) / (high - low)
            return RADII[index - 1] + part * (RADII[index] - RADII[index - 1])
    return None


def _cloud(
    problem: Problem, samples: Tensor, positions: Tensor, joint: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean (N, H, 1, D) and spread (N, H) of what each state sees, or of the states themselves."""
    if not problem.energy.reads_patterns:
        mean = joint.mean(2, keepdim=True)
        away = torch.linalg.vector_norm(joint - mean, dim=-1)
        return mean, away.square().mean(-1).sqrt()
    X = problem.X.expand(*(1,) * (4 - problem.X.ndim), *problem.X.shape)
    X = X[samples] if X.shape[0] > 1 else X
    X = X.expand(len(samples), joint.shape[1], -1, -1)
    seen = visible(problem, X)
    seen = seen[samples] if seen.shape[0] > 1 else seen
    if problem.energy.states_interact or seen.shape[2] == 1:
        share = seen.any(2).expand(X.shape[:-1])
    else:
        first = torch.arange(len(samples)) if seen.shape[0] > 1 else torch.zeros_like(samples)
        share = seen[first, :, positions].expand(X.shape[:-1])
    weight = share.to(X).unsqueeze(-1)
    count = weight.sum(2, keepdim=True).clamp_min(1)
    mean = (X * weight).sum(2, keepdim=True) / count
    square = ((X - mean) * weight).square().sum((-2, -1)) / count.squeeze((-2, -1))
    return mean, square.sqrt()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square distance over the states (..., L, D) of one sample."""
    distance: Tensor = torch.linalg.vector_norm(a - b, dim=-1).square().mean(-1).sqrt()
    return distance


def _different(state: Tensor, rests: Tensor, near: Tensor) -> Tensor:
    """How many points differ among those at rest: each that no earlier one is near, (N, H)."""
    away = _distance(state.unsqueeze(3), state.unsqueeze(2))  # (N, H, M, M)
    both = rests.unsqueeze(-1) & rests.unsqueeze(-2)
    same = (away <= near[..., None, None]) & both
    earlier = torch.tril(same, diagonal=-1).any(-1)
    return (rests & ~earlier).sum(-1)
