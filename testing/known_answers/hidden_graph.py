"""Hidden units that interact on a graph, summed out by hand."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import torch
from torch import Tensor

from attenergy.attention import attention_weights
from attenergy.energies import Energy
from attenergy.registry import EnergySpec, Parameter
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


def _machine(spec: EnergySpec, dim: int, domain: str) -> tuple[Energy, Tensor, Tensor]:
    """A machine of exact inference on a ring of three hidden units, its V and its K."""
    changes: dict[str, object] = {"domain": domain}
    if domain == "spin":
        bias = Parameter(init=0.3, shape=("D",))
        changes |= {"quadratic": None, "descends": "sequential"}
        changes |= {"parameters": {**spec.parameters, "b": bias}}
    changed = spec.model_copy(update=changes)
    settings = {"beta": _BETA, "c": _BIAS, "coupling": 0.6, "visible_coupling": 0.8}
    energy = single(changed, dim, **settings, graph="ring", inference="exact")
    free = draw(165, dim, dim)
    with torch.no_grad():
        energy.get_parameter("raw_visible").copy_(free)
    couplings = free + free.T
    couplings.fill_diagonal_(0.0)
    size = 1 + couplings.abs().sum(0)
    V = 0.8 * couplings / torch.sqrt(size[:, None] * size)
    return energy, V, 4 * 0.6 * (torch.ones(3, 3) - torch.eye(3)).double() / 2


def gaussian_units_integral(spec: EnergySpec) -> tuple[float, float]:
    """Z = int exp(-beta E), D = 2, by quadrature, is a sum of Gaussian integrals over all s.

    One of them is exp(beta s'(c + X b) + s'Ks/2) (2 pi/beta)^(D/2) det(I - V)^(-1/2)
    exp(beta/2 |X's|^2 in the metric (I - V)^(-1)).
    """
    energy, V, K = _machine(spec, 2, "real")
    X = draw(166, 3, 2)
    metric = torch.eye(2).double() - V
    terms = []
    for s in itertools.product((0.0, 1.0), repeat=3):
        units = torch.tensor(s).double()
        pull = units @ X
        square = pull @ torch.linalg.solve(metric, pull)
        terms.append(_BETA * (_BIAS * units.sum() + 0.5 * square) + 0.5 * units @ K @ units)
    gauss = math.log(2 * math.pi / _BETA) - 0.5 * torch.logdet(metric)
    want = torch.logsumexp(torch.stack(terms), 0) + gauss
    axis = torch.linspace(-16.0, 16.0, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    got = torch.logsumexp(-_BETA * energy(grid, X), 0) + 2 * math.log(float(axis[1] - axis[0]))
    return error_of(got, want), 1e-9


def binary_units_enumeration(spec: EnergySpec) -> tuple[float, float]:
    """In the domain `spin`, Z and exp(-beta E) by enumeration of all units, visible and hidden."""
    energy, V, K = _machine(spec, 4, "spin")
    X, bias = draw(167, 3, 4), 0.3
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4))).double()
    want = []
    for v in states:
        terms = []
        for s in itertools.product((0.0, 1.0), repeat=3):
            units = torch.tensor(s).double()
            joint = 0.5 * v @ V @ v + bias * v.sum() + units @ (X @ v + _BIAS)
            terms.append(_BETA * joint + 0.5 * units @ K @ units)
        want.append(torch.logsumexp(torch.stack(terms), 0))
    return error_of(-_BETA * energy(states, X), torch.stack(want)), 1e-12


ANSWERS = (
    gaussian_units_integral,
    binary_units_enumeration,
    boltzmann_enumeration,
    chain_transfer_matrix,
    boltzmann_mean_field_bound,
    boltzmann_tap,
)
