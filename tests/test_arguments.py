"""Nothing is dropped silently: unknown keywords and numbers that are none, in all public calls."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attenergy
from attenergy import attention, contrastive_divergence
from attenergy.attention import (
    AssociativeMemory,
    Decoder,
    EnergyAttention,
    EnergyLookup,
    EnergyMultiheadAttention,
    EnergyPooling,
    EnergyTransformerBlock,
    HypernetworkAttention,
    LanguageModel,
    Transformer,
    gradient,
    langevin,
    make_layer,
    make_mixer,
    read_values,
    relax,
    replace_attention,
)
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.tasks import make_task, needs_data

REGISTRY = load_registry(plugins=False)
#: What has no argument of its own to refuse: results, bases, protocols, what takes files or models.
WITHOUT_NUMBERS = {
    "AttenergyError", "Chain", "Contrast", "Decoder", "Energy", "Function", "HeadGroups",
    "LayerTrace", "ModelTrace", "Pretrained", "Recall", "Registry", "Relaxation", "SOLVERS",
    "Solver", "Task", "Traced", "TracedLayer", "__version__", "association", "attention_weights",
    "backends", "energize", "load", "load_energized", "load_plugins", "load_registry", "save",
    "suggest", "trace", "tune_cpu",
    *(name for name in attenergy.__all__ if name.startswith("register_")),
}  # fmt: skip

lse = make_energy("lse", dim=4, registry=REGISTRY)
hopfield = make_energy("graph_hopfield", dim=4, registry=REGISTRY)
XI, X = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
memory = AssociativeMemory("lse", registry=REGISTRY).store(torch.randn(3, 4))
make = partial(make_layer, "lse", embed_dim=8, num_heads=2, registry=REGISTRY)
model = LanguageModel(vocabulary=5, length=4, width=8, heads=2, layers=1, mlp=0, make_layer=make)

NO_ENERGY = r"must be the name of an energy .* EnergySpec.* function"
NO_TENSOR = r"must be a torch tensor, got (ndarray|list)"
LAYER = [
    "embed_dim",
    "num_heads",
    "steps",
    "step_size",
    "head_dim",
    "dropout",
    "beta",
    "value_dim",
    "num_kv_heads",
]
MORE = ["context_dim", "value_context_dim", "rotary", "rotary_base", "bias", "energy_per_step"]
SIZES = ["width", "heads", "layers", "mlp", "length", "conv"]

Case = tuple[Callable[..., Any], dict[str, Any], list[str]]
CASES: dict[str, Case] = {
    "EnergyAttention": (
        partial(EnergyAttention, registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        LAYER + MORE,
    ),
    "EnergyPooling": (
        partial(EnergyPooling, registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        [*LAYER, "num_queries"],
    ),
    "EnergyLookup": (
        partial(EnergyLookup, registry=REGISTRY),
        {"embed_dim": 8, "num_heads": 2, "num_patterns": 3},
        ["embed_dim", "num_heads", "num_patterns", "steps", "step_size", "head_dim", "dropout",
         "beta", "value_dim", "bias"],
    ),
    "EnergyTransformerBlock": (
        partial(EnergyTransformerBlock, registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        ["embed_dim", "num_heads", "memories", "head_dim", "steps", "step_size", "beta"],
    ),
    "EnergyMultiheadAttention": (
        partial(EnergyMultiheadAttention, registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        ["embed_dim", "num_heads", "dropout", "steps", "step_size", "beta"],
    ),
    "make_layer": (
        partial(make_layer, "lse", registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        LAYER + MORE,
    ),
    "make_mixer": (
        partial(make_mixer, "softmax", registry=REGISTRY), {"embed_dim": 8, "num_heads": 2},
        ["embed_dim", "num_heads", "head_dim", "value_dim", "dropout"],
    ),
    "HypernetworkAttention": (
        HypernetworkAttention,
        {"embed_dim": 8, "num_heads": 2, "normalize": "softmax", "value_network": "linear"},
        ["embed_dim", "num_heads", "head_dim", "value_dim", "context_dim", "dropout", "rotary"],
    ),
    "Transformer": (
        Transformer,
        {"kind": "vector", "size": 3, "outputs": 2, "positions": "none", "make_layer": make,
         "width": 8, "heads": 2, "layers": 1, "mlp": 0, "length": 4},
        [*SIZES, "outputs", "size", "channels", "causal", "checkpoint"],
    ),
    "LanguageModel": (
        LanguageModel,
        {"vocabulary": 5, "make_layer": make, "width": 8, "heads": 2, "layers": 1, "mlp": 0,
         "length": 4},
        [*SIZES, "vocabulary", "tied", "checkpoint"],
    ),
    "LanguageModel.generate": (
        model.generate, {"tokens": torch.zeros(1, 2).long(), "n": 1}, ["n", "temperature"],
    ),
    "AssociativeMemory": (
        partial(AssociativeMemory, "lse", registry=REGISTRY), {}, ["dim", "beta"],
    ),
    "AssociativeMemory.recall": (
        memory.recall, {"states": torch.randn(2, 4)}, ["steps", "step_size", "tolerance", "seed"],
    ),
    "AssociativeMemory.suggest_beta": (
        memory.suggest_beta, {"noise": "gaussian(0.1)", "tries": 3, "steps": 2},
        ["noise", "target", "within", "tries", "steps", "seed"],
    ),
    "AssociativeMemory.with_beta": (memory.with_beta, {"beta": 2.0}, ["beta"]),
    "relax": (
        relax, {"energy": lse, "xi": XI, "X": X}, ["steps", "step_size", "damping", "momentum"],
    ),
    "relax to rest": (
        partial(relax, solver="fixed_point"), {"energy": lse, "xi": XI, "X": X}, ["tolerance"],
    ),
    "contrastive_divergence": (
        contrastive_divergence, {"energy": lse, "data": XI, "X": X},
        ["steps", "step_size", "temperature"],
    ),
    "relax with noise": (
        partial(relax, solver="langevin"), {"energy": lse, "xi": XI, "X": X},
        ["step_size", "temperature"],
    ),
    "relax implicitly": (
        partial(relax, solver="semi_implicit"), {"energy": hopfield, "xi": XI, "X": X},
        ["damping", "momentum"],
    ),
    "langevin": (
        langevin, {"energy": lse, "xi": XI, "X": X, "steps": 1, "step_size": 0.1},
        ["steps", "step_size", "temperature"],
    ),
    "gradient": (gradient, {"energy": lse, "xi": XI, "X": X}, []),
    "read_values": (read_values, {"energy": lse, "xi": XI, "X": X, "values": X}, []),
    "replace_attention": (
        lambda **more: replace_attention(
            nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), "lse", **more
        ),
        {}, ["steps", "step_size", "beta"],
    ),
    "make_energy": (
        partial(make_energy, "lse", registry=REGISTRY), {"dim": 4}, ["dim", "num_heads", "beta"],
    ),
}  # fmt: skip
MIXERS = {
    "window": ["window"], "top_k": ["kept"], "performer": ["num_features"],
    "low_rank": ["rank", "length"], "token_mixing": ["hidden", "length"],
    "attention_sh": ["scales"],
}  # fmt: skip
for _name, _options in MIXERS.items():
    CASES[f"mixer {_name}"] = (
        partial(make_mixer, _name, registry=REGISTRY),
        {"embed_dim": 8, "num_heads": 2, "length": 6},
        _options,
    )


def _keywords(call):
    """What a case fills in by itself."""
    return getattr(call, "keywords", {})


def refused(call, given, name, value):
    """The error, whose text names the argument."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(**(given | {name: value}))
    assert name in str(caught.value), f"{name}={value!r} is not named"


@pytest.mark.parametrize("case", list(CASES))
def test_numbers_that_are_none_are_refused(case):
    call, given, numbers = CASES[case]
    call(**given)
    for name in numbers:
        for value in (math.nan, math.inf, -math.inf, "many", np.array([1.5, 2.0])):
            refused(call, given, name, value)


@pytest.mark.parametrize("case", list(CASES))
def test_unknown_keywords_are_refused(case):
    call, given, _ = CASES[case]
    refused(call, given, "betta", 3)


@pytest.mark.parametrize("case", [n for n, c in CASES.items() if "registry" in _keywords(c[0])])
def test_what_is_no_registry_is_said(case):
    call, given, _ = CASES[case]
    refused(call, given, "registry", "my.yaml")


def test_every_public_name_is_tried():
    names = {*attenergy.__all__, *attention.__all__}
    public = {name for name in names if not name.startswith("register_")}
    tried = {name.split(".")[0] for name in CASES} | WITHOUT_NUMBERS | {"make_task"}
    assert public <= tried, sorted(public - tried)


@pytest.mark.parametrize("name", list(REGISTRY.energies))
def test_options_of_energies_are_finite(name):
    spec = REGISTRY.energies[name]
    numbers = [n for n, o in spec.options.items() if isinstance(o.default, (int, float))]
    for option in (*spec.parameters, *numbers):
        for value in (math.nan, math.inf, -math.inf):
            refused(partial(make_energy, name, registry=REGISTRY), {"dim": 4}, option, value)
    refused(partial(make_energy, name, registry=REGISTRY), {"dim": 4}, "betta", 3)


@pytest.mark.parametrize("name", list(REGISTRY.energies))
def test_what_is_below_the_range_of_an_energys_number_is_refused(name):
    """Every parameter with a constraint and every option that is a number; none goes below -1."""
    spec = REGISTRY.energies[name]
    bounded = [n for n, p in spec.parameters.items() if p.constraint != "real"]
    numbers = [n for n, o in spec.options.items() if isinstance(o.default, (int, float))]
    for option in (*bounded, *numbers):
        refused(partial(make_energy, name, registry=REGISTRY), {"dim": 4}, option, -3)


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.tasks.items() if not needs_data(s)])
def test_options_of_tasks_are_finite(name):
    call = partial(make_task, name, registry=REGISTRY)
    refused(call, {}, "betta", 3)
    for option in inspect.signature(type(call())).parameters.values():
        if isinstance(option.default, (int, float)) and not isinstance(option.default, bool):
            for value in (math.nan, math.inf, -math.inf):
                refused(call, {}, option.name, value)


@pytest.mark.parametrize("energy", [EnergyAttention, nn.Linear(2, 2), 3, None, {"title": "lse"}])
def test_what_is_no_energy_is_said(energy):
    for call in (
        partial(EnergyAttention, 8, 2),
        partial(EnergyTransformerBlock, 8, 2),
        lambda e: EnergyTransformerBlock(8, 2, memory=e, registry=REGISTRY),
        lambda e: make_energy(e, dim=4),
        lambda e: relax(e, XI, X),
    ):
        with pytest.raises(TypeError, match=NO_ENERGY):
            call(energy)
    with pytest.raises(TypeError, match="name of a mixer"):
        make_mixer(energy, embed_dim=8, num_heads=2)
    with pytest.raises(TypeError, match=NO_ENERGY):
        AssociativeMemory(energy)


def test_a_memory_is_refused_when_it_is_made():
    for energy, settings in (("hopfield", {}), ("lse", {"beta": -3}), ("lse", {"betta": 3})):
        with pytest.raises(ValueError, match=next(iter(settings), "hopfield")):
            AssociativeMemory(energy, **settings)
    with pytest.raises(ValueError, match="reads no stored patterns"):
        AssociativeMemory("energy_transformer")
    before = torch.get_rng_state()
    AssociativeMemory("learned", registry=REGISTRY)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [np.asarray, lambda x: x.tolist()])
def test_what_is_no_tensor_is_said(kind):
    x, xi, X = (kind(torch.randn(*s)) for s in ((2, 3, 8), (2, 3, 4), (2, 5, 4)))
    mask, block = kind(torch.ones(3, 3).bool()), EnergyTransformerBlock(8, 2, registry=REGISTRY)
    t, layer, mixer = torch.randn(2, 3, 8), make(), CASES["make_mixer"][0](embed_dim=8, num_heads=2)
    tokens, known = kind(torch.zeros(1, 2).long()), torch.zeros(1, 2).long()
    pooling = EnergyPooling(8, 2, registry=REGISTRY)
    lookup = EnergyLookup(8, 2, num_patterns=3, registry=REGISTRY)
    calls = [
        lambda: layer(x), lambda: layer(t, x), lambda: layer(t, mask=mask), lambda: mixer(x),
        lambda: layer(t, field=mask), lambda: mixer(t, mask=mask), lambda: block(x),
        lambda: block(t, mask=mask), lambda: pooling(x), lambda: lookup(x),
        lambda: model(tokens), lambda: model(known, mask=mask), lambda: model.generate(tokens, 1),
        lambda: Decoder(model).extend(tokens),
        lambda: relax(lse, xi, XI), lambda: relax(lse, XI, X),
        lambda: relax(lse, XI, XI, mask=mask),
        lambda: gradient(lse, XI, X), lambda: read_values(lse, XI, XI, xi),
        lambda: langevin(lse, xi, XI, steps=1, step_size=0.1),
        lambda: lse(xi, XI), lambda: lse(XI, X), lambda: lse(XI, XI, mask=mask),
        lambda: memory.recall(xi), lambda: memory.energy(xi), lambda: memory.store(xi),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match=NO_TENSOR):
            call()


def test_packages_are_loaded_as_attributes() -> None:
    """`attenergy.analysis.fixed_points` works after `import attenergy` alone."""
    names = ("analysis", "attention", "energies", "registry", "search", "tasks", "testing")
    for name in names:
        assert attenergy.__getattr__(name).__name__ == f"attenergy.{name}"
