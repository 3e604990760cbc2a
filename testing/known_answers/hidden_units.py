"""Hidden units summed out by hand."""

from __future__ import annotations

import itertools
import math

import torch

from attenergy.attention import relax
from attenergy.registry import EnergySpec
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


ANSWERS = (
    hidden_unit_enumeration,
    activation_table,
)
