"""Spins of n components at a finite temperature: the integral over the sphere, and its limits."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from attenergy.attention import gradient, relax
from attenergy.energies import Energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import draw
from attenergy.testing.known_answers.common import error_of, single

_STATES = 3


def _problem(spec: EnergySpec, dim: int, beta: float) -> tuple[Energy, Tensor, Tensor, Tensor]:
    """Two coupled states and one alone, with their fields f and the matrix I + coupling K."""
    energy = single(spec, dim, beta=beta, coupling=0.4)
    pair = torch.zeros(_STATES, _STATES).double()
    pair[0, 1] = pair[1, 0] = 1.0
    energy.use_graph(pair)  # type: ignore[operator]
    xi, X = draw(260 + dim, _STATES, dim), draw(270 + dim, 1, dim)
    matrix = torch.eye(_STATES).double() + 0.4 * pair
    return energy, xi, X, matrix


def _on_the_sphere(kappa: float, dim: int) -> tuple[float, float]:
    """Log of the mean of exp(kappa u_1) over unit vectors in D > 1 dimensions, and <u_1>.

    u_1 = cos(angle) with weight sin(angle)^(D-2), by Gauss and Legendre in the angle.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    angle = 0.5 * math.pi * (nodes + 1)
    area = weights * np.sin(angle) ** (dim - 2)
    lifted = area * np.exp(kappa * (np.cos(angle) - 1))
    mean = float((lifted * np.cos(angle)).sum() / lifted.sum())
    return math.log(float(lifted.sum() / area.sum())) + kappa, mean


def sphere_quadrature(spec: EnergySpec) -> tuple[float, float]:
    """E and the mean spins against integrals over the sphere; tanh and the Langevin function."""
    error = 0.0
    for dim in (1, 2, 3, 4, 7):
        for beta in (0.3, 2.0):
            energy, xi, X, matrix = _problem(spec, dim, beta)
            fields = matrix @ xi + X
            kappa = beta * math.sqrt(dim) * fields.norm(dim=-1)
            if dim == 1:
                pairs = [(math.log(math.cosh(k)), math.tanh(k)) for k in kappa.tolist()]
            else:
                pairs = [_on_the_sphere(k, dim) for k in kappa.tolist()]
            logs, means = torch.tensor(pairs, dtype=torch.float64).unbind(-1)
            want = 0.5 * (xi * xi).sum() - logs.sum() / beta
            error = max(error, error_of(energy(xi, X), want))
            if dim == 3:
                error = max(error, error_of(means, 1 / torch.tanh(kappa) - 1 / kappa))
            spins = (math.sqrt(dim) * means / fields.norm(dim=-1)).unsqueeze(-1) * fields
            slope = gradient(energy, xi, X)
            error = max(error, error_of(xi - slope, matrix @ spins))
    return error, 1e-6


def cold_and_hot_spins(spec: EnergySpec) -> tuple[float, float]:
    """A single step aligns cold spins with their fields, and gives hot ones beta f."""
    error = 0.0
    for beta in (1e6, 1e-6):
        energy, xi, X, matrix = _problem(spec, 5, beta)
        fields = matrix @ xi + X
        length = fields.norm(dim=-1, keepdim=True)
        spins = math.sqrt(5) * fields / length if beta > 1 else beta * fields
        state = relax(energy, xi, X, steps=1, step_size=1.0).state
        error = max(error, error_of(state, matrix @ spins) / min(beta, 1.0))
    return error, 1e-5


def spins_summed_out(spec: EnergySpec) -> tuple[float, float]:
    """Ising spins, D = 1: the integral of exp(-beta E) over xi is the sum over all 2^L spins.

    Its couplings are (I + coupling K)^2, whose diagonal is a constant for spins of +-1.
    """
    beta = 0.9
    energy, _, X, matrix = _problem(spec, 1, beta)
    energy.use_graph(torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double())  # type: ignore[operator]
    M, b = matrix[:2, :2], float(X)
    axis = torch.linspace(-12.0, 12.0, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    values = energy(grid.unsqueeze(-1), X)
    got = torch.logsumexp(-beta * values, 0) + 2 * math.log(float(axis[1] - axis[0]))
    spins = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 2)
    exponents = beta * (0.5 * ((spins @ M @ M) * spins).sum(-1) + b * spins.sum(-1))
    want = torch.logsumexp(exponents, 0) - 2 * math.log(2) + math.log(2 * math.pi / beta)
    return error_of(got, want), 1e-6


ANSWERS = (sphere_quadrature, cold_and_hot_spins, spins_summed_out)
