"""Log-sum-exp and dense memories."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import relax
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def softmax_attention(spec: EnergySpec) -> tuple[float, float]:
    """One step from xi is `scaled_dot_product_attention`, the field being its additive mask."""
    xi, X, field = problem()
    error = 0.0
    for beta in (0.3, 1 / math.sqrt(DIM), 2.0):
        energy = single(spec, beta=beta)
        want = scaled_dot_product_attention(xi, X, X, attn_mask=field, scale=beta)
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, error_of(got, want))
    return error, 1e-12


def gaussian_mixture_partition(spec: EnergySpec) -> tuple[float, float]:
    """Z = int exp(-beta E) by quadrature is (2 pi/beta)^(D/2) sum_n exp(beta |x_n|^2/2), D = 2."""
    beta = 0.7
    energy = single(spec, 2, beta=beta)
    X = 0.8 * draw(43, PATTERNS, 2)
    axis = torch.linspace(-14, 14, 1401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    cell = (axis[1] - axis[0]) ** 2
    numeric = torch.logsumexp(-beta * energy(grid, X), 0) + torch.log(cell)
    exact = math.log(2 * math.pi / beta) + torch.logsumexp(0.5 * beta * (X * X).sum(-1), 0)
    return error_of(numeric, exact), 1e-9


def power_iteration(spec: EnergySpec) -> tuple[float, float]:
    """With power 2 and patterns in pairs +-x the descent finds the leading eigenvector of X'X."""
    energy = single(spec, power=2)
    half = draw(44, 4, DIM)
    X = torch.cat([half, -half])
    state = relax(energy, draw(45, 1, DIM), X, steps=400, step_size=1e6).state
    leading = torch.linalg.eigh(half.mT @ half).eigenvectors[:, -1]
    cosine = (state @ leading).abs() / math.sqrt(DIM)
    return error_of(cosine, torch.ones_like(cosine)), 1e-9


ANSWERS = (
    softmax_attention,
    gaussian_mixture_partition,
    power_iteration,
)
