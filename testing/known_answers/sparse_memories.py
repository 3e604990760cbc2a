"""Memories with sparse weights: projections by enumeration, and the leads that retrieve exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import attention_weights, relax
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def simplex_projection(spec: EnergySpec) -> tuple[float, float]:
    """Weights are the point of the simplex nearest to beta X xi + h, over all 2^N supports."""
    xi, X, field = problem(203)
    beta = 2.0
    z = beta * xi @ X.mT + field
    best, nearest = torch.full(z.shape[:-1], torch.inf), torch.zeros_like(z)
    for chosen in itertools.product((False, True), repeat=PATTERNS):
        if not any(chosen):
            continue
        support = torch.tensor(chosen)
        t = (torch.where(support, z, 0.0).sum(-1, keepdim=True) - 1.0) / sum(chosen)
        y = torch.where(support, z - t, 0.0)
        distance = (y - z).square().sum(-1)
        better = (y >= 0).all(-1) & (distance < best)
        best = torch.where(better, distance, best)
        nearest = torch.where(better.unsqueeze(-1), y, nearest)
    energy = single(spec, beta=beta)
    error = error_of(attention_weights(energy, xi, X, field=field), nearest)
    # |z - y|^2/2 = |z|^2/2 - (y'z - |y|^2/2), so the conjugate is what the distance leaves.
    conjugate = 0.5 * (z.square().sum(-1) - best + 1.0)
    want = 0.5 * xi.square().sum(-1) - conjugate / beta
    return max(error, error_of(energy(xi, X, field=field), want)), 1e-12


def box_projection(spec: EnergySpec) -> tuple[float, float]:
    """Weights are the point of 0 <= y <= 1, sum y = k, nearest to beta X xi + h, over all faces."""
    xi, X, field = problem(204)
    beta, error = 2.0, 0.0
    z = beta * xi @ X.mT + field
    for k in (1, 2, 3):
        best, nearest = torch.full(z.shape[:-1], torch.inf), torch.zeros_like(z)
        for face in itertools.product((0, 1, 2), repeat=PATTERNS):  # 0, 1 or free
            place = torch.tensor(face)
            free, full = place == 2, place == 1
            if free.any():
                rest = torch.where(free, z, 0.0).sum(-1, keepdim=True) + full.sum() - k
                y = torch.where(free, z - rest / free.sum(), full.double())
            else:
                y = full.double().expand_as(z)
            distance = (y - z).square().sum(-1)
            allowed = (y >= 0).all(-1) & (y <= 1).all(-1) & ((y.sum(-1) - k).abs() < 1e-9)
            better = allowed & (distance < best)
            best = torch.where(better, distance, best)
            nearest = torch.where(better.unsqueeze(-1), y, nearest)
        energy = single(spec, beta=beta, k=k)
        error = max(error, error_of(attention_weights(energy, xi, X, field=field), nearest))
        conjugate = 0.5 * (z.square().sum(-1) - best + k)
        want = 0.5 * xi.square().sum(-1) - conjugate / beta
        error = max(error, error_of(energy(xi, X, field=field), want))
    return error, 1e-12


def _margin(spec: EnergySpec, margin: float, leaders: int = 1, **settings: float) -> float:
    """Largest error of one step if `leaders` scores lead by the margin; inf if less does it too."""
    X = torch.eye(DIM, dtype=torch.float64)
    beta = 0.8
    energy = single(spec, DIM, beta=beta, **settings)
    target = torch.zeros(DIM, dtype=torch.float64)
    target[:leaders] = 1.0
    steps = [
        relax(energy, lead / beta * target.unsqueeze(0) + 0.3, X, step_size=1.0, backend=backend)
        for lead in (margin, 0.99 * margin)
        for backend in ("eager", "scores")
    ]
    errors = [error_of(step.state, target) for step in steps]
    return math.inf if min(errors[2:]) < 1e-6 else max(errors[:2])


def sparsemax_margin(spec: EnergySpec) -> tuple[float, float]:
    """A pattern whose score leads by exactly 1 is retrieved exactly in one step; by 0.99 not."""
    return _margin(spec, 1.0), 1e-12


def entmax_margin(spec: EnergySpec) -> tuple[float, float]:
    """Exact retrieval in one step begins at a lead of 1/(alpha - 1)."""
    return max(_margin(spec, 1 / e, excess=e) for e in (0.6, 0.8, 0.95)), 1e-12


def normmax_margin(spec: EnergySpec) -> tuple[float, float]:
    """Exact retrieval in one step begins at a lead of 1, for every order of the norm."""
    return max(_margin(spec, 1.0, excess=e) for e in (0.5, 1.0, 3.0)), 1e-12


def subset_margin(spec: EnergySpec) -> tuple[float, float]:
    """Leads of 1 of k patterns retrieve all of them in one step: their sum."""
    return max(_margin(spec, 1.0, leaders=k, k=k) for k in (1, 2, 3)), 1e-12


def entmax_limits(spec: EnergySpec) -> tuple[float, float]:
    """Near alpha = 1 attention; at 2 projection on the simplex; at 1.5 squares of a line."""
    xi, X, _ = problem(205)
    beta = 1.5
    z = beta * xi @ X.mT
    soft = single(spec, beta=beta, excess=1e-13)
    want = scaled_dot_product_attention(xi, X, X, scale=beta)
    error = error_of(relax(soft, xi, X, step_size=1.0, backend="eager").state, want)
    log_sum = torch.log(torch.exp(z).sum(-1))
    error = max(error, error_of(soft(xi, X), 0.5 * xi.square().sum(-1) - log_sum / beta))
    sparse = attention_weights(single(spec, beta=beta, excess=1 - 1e-13), xi, X)
    error = max(error, error_of(sparse, _level(z, lambda d: d)))
    half = attention_weights(single(spec, beta=beta, excess=0.5), xi, X)
    return max(error, error_of(half, _level(0.5 * z, lambda d: d * d))), 1e-10


def normmax_optimality(spec: EnergySpec) -> tuple[float, float]:
    """The order 2 by bisection, and E is the objective at the weights, for every order."""
    xi, X, field = problem(206)
    beta, error = 1.5, 0.0
    z = beta * xi @ X.mT + field
    ramps = _level(z, torch.square).sqrt()
    got = attention_weights(single(spec, beta=beta, excess=1.0), xi, X, field=field)
    error = max(error, error_of(got, ramps / ramps.sum(-1, keepdim=True)))
    for excess in (0.3, 1.0, 3.0):
        energy = single(spec, beta=beta, excess=excess)
        y = attention_weights(energy, xi, X, field=field)
        order = 1 + excess
        conjugate = (y * z).sum(-1) - y.pow(order).sum(-1).pow(1 / order) + 1.0
        want = 0.5 * xi.square().sum(-1) - conjugate / beta
        error = max(error, error_of(energy(xi, X, field=field), want))
    return error, 1e-11


def _level(z: Tensor, power: Callable[[Tensor], Tensor]) -> Tensor:
    """power(max(z - t, 0)) with the t that makes the sum 1, by bisection."""
    low, high = z.amax(-1, keepdim=True) - 1.0, z.amax(-1, keepdim=True)
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = power((z - middle).clamp_min(0.0)).sum(-1, keepdim=True) >= 1.0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return power((z - low).clamp_min(0.0))


ANSWERS = (
    simplex_projection,
    box_projection,
    sparsemax_margin,
    entmax_margin,
    normmax_margin,
    subset_margin,
    entmax_limits,
    normmax_optimality,
)
