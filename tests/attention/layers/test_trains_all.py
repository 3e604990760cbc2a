"""One backward pass reaches every parameter that is trained: none lies idle."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import (
    EnergyAttention,
    EnergyTransformerBlock,
    LanguageModel,
    Transformer,
    make_mixer,
)
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import float64
from tests.attention.conftest import LAYERS, REGISTRY, draw, model_sizes

NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
PATTERNS = [n for n in NAMES if ENERGIES[n].reads_patterns]
WEIGHTS = [n for n in NAMES if ENERGIES[n].has_weights]
KINDS = ("attention", "lookup", "pooling")
CASES = [
    (layer, n, "auto", None)
    for n in NAMES
    for layer in KINDS
    if layer == "attention" or n in PATTERNS
]
CASES += [(layer, n, "weights", s) for n in WEIGHTS for layer in KINDS for s in (1, 2)]


def idle(module, *args, **options):
    """The parameters that are trained and got no gradient."""
    out = module(*args, **options)
    (out * torch.randn_like(out)).sum().backward()
    return [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.by_kind("lse", "classical_hopfield", "graph_hopfield", "gaussian_spins", "learned")
@pytest.mark.parametrize(("layer", "name", "read", "steps"), CASES)
def test_layers_train_every_parameter(layer, name, read, steps):
    with float64():
        made = LAYERS[layer](energy=name, read=read, steps=steps)
    assert idle(made, draw(2, 5, 8)) == []


@pytest.mark.parametrize("name", list(REGISTRY.mixers))
def test_mixers_train_every_parameter(name):
    with float64():
        made = make_mixer(name, embed_dim=8, num_heads=2, length=6, registry=REGISTRY)
    assert idle(made, draw(2, 5, 8)) == []


@pytest.mark.by_kind("lse", "binary_rbm", "gaussian_spins")
@pytest.mark.parametrize("name", NAMES)
def test_models_train_every_parameter(name):
    sizes = model_sizes(name, layers=2)
    with float64():
        model = Transformer(kind="vector", size=3, outputs=2, positions="relative", **sizes)
    assert idle(model, draw(2, 5, 3)) == []
    if not ENERGIES[name].states_interact:
        with float64():
            language = LanguageModel(vocabulary=7, **sizes)
        assert idle(language, torch.randint(0, 7, (2, 5))) == []


@pytest.mark.parametrize("name", ["energy_transformer", "hyper_set"])
@pytest.mark.parametrize("memory", ["et_memory", "lse", "rbm"])
def test_the_block_trains_every_parameter(name, memory):
    with float64():
        block = EnergyTransformerBlock(8, 2, name, memory, memories=3, registry=REGISTRY)
    assert idle(block, draw(2, 5, 8)) == []


def test_a_parameter_that_the_weights_do_not_read_rests_while_nothing_moves():
    formula = "0.5*c*|xi|^2 - lse(beta*(X @ xi) + h)/beta"
    parameters = {n: {"init": 1.0, "constraint": "positive"} for n in ("beta", "c")}
    spec = EnergySpec(title="two", formula=formula, parameters=parameters)

    def layer(steps):
        with float64():
            return EnergyAttention(8, 2, spec, steps=steps, read="weights")

    assert not layer(1).energy.parameters_.raw["c"].requires_grad
    assert layer(1).energy.parameters_.raw["beta"].requires_grad
    assert layer(2).energy.parameters_.raw["c"].requires_grad
    assert idle(layer(1), draw(2, 5, 8)) == idle(layer(2), draw(2, 5, 8)) == []
    assert list(layer(1).state_dict()) == list(layer(2).state_dict())  # it is saved all the same
