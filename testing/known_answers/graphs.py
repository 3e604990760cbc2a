"""States and patterns that interact on graphs."""

from __future__ import annotations

import networkx as nx
import torch
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import attention_weights, relax
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def uncoupled_is_lse(spec: EnergySpec) -> tuple[float, float]:
    """Without coupling the joint energy is the sum of log-sum-exp energies over states."""
    xi, X, field = problem(48)
    beta = 0.6
    energy = single(spec, beta=beta, coupling=1e-15)
    want = 0.5 * (xi * xi).sum(-1) - torch.log(torch.exp(beta * xi @ X.mT + field).sum(-1)) / beta
    return error_of(energy(xi, X, field=field), want.sum(-1)), 1e-12


def implicit_fixed_point(spec: EnergySpec) -> tuple[float, float]:
    """As beta goes to 0 the weights are uniform and the minimum is (I + 2 c Lap)^-1 mean(X)."""
    coupling, error = 0.8, 0.0
    for rule, graph in (("ring", nx.cycle_graph(7)), ("complete", nx.complete_graph(7))):
        energy = single(spec, beta=1e-12, coupling=coupling, graph=rule)
        # beta = 1e-12 would lose all digits of the energy; the update does not divide by it.
        X = draw(50, 5, DIM)
        edges = torch.from_numpy(nx.to_numpy_array(graph))  # regular graphs: one degree for all
        laplacian = torch.eye(7, dtype=torch.float64) - edges / edges.sum(-1, keepdim=True)
        system = torch.eye(7, dtype=torch.float64) + 2 * coupling * laplacian
        want = torch.linalg.solve(system, X.mean(0).expand(7, DIM))
        got = relax(energy, draw(51, 7, DIM), X, steps=400, backend="scores").state
        error = max(error, error_of(got, want))
    return error, 1e-9


def unmixed_is_lse(spec: EnergySpec) -> tuple[float, float]:
    """Without mixing the energy is log-sum-exp."""
    xi, X, field = problem(52)
    beta = 0.6
    energy = single(spec, beta=beta, mixing=1e-15)
    want = 0.5 * (xi * xi).sum(-1) - torch.log(torch.exp(beta * xi @ X.mT + field).sum(-1)) / beta
    return error_of(energy(xi, X, field=field), want), 1e-12


def mixed_patterns(spec: EnergySpec) -> tuple[float, float]:
    """One step is attention over M X, and its weights are M' softmax(beta M X xi)."""
    xi, X, _ = problem(53)
    beta, mixing, error = 0.6, 0.3, 0.0
    for rule, graph in (
        ("ring", nx.cycle_graph(PATTERNS)),
        ("complete", nx.complete_graph(PATTERNS)),
    ):
        walk = torch.from_numpy(nx.to_numpy_array(graph))
        matrix = (1 - mixing) * torch.eye(PATTERNS).double() + mixing * walk / walk.sum(
            -1, keepdim=True
        )
        mixed = matrix @ X
        energy = single(spec, beta=beta, mixing=mixing, graph=rule)
        got = relax(energy, xi, X, step_size=1.0, backend="eager").state
        error = max(
            error, error_of(got, scaled_dot_product_attention(xi, mixed, mixed, scale=beta))
        )
        weights = torch.softmax(beta * xi @ mixed.mT, -1) @ matrix
        error = max(error, error_of(attention_weights(energy, xi, X), weights))
    return error, 1e-12


ANSWERS = (
    uncoupled_is_lse,
    implicit_fixed_point,
    unmixed_is_lse,
    mixed_patterns,
)
