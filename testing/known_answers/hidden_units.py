"""Hidden units summed out by hand."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from attenergy.attention import relax
from attenergy.energies import Energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def hidden_unit_enumeration(spec: EnergySpec) -> tuple[float, float]:
    """The binary and spin priors are what summing over all 2^N hidden configurations gives."""
    xi, X, field = problem(46)
    error = 0.0
    for prior, units in (("binary", (0.0, 1.0)), ("spin", (-1.0, 1.0))):
        beta, c = 0.6, 0.3
        energy = single(spec, prior=prior, beta=beta, c=c)
        configurations = torch.tensor(list(itertools.product(units, repeat=PATTERNS))).double()
        drive = beta * (xi @ X.mT + c) + field
        # cosh is the mean over +-1, so the spin prior is uniform with weight 2^-N.
        weight = math.log(2) * PATTERNS if prior == "spin" else 0.0
        log_sum = torch.logsumexp(drive @ configurations.mT, -1) - weight
        want = 0.5 * (xi * xi).sum(-1) - log_sum / beta
        error = max(error, error_of(energy(xi, X, field=field), want))
    return error, 1e-12


def activation_table(spec: EnergySpec) -> tuple[float, float]:
    """One step is X' act(beta (X xi + c) + h) with the activation that belongs to the prior."""
    xi, X, field = problem(47)
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
        energy = single(spec, prior=prior, beta=beta, c=c)
        got = relax(energy, xi, X, field=field, step_size=1.0, backend="eager").state
        error = max(error, error_of(got, activation @ X))
    return error, 1e-12


def binary_rbm_enumeration(spec: EnergySpec) -> tuple[float, float]:
    """E is -log of the sum over all 2^N hidden configurations, over beta, with a visible bias."""
    xi, X, field = problem(48)
    beta, c = 0.7, -0.4
    energy, bias = _with_bias(spec, 49, beta=beta, c=c)
    v = torch.where(xi < 0, -1.0, 1.0).double()
    hidden = torch.tensor(list(itertools.product((0.0, 1.0), repeat=PATTERNS))).double()
    joint = (v @ X.mT + c) @ hidden.mT + (v @ bias).unsqueeze(-1)
    want = -torch.logsumexp(beta * joint + field @ hidden.mT, -1) / beta
    return error_of(energy(v, X, field=field), want), 1e-12


def lowest_state_stays(spec: EnergySpec) -> tuple[float, float]:
    """The lowest of all 2^D states is a fixed point, and the steps from every state come to rest.

    The figure is the number of states that break this.
    """
    broken, dim = 0, 6
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=dim))).double()
    for seed in range(5):
        X = draw(60 + seed, PATTERNS, dim)
        energy, _ = _with_bias(spec, 70 + seed, dim=dim, beta=1.5)
        lowest = states[energy(states, X).argmin()].unsqueeze(0)
        broken += int((relax(energy, lowest, X).state != lowest).any())
        rest = relax(energy, states, X, steps=2**dim).state
        broken += int((relax(energy, rest, X).state != rest).any(-1).sum())
    return float(broken), 0.0


def _with_bias(
    spec: EnergySpec, seed: int, dim: int = DIM, **settings: float
) -> tuple[Energy, Tensor]:
    """An energy whose parameter b is random, and b."""
    energy = single(spec, dim, **settings)
    bias = 0.5 * draw(seed, dim)
    with torch.no_grad():
        energy.parameters_.raw["b"].copy_(bias)
    return energy, bias


ANSWERS = (
    hidden_unit_enumeration,
    activation_table,
    binary_rbm_enumeration,
    lowest_state_stays,
)
