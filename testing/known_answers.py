"""Answers known without the toolkit: each compares an energy with an independent right-hand side.

An entry names those that hold for it under `known_answers`. A function returns the largest error
and the tolerance that it must keep.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import association, relax
from attenergy.energies import Energy, make_energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw, float64

Answer = Callable[[EnergySpec], tuple[float, float]]

_STATES, _PATTERNS = 3, 6


def _single(spec: EnergySpec, dim: int = DIM, **settings: Any) -> Energy:
    with float64():
        return make_energy(spec, dim=dim, **settings)


def _problem(seed: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    xi, X = draw(seed, 2, _STATES, DIM), draw(seed + 1, 2, _PATTERNS, DIM)
    return xi, X, draw(seed + 2, 2, _STATES, _PATTERNS)


def _error(got: Tensor, want: Tensor) -> float:
    found = float((got - want).detach().abs().max())
    return math.inf if math.isnan(found) else found  # max(0, nan) is 0


def softmax_attention(spec: EnergySpec) -> tuple[float, float]:
    """One step from xi is `scaled_dot_product_attention`, the field being its additive mask."""
    xi, X, field = _problem()
    error = 0.0
    for beta in (0.3, 1 / math.sqrt(DIM), 2.0):
        energy = _single(spec, beta=beta)
        want = scaled_dot_product_attention(xi, X, X, attn_mask=field, scale=beta)
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, _error(got, want))
    return error, 1e-12


def gaussian_mixture_partition(spec: EnergySpec) -> tuple[float, float]:
    """Z = int exp(-beta E) by quadrature is (2 pi/beta)^(D/2) sum_n exp(beta |x_n|^2/2), D = 2."""
    beta = 0.7
    energy = _single(spec, 2, beta=beta)
    X = 0.8 * draw(43, _PATTERNS, 2)
    axis = torch.linspace(-14, 14, 1401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    cell = (axis[1] - axis[0]) ** 2
    numeric = torch.logsumexp(-beta * energy(grid, X), 0) + torch.log(cell)
    exact = math.log(2 * math.pi / beta) + torch.logsumexp(0.5 * beta * (X * X).sum(-1), 0)
    return _error(numeric, exact), 1e-9


def power_iteration(spec: EnergySpec) -> tuple[float, float]:
    """With power 2 and patterns in pairs +-x the descent finds the leading eigenvector of X'X."""
    energy = _single(spec, power=2)
    half = draw(44, 4, DIM)
    X = torch.cat([half, -half])
    state = relax(energy, draw(45, 1, DIM), X, steps=400, step_size=1e6).state
    leading = torch.linalg.eigh(half.mT @ half).eigenvectors[:, -1]
    cosine = (state @ leading).abs() / math.sqrt(DIM)
    return _error(cosine, torch.ones_like(cosine)), 1e-9


def hidden_unit_enumeration(spec: EnergySpec) -> tuple[float, float]:
    """The binary and spin priors are what summing over all 2^N hidden configurations gives."""
    xi, X, field = _problem(46)
    error = 0.0
    for prior, units in (("binary", (0.0, 1.0)), ("spin", (-1.0, 1.0))):
        beta, c = 0.6, 0.3
        energy = _single(spec, prior=prior, beta=beta, c=c)
        configurations = torch.tensor(list(itertools.product(units, repeat=_PATTERNS))).double()
        drive = beta * (xi @ X.mT + c) + field
        # cosh is the mean over +-1, so the spin prior is uniform with weight 2^-N.
        weight = math.log(2) * _PATTERNS if prior == "spin" else 0.0
        log_sum = torch.logsumexp(drive @ configurations.mT, -1) - weight
        want = 0.5 * (xi * xi).sum(-1) - log_sum / beta
        error = max(error, _error(energy(xi, X, field=field), want))
    return error, 1e-12


def activation_table(spec: EnergySpec) -> tuple[float, float]:
    """One step is X' act(beta (X xi + c) + h) with the activation that belongs to the prior."""
    xi, X, field = _problem(47)
    beta, c, error = 0.6, 0.3, 0.0
    z = beta * (xi @ X.mT + c) + field
    table = {
        "binary": 1 / (1 + torch.exp(-z)),
        "spin": torch.sinh(z) / torch.cosh(z),
        "onehot": torch.exp(z) / torch.exp(z).sum(-1, keepdim=True),
        "gaussian": z,
        "rectified": torch.where(z > 0, z, 0.0),
    }
    for prior, activation in table.items():
        energy = _single(spec, prior=prior, beta=beta, c=c)
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, _error(got, activation @ X))
    return error, 1e-12


def uncoupled_is_lse(spec: EnergySpec) -> tuple[float, float]:
    """Without coupling the joint energy is the sum of log-sum-exp energies over states."""
    xi, X, field = _problem(48)
    beta = 0.6
    energy = _single(spec, beta=beta, coupling=1e-15)
    want = 0.5 * (xi * xi).sum(-1) - torch.log(torch.exp(beta * xi @ X.mT + field).sum(-1)) / beta
    return _error(energy(xi, X, field=field), want.sum(-1)), 1e-12


def implicit_fixed_point(spec: EnergySpec) -> tuple[float, float]:
    """As beta goes to 0 the weights are uniform and the minimum is (I + 2 c Lap)^-1 mean(X)."""
    coupling, error = 0.8, 0.0
    for rule, graph in (("ring", nx.cycle_graph(7)), ("complete", nx.complete_graph(7))):
        energy = _single(spec, beta=1e-12, coupling=coupling, graph=rule)
        # beta = 1e-12 would lose all digits of the energy; the update does not divide by it.
        X = draw(50, 5, DIM)
        edges = torch.from_numpy(nx.to_numpy_array(graph))  # regular graphs: one degree for all
        laplacian = torch.eye(7, dtype=torch.float64) - edges / edges.sum(-1, keepdim=True)
        system = torch.eye(7, dtype=torch.float64) + 2 * coupling * laplacian
        want = torch.linalg.solve(system, X.mean(0).expand(7, DIM))
        got = relax(energy, draw(51, 7, DIM), X, steps=400, backend="scores").state
        error = max(error, _error(got, want))
    return error, 1e-9


def unmixed_is_lse(spec: EnergySpec) -> tuple[float, float]:
    """Without mixing the energy is log-sum-exp."""
    xi, X, field = _problem(52)
    beta = 0.6
    energy = _single(spec, beta=beta, mixing=1e-15)
    want = 0.5 * (xi * xi).sum(-1) - torch.log(torch.exp(beta * xi @ X.mT + field).sum(-1)) / beta
    return _error(energy(xi, X, field=field), want), 1e-12


def mixed_patterns(spec: EnergySpec) -> tuple[float, float]:
    """One step is attention over M X, and its weights are M' softmax(beta M X xi)."""
    xi, X, _ = _problem(53)
    beta, mixing, error = 0.6, 0.3, 0.0
    for rule, graph in (
        ("ring", nx.cycle_graph(_PATTERNS)),
        ("complete", nx.complete_graph(_PATTERNS)),
    ):
        walk = torch.from_numpy(nx.to_numpy_array(graph))
        matrix = (1 - mixing) * torch.eye(_PATTERNS).double() + mixing * walk / walk.sum(
            -1, keepdim=True
        )
        mixed = matrix @ X
        energy = _single(spec, beta=beta, mixing=mixing, graph=rule)
        got = relax(energy, xi, X, step_size=1.0, backend="eager").state
        error = max(error, _error(got, scaled_dot_product_attention(xi, mixed, mixed, scale=beta)))
        weights = torch.softmax(beta * xi @ mixed.mT, -1) @ matrix
        error = max(error, _error(association(energy, xi, X), weights))
    return error, 1e-12


KNOWN_ANSWERS: dict[str, Answer] = {
    answer.__name__: answer
    for answer in (
        softmax_attention,
        gaussian_mixture_partition,
        power_iteration,
        hidden_unit_enumeration,
        activation_table,
        uncoupled_is_lse,
        implicit_fixed_point,
        unmixed_is_lse,
        mixed_patterns,
    )
}
