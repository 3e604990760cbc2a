"""Memories over stored patterns: kernels of distances, learned metrics, sinks and gates."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import relax
from attenergy.energies import Energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def _mean_under(weights: Tensor, X: Tensor) -> Tensor:
    return (weights.unsqueeze(-1) * X.unsqueeze(-3)).sum(-2) / weights.sum(-1, keepdim=True)


def _square_distances(xi: Tensor, X: Tensor) -> Tensor:
    return (xi.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1)


def mean_shift(spec: EnergySpec) -> tuple[float, float]:
    """One step moves a state to the mean of the patterns under a Gaussian around it."""
    xi, X, field = problem(200)
    error = 0.0
    for beta in (0.4, 3.0):
        weights = torch.exp(-0.5 * beta * _square_distances(xi, X) + field)
        got = relax(single(spec, beta=beta), xi, X, field=field, step_size=1.0).state
        error = max(error, error_of(got, _mean_under(weights, X)))
    return error, 1e-12


def _log_partition(energy: Energy, X: Tensor, beta: float, half: float, points: int) -> Tensor:
    """Logarithm of the integral of exp(-beta E) over a square of the plane, by the midpoint rule.

    A kernel's curvature at its edge leaves an error that falls with the square of the spacing.
    """
    width = 2 * half / points
    axis = -half + width * (torch.arange(points, dtype=torch.float64) + 0.5)
    grid = torch.cartesian_prod(axis, axis)
    return torch.logsumexp(-beta * energy(grid, X), 0) + 2 * math.log(width)


def gaussian_kernel_partition(spec: EnergySpec) -> tuple[float, float]:
    """Z = int exp(-beta E), D = 2, is N (2 pi/beta)^(D/2) by quadrature, wherever patterns lie."""
    beta = 0.7
    X = draw(201, PATTERNS, 2)
    got = _log_partition(single(spec, 2, beta=beta), X, beta, 14.0, 800)
    return error_of(got, got.new_tensor(math.log(PATTERNS * 2 * math.pi / beta))), 1e-9


def all_binary_patterns(spec: EnergySpec) -> tuple[float, float]:
    """With all 2^D patterns of +-1 stored, E = -exp(-beta D) prod_i 2 cosh(beta xi_i)/beta."""
    X = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=DIM))).double()
    error = 0.0
    for beta in (0.2, 1.5):
        energy = single(spec, beta=beta)
        xi = energy.project(draw(202, 5, DIM))
        want = -math.exp(-beta * DIM) * (2 * torch.cosh(beta * xi)).prod(-1) / beta
        error = max(error, error_of(energy(xi, X), want))
        # -grad E = exp(-beta D) 2^D sinh(beta xi_i) prod_(j != i) cosh(beta xi_j).
        slope = -want.unsqueeze(-1) * beta * torch.tanh(beta * xi)
        moved = xi + 3.0 * slope
        moved = math.sqrt(DIM) * moved / moved.norm(dim=-1, keepdim=True)
        error = max(error, error_of(relax(energy, xi, X, step_size=3.0).state, moved))
    return error, 1e-12


def single_step_retrieval(spec: EnergySpec) -> tuple[float, float]:
    """One step lands on the pattern alone in reach, on the mean of two, or stays out of reach."""
    beta = 0.5  # reach sqrt(2/beta) = 2
    X = torch.zeros(3, DIM, dtype=torch.float64)
    X[0, 0], X[1, 0], X[2, 1] = 10.0, 11.0, -10.0
    energy = single(spec, beta=beta)
    near = 0.4 * torch.nn.functional.normalize(draw(207, 3, DIM), dim=-1)
    starts = torch.stack([X[2] + near[0], 0.5 * (X[0] + X[1]) + near[1], near[2]])
    wants = torch.stack([X[2], 0.5 * (X[0] + X[1]), near[2]])
    got = [relax(energy, starts, X, step_size=1.0, backend=b).state for b in ("eager", "scores")]
    return max(error_of(state, wants) for state in got), 1e-12


def log_sum_relu_partition(spec: EnergySpec) -> tuple[float, float]:
    """Z is N V_D (2/beta)^(D/2) 2/(D + 2) by quadrature, D = 2, as eps goes to 0."""
    beta = 0.9
    X = draw(208, PATTERNS, 2)
    energy = single(spec, 2, beta=beta, eps=1e-14)
    want = math.log(PATTERNS) + math.log(math.pi) + math.log(2 / beta) + math.log(0.5)
    got = _log_partition(energy, X, beta, 6.0, 1200)
    return error_of(got, got.new_tensor(want)), 1e-6


def kernel_mean_shift(spec: EnergySpec) -> tuple[float, float]:
    """One step is the mean of the patterns under -k' of the kernel, and E is -log sum k/beta."""
    xi, X, field = problem(209)
    beta, eps, error = 0.15, 1e-3, 0.0
    z = 0.5 * beta * _square_distances(xi, X)
    for name, power in (("quartic", 2), ("triweight", 3)):
        energy = single(spec, log_sum=name, beta=beta, eps=eps)
        ramps = (1 + field - z).clamp_min(0.0)
        error = max(error, error_of(energy(xi, X, field=field), -_log(ramps**power, eps) / beta))
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, error_of(got, _mean_under(ramps ** (power - 1), X)))
    for name, power in (("student_t", 2), ("cauchy", 1)):
        energy = single(spec, log_sum=name, beta=beta)
        values = torch.exp(field) / (1 + z) ** power
        error = max(error, error_of(energy(xi, X, field=field), -_log(values, 0.0) / beta))
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, error_of(got, _mean_under(values / (1 + z), X)))
    return error, 1e-11


def _log(values: Tensor, floor: float) -> Tensor:
    return torch.log(floor + values.sum(-1))


def attention_with_zero_sink(spec: EnergySpec) -> tuple[float, float]:
    """One step is `scaled_dot_product_attention` with a key and a value of zeros added."""
    xi, X, field = problem(210)
    more = torch.cat([X, torch.zeros_like(X[..., :1, :])], -2)
    bias = torch.cat([field, torch.zeros_like(field[..., :1])], -1)
    error = 0.0
    for beta in (0.3, 2.0, 50.0):
        want = scaled_dot_product_attention(xi, more, more, attn_mask=bias, scale=beta)
        for backend in ("eager", "scores"):
            energy = single(spec, beta=beta)
            got = relax(energy, xi, X, field=field, step_size=1.0, backend=backend).state
            error = max(error, error_of(got, want))
    return error, 1e-12


def fast_weights(spec: EnergySpec) -> tuple[float, float]:
    """With a causal mask one step reads a matrix to which x x' is added token after token."""
    X = draw(211, 2, PATTERNS, DIM)
    xi = draw(212, 2, PATTERNS, DIM)
    beta = 0.3
    memory = torch.zeros(2, DIM, DIM, dtype=torch.float64)
    want = []
    for time in range(PATTERNS):
        memory = memory + beta * X[:, time, :, None] * X[:, time, None, :]
        want.append((memory @ xi[:, time, :, None]).squeeze(-1))
    causal = torch.ones(PATTERNS, PATTERNS, dtype=torch.bool).tril()
    got = relax(single(spec, beta=beta), xi, X, mask=causal, step_size=1.0, backend="eager").state
    return error_of(got, torch.stack(want, -2)), 1e-12


def _metric(energy: Energy, name: str) -> Tensor:
    """Give an energy a random map, and return it."""
    matrix = torch.eye(DIM, dtype=torch.float64) + 0.4 * draw(213, DIM, DIM)
    with torch.no_grad():
        energy.get_parameter(f"parameters_.raw.{name}").copy_(matrix)
    return matrix


def _gradient(energy: Energy, xi: Tensor, X: Tensor, field: Tensor) -> Tensor:
    state = xi.clone().requires_grad_()
    return torch.autograd.grad(energy(state, X, field=field).sum(), state)[0]


def whitened_mean_shift(spec: EnergySpec) -> tuple[float, float]:
    """E and its gradient are those of a Gaussian kernel on the vectors A xi and A x_n."""
    xi, X, field = problem(214)
    beta = 0.6
    energy = single(spec, beta=beta)
    A = _metric(energy, "A")
    state, stored = xi @ A.mT, X @ A.mT
    values = torch.exp(-0.5 * beta * _square_distances(state, stored) + field)
    error = error_of(energy(xi, X, field=field), -torch.log(values.sum(-1)) / beta)
    want = (state - _mean_under(values, stored)) @ A  # A' times the gradient in the map's image
    return max(error, error_of(_gradient(energy, xi, X, field), want)), 1e-12


def mapped_attention(spec: EnergySpec) -> tuple[float, float]:
    """The gradient is K (xi - attention(xi, K X, X)), the field being its additive mask."""
    xi, X, field = problem(215)
    beta = 0.6
    energy = single(spec, beta=beta)
    Phi = _metric(energy, "Phi")
    kernel = Phi.mT @ Phi
    read = scaled_dot_product_attention(xi, X @ kernel, X, attn_mask=field, scale=beta)
    error = error_of(_gradient(energy, xi, X, field), (xi - read) @ kernel)
    plain = single(spec, beta=beta)  # K is the identity at the start
    want = scaled_dot_product_attention(xi, X, X, attn_mask=field, scale=beta)
    return max(error, error_of(relax(plain, xi, X, field=field).state, want)), 1e-12


def gated_principal_direction(spec: EnergySpec) -> tuple[float, float]:
    """The descent ends at the leading eigenvector of X' diag(a(h)) X."""
    X, field = draw(216, PATTERNS, DIM), 2.0 * draw(217, 1, PATTERNS)
    gates = {
        "softplus": torch.log(1 + torch.exp(field)) / math.log(2),
        "relu": torch.where(field > -1, 1 + field, 0.0),
        "sigmoid": 2 / (1 + torch.exp(-field)),
    }
    error = 0.0
    for name, gate in gates.items():
        energy = single(spec, gate=name, beta=0.5)
        state = relax(energy, draw(218, 1, DIM), X, field=field, steps=400, step_size=1e6).state
        values, vectors = torch.linalg.eigh(X.mT @ (gate.squeeze(0).unsqueeze(-1) * X))
        cosine = (state @ vectors[:, -1]).abs() / math.sqrt(DIM)
        error = max(error, error_of(cosine, torch.ones_like(cosine)))
        lowest = -0.25 * DIM * values[-1:]  # -beta/2 |xi|^2 times the eigenvalue
        error = max(error, error_of(energy(state, X, field=field), lowest))
    return error, 1e-9


ANSWERS = (
    mean_shift,
    gaussian_kernel_partition,
    all_binary_patterns,
    single_step_retrieval,
    log_sum_relu_partition,
    kernel_mean_shift,
    attention_with_zero_sink,
    fast_weights,
    whitened_mean_shift,
    mapped_attention,
    gated_principal_direction,
)
