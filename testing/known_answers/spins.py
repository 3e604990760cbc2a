"""Spins: enumeration of configurations, fixed points by hand, linear solves, closed forms."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from attenergy.attention import relax
from attenergy.energies import Energy
from attenergy.energies.spins.ising import patterns_with_couplings
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import error_of, problem, single


def configurations(values: tuple[float, ...], count: int) -> Tensor:
    """All ways to give each of `count` spins one of the values, (len(values)^count, count)."""
    return torch.tensor(list(itertools.product(values, repeat=count)), dtype=torch.float64)


def spin_glass(seed: int, count: int) -> Tensor:
    """Symmetric Gaussian couplings of variance 1/count, zero diagonal."""
    upper = draw(seed, count, count).triu(1) / math.sqrt(count)
    return upper + upper.mT


def exact_spins(couplings: Tensor, field: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """-log Z/beta and the means of spins +-1, by enumeration."""
    spins = configurations((-1.0, 1.0), len(field))
    exponents = beta * (0.5 * ((spins @ couplings) * spins).sum(-1) + spins @ field)
    return -torch.logsumexp(exponents, 0) / beta, torch.softmax(exponents, 0) @ spins


def encode(couplings: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Patterns and a field h (1, D) by which an energy has these couplings and this field."""
    X = patterns_with_couplings(couplings)
    return X, len(field) * torch.linalg.solve(X.mT, field).unsqueeze(0)


def settle(energy: Energy, couplings: Tensor, field: Tensor, step_size: float = 1.0) -> Tensor:
    """The state (D,) to which spins at 0 relax one by one."""
    X, h = encode(couplings, field)
    start = torch.zeros(1, len(field), dtype=torch.float64)
    one_by_one = energy.guarantee == "sequential"
    return relax(
        energy, start, X, field=h, step_size=step_size, steps=60 if one_by_one else 600,
        solver="coordinate_descent" if one_by_one else "descent",
    ).state[0]  # fmt: skip


def ising_enumeration_bound(spec: EnergySpec) -> tuple[float, float]:
    """E is -log Z/beta by enumeration where J = 0, and never below it elsewhere, whatever m."""
    error = 0.0
    for seed, beta in enumerate((0.3, 1.0, 3.0)):
        energy = single(spec, 6, beta=beta)
        for couplings in (torch.zeros(6, 6).double(), spin_glass(60 + seed, 6)):
            field = draw(70 + seed, 6)
            X, h = encode(couplings, field)
            exact, _ = exact_spins(couplings, field, beta)
            state = settle(energy, couplings, field)
            reached = energy(state[None], X, field=h)
            anywhere = energy(torch.tanh(draw(80 + seed, 50, 6)), X, field=h)
            error = max(error, float((exact - torch.cat([reached, anywhere])).detach().max()))
            if not couplings.any():
                error = max(error, error_of(reached, exact))
    return error, 1e-12


def ising_stationarity(spec: EnergySpec) -> tuple[float, float]:
    """Where the spins come to rest, m = tanh(beta (Jm + b)), J from the patterns pair by pair."""
    error = 0.0
    xi, X, h = problem(90)
    for beta in (0.4, 2.0):
        energy = single(spec, beta=beta)
        state = relax(
            energy, torch.tanh(xi), X, field=h, steps=60, solver="coordinate_descent"
        ).state  # fmt: skip
        for b, i in itertools.product(range(xi.shape[0]), range(xi.shape[1])):
            want = torch.zeros(DIM, dtype=torch.float64)
            for d, e in itertools.product(range(DIM), repeat=2):
                if d != e:
                    want[d] += (X[b, :, d] * X[b, :, e]).sum() / DIM * state[b, i, e]
            want = torch.tanh(beta * (want + h[b, i] @ X[b] / DIM))
            error = max(error, error_of(state[b, i], want))
    return error, 1e-9


def antiferromagnetic_pair(spec: EnergySpec) -> tuple[float, float]:
    """Two spins that disagree: all at once they turn for ever, one by one they come to rest."""
    beta, energy = 4.0, single(spec, 2, beta=4.0)
    X = torch.tensor([[1.0, -1.0]], dtype=torch.float64) * math.sqrt(2.0)  # J_12 = -1
    start = torch.full((1, 2), 0.7, dtype=torch.float64)
    a = 0.7
    for _ in range(100):  # the amplitude of the cycle, a = tanh(beta a)
        a = math.tanh(beta * a)
    even = relax(energy, start, X, steps=100, solver="descent").state
    odd = relax(energy, start, X, steps=101, solver="descent").state
    still = relax(energy, start, X, steps=100, solver="coordinate_descent").state
    error = max(error_of(even, torch.full_like(even, a)), error_of(odd, torch.full_like(odd, -a)))
    return max(error, error_of(still, a * torch.tensor([[-1.0, 1.0]]).double())), 1e-9


def tap_stationarity(spec: EnergySpec) -> tuple[float, float]:
    """Where small steps come to rest, m = tanh(beta (b + Jm - beta m J^2(1 - m^2)))."""
    error = 0.0
    for seed, beta in enumerate((0.2, 0.5)):
        couplings, field = spin_glass(100 + seed, 6), 0.5 * draw(110 + seed, 6)
        m = settle(single(spec, 6, beta=beta), couplings, field, step_size=0.3)
        reaction = beta * m * (couplings**2 @ (1 - m**2))
        error = max(error, error_of(m, torch.tanh(beta * (field + couplings @ m - reaction))))
    return error, 1e-9


def tap_beats_mean_field(spec: EnergySpec) -> tuple[float, float]:
    """On spin glasses of 8 spins its means are at least 3 times nearer to enumeration's."""
    beta, plain, corrected = 0.4, 0.0, 0.0
    energy = single(spec, 8, beta=beta)
    for seed in range(120, 126):
        couplings, field = spin_glass(seed, 8), 0.5 * draw(seed + 50, 8)
        _, exact = exact_spins(couplings, field, beta)
        m = torch.zeros(8, dtype=torch.float64)
        for _ in range(500):  # naive mean field, damped
            m = 0.5 * m + 0.5 * torch.tanh(beta * (couplings @ m + field))
        plain += float((m - exact).abs().mean())
        settled = settle(energy, couplings, field, step_size=0.3)
        corrected += float((settled - exact).detach().abs().mean())
    return corrected / plain, 1 / 3


def _pull(graph: nx.Graph[int], coupling: float, states: Tensor) -> Tensor:
    """Coupling * sum_j S_j / sqrt(d_i d_j) over neighbours, node by node."""
    total = torch.zeros_like(states)
    for i in graph:
        for j in graph[i]:
            total[i] += coupling * states[j] / math.sqrt(graph.degree[i] * graph.degree[j])
    return total


def local_field_alignment(spec: EnergySpec) -> tuple[float, float]:
    """A huge step aligns every spin in turn with its local field, and E is the sum over bonds."""
    coupling, error = 0.7, 0.0
    graph = nx.path_graph(5)
    energy = single(spec, coupling=coupling, graph="chain")
    pattern, start = draw(130, 1, DIM), draw(131, 5, DIM)
    start = start * math.sqrt(DIM) / torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    got = relax(energy, start, pattern, step_size=1e12, solver="coordinate_descent").state
    state = start.clone()
    for i in graph:
        local = pattern[0] + _pull(graph, coupling, state)[i]
        state[i] = math.sqrt(DIM) * local / torch.linalg.vector_norm(local)
    error = error_of(got, state)
    bonds = sum(
        float(state[i] @ state[j]) / math.sqrt(graph.degree[i] * graph.degree[j])
        for i, j in graph.edges
    )
    want = -coupling * bonds - (state @ pattern[0]).sum()
    return max(error, error_of(energy(state, pattern), want)), 1e-9


def single_spin_partition(spec: EnergySpec) -> tuple[float, float]:
    """One spin of 3 components: log int exp(-E) dS by quadrature is log(4 pi sinh k / k)."""
    energy, error = single(spec, 3, coupling=0.5, graph="chain"), 0.0
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(60))
    turns = torch.arange(40, dtype=torch.float64) * (2 * math.pi / 40)
    z, phi = torch.meshgrid(nodes, turns, indexing="ij")
    flat = torch.sqrt(1 - z**2)
    sphere = torch.stack([flat * torch.cos(phi), flat * torch.sin(phi), z], -1).reshape(-1, 1, 3)
    area = (weights[:, None] * (2 * math.pi / 40)).expand(60, 40).reshape(-1)
    for seed, length in enumerate((0.3, 1.0, 4.0)):
        pattern = draw(135 + seed, 1, 3)
        pattern = length * pattern / torch.linalg.vector_norm(pattern)
        weight = torch.exp(-energy(math.sqrt(3) * sphere, pattern).detach())
        numeric = torch.log((area * weight).sum())
        kappa = math.sqrt(3) * length
        error = max(error, abs(float(numeric) - math.log(4 * math.pi * math.sinh(kappa) / kappa)))
    return error, 1e-11


def gaussian_spins_linear_solve(spec: EnergySpec) -> tuple[float, float]:
    """The minimum is (I - coupling K)^-1 b by a linear solve, b = x where i sees pattern i."""
    coupling, error = 0.8, 0.0
    for rule, graph in (("ring", nx.cycle_graph(6)), ("chain", nx.path_graph(6))):
        for kind, sign in (("ferromagnetic", 1.0), ("antiferromagnetic", -1.0)):
            energy = single(spec, coupling=coupling, graph=rule, couplings=kind)
            X = draw(140, 6, DIM)
            edges = torch.from_numpy(nx.to_numpy_array(graph))
            root = edges.sum(-1).sqrt()
            system = torch.eye(6).double() - coupling * sign * edges / root / root[:, None]
            for mask in (None, torch.eye(6, dtype=torch.bool)):
                drive = X if mask is not None else X.mean(0).expand(6, DIM)
                got = relax(energy, draw(141, 6, DIM), X, mask=mask, steps=300).state
                error = max(error, error_of(got, torch.linalg.solve(system, drive)))
    return error, 1e-11


def potts_update(spec: EnergySpec) -> tuple[float, float]:
    """A state set alone becomes softmax(beta (field + coupling sum_j K_ij p_j))."""
    beta, coupling = 1.7, 0.9
    graph = nx.cycle_graph(5)
    energy = single(spec, beta=beta, coupling=coupling, graph="ring")
    pattern, start = draw(150, 1, DIM), torch.softmax(draw(151, 5, DIM), -1)
    got = relax(energy, start, pattern, step_size=1.0, solver="coordinate_descent").state
    state = start.clone()
    for i in graph:
        state[i] = torch.softmax(beta * (pattern[0] + _pull(graph, coupling, state)[i]), 0)
    return error_of(got, state), 1e-12


def potts_enumeration_bound(spec: EnergySpec) -> tuple[float, float]:
    """Over the 3^4 colourings -log Z/beta bounds E from below, and equals it without coupling."""
    beta, error = 1.3, 0.0
    graph = nx.path_graph(4)
    colours = list(itertools.product(range(3), repeat=4))
    for coupling in (1e-14, 0.8):
        energy = single(spec, 3, beta=beta, coupling=coupling, graph="chain")
        pattern, exponents = draw(155, 1, 3), []
        for c in colours:
            own = sum(float(pattern[0, colour]) for colour in c)
            agree = sum(
                (c[i] == c[j]) / math.sqrt(graph.degree[i] * graph.degree[j])
                for i, j in graph.edges
            )
            exponents.append(beta * (own + coupling * agree))
        exact = -torch.logsumexp(torch.tensor(exponents, dtype=torch.float64), 0) / beta
        start = torch.softmax(draw(156, 4, 3), -1)
        rest = relax(energy, start, pattern, steps=100, solver="coordinate_descent").state
        reached = torch.stack([energy(rest, pattern), energy(start, pattern)]).detach()
        error = max(error, float((exact - reached).max()))
        if coupling < 1e-6:
            error = max(error, error_of(reached[0], exact))
    return error, 1e-11


ANSWERS = (
    ising_enumeration_bound,
    ising_stationarity,
    antiferromagnetic_pair,
    tap_stationarity,
    tap_beats_mean_field,
    local_field_alignment,
    single_spin_partition,
    gaussian_spins_linear_solve,
    potts_update,
    potts_enumeration_bound,
)
