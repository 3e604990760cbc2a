"""What works on an energy that is made says so of what only names one."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import (
    attention_weights,
    contrastive_divergence,
    gradient,
    langevin,
    read_values,
)
from attenergy.energies import (
    FormulaEnergy,
    fit,
    log_likelihood,
    log_partition,
    make_energy,
    mixture,
    sample,
)
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
XI, X = torch.randn(3, 4), torch.randn(5, 4)
CALLS = {
    "gradient": lambda energy: gradient(energy, XI, X),
    "read_values": lambda energy: read_values(energy, XI, X, X),
    "attention_weights": lambda energy: attention_weights(energy, XI, X),
    "langevin": lambda energy: langevin(energy, XI, X, steps=2, step_size=0.1),
    "contrastive_divergence": lambda energy: contrastive_divergence(energy, XI, X),
    "sample": lambda energy: sample(energy, X, 3),
    "mixture": lambda energy: mixture(energy, X),
    "log_partition": lambda energy: log_partition(energy, X),
    "log_likelihood": lambda energy: log_likelihood(energy, XI, X),
    "fit": lambda energy: fit(energy, XI, X),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "energy",
    ["lse", "0.5*|xi|^2 - lse(X @ xi)", REGISTRY.energies["lse"], FormulaEnergy, lambda xi, X: xi],
    ids=["name", "formula", "entry", "class", "function"],
)
def test_what_only_names_an_energy_is_refused(call, energy):
    with pytest.raises(TypeError, match=r"energy must be one that is made, as attenergy.make_ene"):
        CALLS[call](energy)


@pytest.mark.parametrize("call", CALLS)
def test_an_energy_that_is_made_is_taken(call):
    CALLS[call](make_energy("lse", dim=4, registry=REGISTRY))
