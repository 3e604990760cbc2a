"""Pure powers of the overlap, and binary spins with thresholds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attenergy.attention import AssociativeMemory
from attenergy.energies import Energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import error_of, problem, single

_SPINS = 64
_DRAWS = 8


def _binary(seed: int, *shape: int) -> Tensor:
    return torch.where(draw(seed, *shape) > 0, 1.0, -1.0).double()


def _hebb(X: Tensor) -> Tensor:
    """X'X/D without its diagonal, by a loop."""
    weights = torch.stack([torch.outer(x, x) for x in X]).sum(0) / X.shape[1]
    return weights - torch.diag(torch.diag(weights))


def power_two_is_classical(spec: EnergySpec) -> tuple[float, float]:
    """With power 2 and beta = 1/D, E + N/2 is -1/2 s'Ws, and spins in turn recall the same."""
    X, s = _binary(230, 3, 8), _binary(231, 20, 8)
    weights = _hebb(X)
    memory = AssociativeMemory(spec, power=2, beta=1 / 8).store(X)
    want = -0.5 * ((s @ weights) * s).sum(-1)
    error = error_of(memory.energy(s) + 0.5 * len(X), want)
    recalled = memory.recall(s, mode="sequential", order="fixed").state
    spins = s.clone()
    for _ in range(20):
        for i in range(8):
            local = spins @ weights[i]
            spins[:, i] = torch.where(local.abs() > 1e-9, local.sign(), spins[:, i])
    return max(error, error_of(recalled, spins)), 1e-12


def odd_powers_keep_the_sign(spec: EnergySpec) -> tuple[float, float]:
    """E and its gradient are those of -sum z^n/(n beta), z = beta X xi + h, and E is odd in z."""
    xi, X, field = problem(232)
    beta, error = 0.7, 0.0
    for power in (2, 3, 4, 5):
        energy = single(spec, beta=beta, power=power)
        z = beta * xi @ X.mT + field
        value = -(z**power).sum(-1) / (power * beta)
        error = max(error, error_of(energy(xi, X, field=field), value))
        turned = energy(-xi, X, field=-field)
        error = max(error, error_of(turned, value * (-1) ** power))
        error = max(error, error_of(_slope(energy, xi, X, field), -(z ** (power - 1)) @ X))
    return error, 1e-10


def _slope(energy: Energy, xi: Tensor, X: Tensor, field: Tensor) -> Tensor:
    state = xi.clone().requires_grad_()
    return torch.autograd.grad(energy(state, X, field=field).sum(), state)[0]


def cubic_capacity(spec: EnergySpec) -> tuple[float, float]:
    """Share of stable patterns at 2 K_th = D^2/(3 log D), power 3: about a quarter for D = 64.

    A spin turns if the others' Gaussian crosstalk, of variance 3 K/D^2 = 1/log D, exceeds 1. All D
    stay with chance (1 - Q(sqrt(log D)))^D = .26, if they are taken as independent.
    """
    count = round(_SPINS**2 / (3 * math.log(_SPINS)))
    share = 0.0
    for seed in range(_DRAWS):
        X = _binary(250 + seed, count, _SPINS)
        memory = AssociativeMemory(spec, power=3, beta=1.0).store(X)
        rest = memory.recall(X[:64], mode="parallel", steps=1)
        share += float(rest.converged.double().mean()) / _DRAWS
    turns = 0.5 * math.erfc(math.sqrt(0.5 * math.log(_SPINS)))
    return abs(share - (1 - turns) ** _SPINS), 0.1


def biased_spins(spec: EnergySpec) -> tuple[float, float]:
    """-1/2 s'Ws - b's by loops; a spin's local field is (Ws)_i + b_i."""
    X, s, bias = _binary(240, 3, DIM), _binary(241, 4, DIM), draw(242, DIM)
    weights, energy = _hebb(X), single(spec)
    with torch.no_grad():
        energy.get_parameter("parameters_.raw.b").copy_(bias)
    want = -0.5 * ((s @ weights) * s).sum(-1) - s @ bias
    error = error_of(energy(s, X), want)
    slope = _slope(energy, s, X, s.new_zeros(1, 3))
    return max(error, error_of(slope, -(s @ weights + bias))), 1e-12


ANSWERS = (
    power_two_is_classical,
    odd_powers_keep_the_sign,
    cubic_capacity,
    biased_spins,
)
