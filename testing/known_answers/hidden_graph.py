"""Hidden units that interact on a graph, summed out by hand."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import torch
from torch import Tensor

from attenergy.attention import attention_weights
from attenergy.registry import EnergySpec
from attenergy.testing.cases import draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single

_BETA, _BIAS = 0.8, -0.3
_GRAPHS: dict[str, nx.Graph[int]] = {
    "chain": nx.path_graph(PATTERNS),
    "ring": nx.cycle_graph(PATTERNS),
    "complete": nx.complete_graph(PATTERNS),
}


def _exact(
    graph: nx.Graph[int], coupling: float, drive: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log sum_s exp(s'u + s'Ks/2) and the means <s>, one configuration after the other."""
    exponents, rows = [], []
    for s in itertools.product((0, 1), repeat=PATTERNS):
        units = torch.tensor(s, dtype=torch.float64)
        pairs = sum(
            4 * coupling * s[i] * s[j] / math.sqrt(graph.degree[i] * graph.degree[j])
            for i, j in graph.edges
        )
        exponent = drive @ units + pairs
        if mask is not None:  # a unit of a hidden pattern is off
            exponent = torch.where((units > 0).logical_and(~mask).any(-1), -torch.inf, exponent)
        exponents.append(exponent)
        rows.append(units)
    stacked = torch.stack(exponents, -1)
    return torch.logsumexp(stacked, -1), torch.softmax(stacked, -1) @ torch.stack(rows)


def _errors(spec: EnergySpec, inference: str, rule: str, coupling: float) -> tuple[Tensor, Tensor]:
    """E and the means minus those of enumeration, with and without a mask."""
    xi, X, field = problem(160)
    hidden = draw(163, *field.shape) < -0.5
    energy = single(
        spec, beta=_BETA, c=_BIAS, coupling=coupling, graph=rule, inference=inference
    )  # fmt: skip
    values, means = [], []
    for mask in (None, ~hidden):
        drive = _BETA * (xi @ X.mT + _BIAS) + field
        log_sum, wanted = _exact(_GRAPHS[rule], coupling, drive, mask)
        want = 0.5 * (xi * xi).sum(-1) - log_sum / _BETA
        values.append(energy(xi, X, mask=mask, field=field) - want)
        means.append(attention_weights(energy, xi, X, mask=mask, field=field) - wanted)
    return torch.cat(values).detach(), torch.cat(means).detach()


def boltzmann_enumeration(spec: EnergySpec) -> tuple[float, float]:
    """Exact inference gives the sums over all 2^N configurations of the hidden units."""
    error = 0.0
    for rule in _GRAPHS:
        for errors in _errors(spec, "exact", rule, 0.6):
            error = max(error, error_of(errors, torch.zeros_like(errors)))
    return error, 1e-12


def chain_transfer_matrix(spec: EnergySpec) -> tuple[float, float]:
    """On a chain the transfer matrix gives the same as enumeration."""
    error = 0.0
    for errors in _errors(spec, "chain", "chain", 0.6):
        error = max(error, error_of(errors, torch.zeros_like(errors)))
    return error, 1e-12


def boltzmann_mean_field_bound(spec: EnergySpec) -> tuple[float, float]:
    """The mean field never lies below enumeration, and meets it without coupling."""
    error = 0.0
    for rule in _GRAPHS:
        error = max(error, float((-_errors(spec, "mean_field", rule, 0.5)[0]).max()))
        for errors in _errors(spec, "mean_field", rule, 1e-15):
            error = max(error, error_of(errors, torch.zeros_like(errors)))
    return error, 1e-12


def boltzmann_tap(spec: EnergySpec) -> tuple[float, float]:
    """The Onsager term brings energy and means at least 3 times nearer to enumeration."""
    worst = 0.0
    for rule in _GRAPHS:
        plain = _errors(spec, "mean_field", rule, 0.2)
        better = _errors(spec, "tap", rule, 0.2)
        for a, b in zip(better, plain, strict=True):
            worst = max(worst, float(a.abs().mean() / b.abs().mean()))
    return worst, 1 / 3


ANSWERS = (
    boltzmann_enumeration,
    chain_transfer_matrix,
    boltzmann_mean_field_bound,
    boltzmann_tap,
)
