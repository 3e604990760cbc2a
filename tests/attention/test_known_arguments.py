"""A keyword that nothing takes: what takes it is named, with all that it takes."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import attenergy
from attenergy.attention import (
    AssociativeMemory,
    EnergyAttention,
    EnergyLookup,
    EnergyMultiheadAttention,
    EnergyPooling,
    EnergyTransformerBlock,
    Transformer,
    make_layer,
    make_mixer,
    relax,
    replace_attention,
)
from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN, energize_gps
from attenergy.attention.layers.base import EnergyLayer
from attenergy.energies.settings.keywords import UnknownSetting, check_settings, known_arguments
from attenergy.registry import RESERVED, load_registry

REGISTRY = load_registry(plugins=False)
MODEL = {"outputs": 3, "layers": "lse", "width": 8, "heads": 2, "mlp": 0, "positions": "none"}
SHAPE = {"kind": "vector", "size": 5, "length": 4}


def gps(**options: Any) -> nn.Module:
    from torch_geometric.nn import GPSConv

    return energize_gps(GPSConv(8, None, heads=2), **options)


#: How each is called with what it cannot do without, and where its arguments are written.
CALLS: dict[str, tuple[Callable[..., Any], Any]] = {
    "EnergyAttention": (partial(EnergyAttention, 8, 2), EnergyAttention),
    "EnergyPooling": (partial(EnergyPooling, 8, 2), EnergyPooling),
    "EnergyLookup": (partial(EnergyLookup, 8, 2, num_patterns=3), EnergyLookup),
    "EnergyTransformerBlock": (partial(EnergyTransformerBlock, 8, 2), EnergyTransformerBlock),
    "EnergyMultiheadAttention": (
        partial(EnergyMultiheadAttention, 8, 2),
        EnergyMultiheadAttention,
    ),
    "EnergyConv": (partial(EnergyConv, 8, 8, 2), EnergyConv),
    "EnergyAggregation": (partial(EnergyAggregation, 8, 2), EnergyAggregation),
    "EnergyGNN": (partial(EnergyGNN, 8, 8, 2), EnergyGNN),
    "replace_attention": (
        lambda **options: replace_attention(nn.MultiheadAttention(8, 2), **options),
        replace_attention,
    ),
    "from_multihead": (
        partial(EnergyMultiheadAttention.from_multihead, nn.MultiheadAttention(8, 2)),
        EnergyMultiheadAttention.from_multihead,
    ),
    "energize_gps": (gps, energize_gps),
    "make_layer": (partial(make_layer, "lse", embed_dim=8, num_heads=2), make_layer),
    "make_mixer": (partial(make_mixer, "softmax", embed_dim=8, num_heads=2), make_mixer),
    "make_energy": (partial(attenergy.make_energy, "lse", dim=8), attenergy.make_energy),
    "relax": (partial(relax, "lse", torch.randn(3, 8), torch.randn(5, 8)), relax),
    "AssociativeMemory": (partial(AssociativeMemory, "lse"), AssociativeMemory),
    "Transformer": (partial(Transformer, **MODEL, **SHAPE), Transformer),
}
#: Names that are in no signature, by what takes them.
BESIDE = {
    "EnergyAttention": (*EnergyLayer.SETTINGS, *EnergyAttention.PROJECTION_SETTINGS, "beta"),
    "EnergyPooling": ("steps", "step_size", "read", "dropout", "head_dim", "num_kv_heads", "beta"),
    "EnergyLookup": (*EnergyLayer.SETTINGS, *EnergyLookup.PROJECTION_SETTINGS, "beta"),
    "EnergyTransformerBlock": ("beta",),
    "EnergyMultiheadAttention": ("read", *EnergyLayer.SETTINGS, "beta"),
    "EnergyConv": ("form", "head_dim", "bias", "add_self_loops", *EnergyLayer.SETTINGS, "beta"),
    "EnergyAggregation": ("steps", "form", "head_dim", "bias", *EnergyLayer.SETTINGS, "beta"),
    "EnergyGNN": ("heads", "energy", "steps", "add_self_loops", "edge_dim", "beta"),
    "replace_attention": ("steps", "step_size", "read", "registry", *EnergyLayer.SETTINGS, "beta"),
    "from_multihead": ("steps", "step_size", "read", "registry", "beta"),
    "energize_gps": ("steps", "step_size", "read", "registry", "beta"),
    "make_layer": ("steps", "step_size", "rotary", "num_kv_heads", "solver", "beta"),
    "make_mixer": ("context_dim", "bias", "rotary"),
    "make_energy": ("beta",),
    "relax": ("damping", "momentum", "tolerance", "temperature", "generator", "beta"),
    "AssociativeMemory": ("beta",),
    "Transformer": ("channels",),
}


def names(call: str) -> list[str]:
    """Every keyword that may be left away."""
    parameters = inspect.signature(CALLS[call][1]).parameters.values()
    gathering = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = [p for p in parameters if p.default is not p.empty and p.kind not in gathering]
    return [*(p.name for p in named), *BESIDE[call]]


@pytest.mark.parametrize("call", CALLS)
def test_a_slip_is_put_down_to_what_took_it(call):
    """For every argument, with its last letter twice."""
    for name in names(call):
        wrong = name + name[-1]
        with pytest.raises((ValueError, TypeError)) as caught:
            CALLS[call][0](**{wrong: 2})
        text = str(caught.value)
        assert text.startswith(f"{call} takes no argument '{wrong}' (did you mean '{name}'?)"), text
        known, settings = re.fullmatch(r".*; known: (.*); settings of (.*)", text).groups()
        assert set(names(call)) <= {*known.split(", "), *settings.split(": ")[-1].split(", ")}


@pytest.mark.parametrize(
    "energy",
    [
        "lse",
        "0.5*|xi|^2 - lse(beta * X @ xi)/beta",
        lambda xi, X, beta=1.0: 0.5 * (xi * xi).sum(-1) - torch.logsumexp(beta * X @ xi, -1),
        REGISTRY.energies["lse"],
        attenergy.make_energy("lse", dim=4, num_heads=2),
    ],
    ids=["name", "formula", "function", "entry", "made"],
)
def test_whatever_names_the_energy(energy):
    with pytest.raises(ValueError, match=r"no argument 'step' \(did you mean 'steps'\?\).*: beta$"):
        EnergyAttention(8, 2, energy, step=2)


def test_settings_of_an_energy_that_is_made():
    made = attenergy.make_energy("lse", dim=4, num_heads=2)
    with pytest.raises(ValueError, match="made already has its own dim and settings, got beta"):
        EnergyAttention(8, 2, made, beta=2.0)


def test_classes_of_users_take_what_theirs_takes():
    class Mine(EnergyAttention):
        def __init__(self, width: int, extra: int = 1, **options: Any) -> None:
            super().__init__(width, 2, **options)

    for wrong, right in (("step", "steps"), ("extr", "extra"), ("rotar", "rotary")):
        with pytest.raises(ValueError, match=f"^Mine takes no argument '{wrong}'.*'{right}'"):
            Mine(8, **{wrong: 2})


def test_pooling_offers_no_positions():
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is looked at
        EnergyPooling(8, 2, rotry=True)
    assert "rotary" not in str(caught.value)


@pytest.mark.parametrize("layer", ["lse+rbm", "softmax+lse"])
def test_groups_of_heads(layer):
    with pytest.raises(ValueError, match=r"^make_layer takes no argument 'head_dims'.*'head_dim'"):
        make_layer(layer, embed_dim=8, num_heads=2, head_dims=4)


def test_errors_are_pickled():
    with pytest.raises(UnknownSetting) as caught, known_arguments(relax, ["damping"]):
        check_settings({"dampin": 1}, ["beta"], "'Mine'")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert str(again) == str(caught.value)
    assert again.topic == caught.value.topic == "unknown-name"


@pytest.mark.parametrize(
    "layer",
    [
        EnergyAttention,
        EnergyPooling,
        EnergyLookup,
        EnergyMultiheadAttention,
        EnergyConv,
        EnergyAggregation,
    ],
)
def test_no_setting_has_the_name_of_an_argument(layer):
    """Else it could be declared, and never be given to this layer."""
    name = layer.__name__
    assert {n for n in names(name) if n not in ("beta", "embed_dim")} <= RESERVED
