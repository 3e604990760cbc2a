"""Spins that share one length: linear solves, a closed form, and the integral itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import networkx as nx
import torch
from torch import Tensor

from attenergy.attention import gradient
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import error_of, single


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from above 0 to below it is 0, by bisection."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return 0.5 * (low + high)


def _tilted(X: Tensor, field: Tensor) -> Tensor:
    """The mean of the patterns, with weights exp(h)."""
    chosen = torch.exp(field)
    return chosen @ X / chosen.sum(-1, keepdim=True)


def spherical_linear_solve(spec: EnergySpec) -> tuple[float, float]:
    """With <|S|^2> = L D by bisection, the mean spins solve (t I - J) m = xi + b."""
    error, states, beta, coupling = 0.0, 6, 0.8, 0.7
    for seed, name in enumerate(("chain", "ring", "complete")):
        energy = single(spec, graph=name, beta=beta, coupling=coupling)
        xi, X = draw(80 + seed, states, DIM), draw(81 + seed, 5, DIM)
        field = draw(82 + seed, states, 5)
        graph = {"chain": nx.path_graph, "ring": nx.cycle_graph, "complete": nx.complete_graph}
        adjacency = torch.from_numpy(nx.to_numpy_array(graph[name](states)))
        degree = adjacency.sum(-1)
        J = coupling * adjacency / torch.sqrt(torch.outer(degree, degree))
        f, unit = xi + _tilted(X, field), torch.eye(states).double()

        def excess(t: float, f: Tensor = f, J: Tensor = J, unit: Tensor = unit) -> float:
            inverse = torch.linalg.inv(t * unit - J)
            mean = inverse @ f
            variance = DIM * inverse.trace() / beta
            return float(variance + (mean * mean).sum()) - states * DIM

        largest = float(torch.linalg.eigvalsh(J)[-1])
        t = _root(excess, largest + 1e-9, largest + 1e3)
        mean = torch.linalg.solve(t * unit - J, f)
        slope = gradient(energy, xi, X, field=field)
        error = max(error, error_of(xi - slope, mean))
        log_z = 0.5 * states * DIM * (beta * t - 1 - math.log(beta))
        log_z = log_z - 0.5 * DIM * torch.logdet(t * unit - J) + 0.5 * beta * (f * mean).sum()
        want = 0.5 * (xi * xi).sum() - log_z / beta
        error = max(error, error_of(energy(xi, X, field=field), want))
    return error, 1e-11


def spherical_free_spins(spec: EnergySpec) -> tuple[float, float]:
    """Without couplings t = (1 + sqrt(1 + 4 beta^2 r^2))/(2 beta), r^2 = |f|^2/(L D)."""
    error, states = 0.0, 3
    for seed, beta in enumerate((0.2, 1.0, 30.0)):
        energy = single(spec, beta=beta)
        energy.use_graph(torch.zeros(states, states))  # type: ignore[operator]
        xi, X = draw(90 + seed, states, DIM), draw(95 + seed, 1, DIM)
        f, size = xi + X, states * DIM
        square = float((f * f).sum())
        t = (1 + math.sqrt(1 + 4 * beta**2 * square / size)) / (2 * beta)
        log_z = 0.5 * size * (beta * t - 1 - math.log(beta * t)) + 0.5 * beta * square / t
        error = max(error, error_of(energy(xi, X), 0.5 * (xi * xi).sum() - log_z / beta))
        error = max(error, error_of(xi - gradient(energy, xi, X), f / t))
    return error, 1e-12


def spherical_quadrature(spec: EnergySpec) -> tuple[float, float]:
    """Two spins of one component: Z, <S> and <|S|^2> = 2 by a sum over a grid of the plane.

    log Z = log int dS exp(-beta H) + beta t - log(2 pi e) with
    H = t/2 |S|^2 - J S_1 S_2 - f.S; the last term is the entropy of the spins at J = f = 0.
    """
    beta, coupling = 1.3, 0.6
    energy = single(spec, 1, beta=beta, coupling=coupling, graph="chain")
    xi, X = draw(100, 2, 1), draw(101, 1, 1)
    axis = torch.linspace(-14, 14, 561, dtype=torch.float64)
    grid, f = torch.cartesian_prod(axis, axis), (xi + X).squeeze(-1)
    inner = coupling * grid.prod(-1) + grid @ f

    def exponents(t: float) -> Tensor:
        return beta * (inner - 0.5 * t * (grid * grid).sum(-1))

    def excess(t: float) -> float:
        return float(torch.softmax(exponents(t), 0) @ (grid * grid).sum(-1)) - 2

    t = _root(excess, coupling + 0.05, coupling + 20)
    weights = torch.softmax(exponents(t), 0)
    mean = (weights @ grid).unsqueeze(-1)
    cell = 2 * math.log(float(axis[1] - axis[0]))
    log_z = torch.logsumexp(exponents(t), 0) + cell + beta * t - math.log(2 * math.pi) - 1
    error = error_of(xi - gradient(energy, xi, X), mean)
    return max(error, error_of(energy(xi, X), 0.5 * (xi * xi).sum() - log_z / beta)), 1e-10


ANSWERS = (
    spherical_linear_solve,
    spherical_free_spins,
    spherical_quadrature,
)
