"""What `config.json` says of each kind of module; folders of earlier versions say the same."""

from __future__ import annotations

import json

import pytest
import torch

from attenergy.attention import (
    EnergyAttention,
    EnergyLookup,
    EnergyPooling,
    EnergyTransformerBlock,
    LanguageModel,
    Pretrained,
    Transformer,
    make_mixer,
)
from attenergy.attention.loading import build
from attenergy.attention.saving.format import LayerArguments, ModelArguments
from attenergy.attention.saving.pretrained import describe
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
SIZES = {"width": 8, "heads": 2, "layers": 2, "mlp": 16, "length": 6}


def layer(**options):
    return EnergyAttention(8, 2, "lse", registry=REGISTRY, **options)


def windowed(**options):
    return make_mixer("window", embed_dim=8, num_heads=2, registry=REGISTRY, **options)


MODULES = {
    "attention": lambda: layer(steps=2, beta=4.0, head_dim=6, dropout=0.1),
    "mixer": lambda: windowed(window=2),
    "lookup": lambda: EnergyLookup(8, 2, "lse", num_patterns=5, registry=REGISTRY),
    "pooling": lambda: EnergyPooling(8, 2, "lse", num_queries=3, steps=2, registry=REGISTRY),
    "block": lambda: EnergyTransformerBlock(
        8, 2, "energy_transformer", memories=3, registry=REGISTRY
    ),
    "model": lambda: Transformer(
        kind="vector", size=5, outputs=3, positions="relative", make_layer=layer, conv=3, **SIZES
    ),
    "language": lambda: LanguageModel(vocabulary=7, make_layer=windowed, **SIZES),
}
LSE = {"name": "lse", "embed_dim": 8, "num_heads": 2, "head_dim": None, "dropout": 0.0}
WINDOW = {"name": "WindowAttention", "embed_dim": 8, "num_heads": 2, "head_dim": None}
WINDOW |= {"dropout": 0.0}
MODEL = {"layers": 2, "mlp": 16, "positions": "relative", "length": 6, "channels": 1}
MODEL |= {"checkpoint": False}
CONFIGS = {
    "attention": LSE | {"head_dim": 6, "dropout": 0.1, "settings": {"steps": 2, "beta": 4.0}},
    "mixer": WINDOW | {"settings": {"window": 2}},
    "lookup": LSE | {"kind": "lookup", "settings": {"num_patterns": 5}},
    "pooling": LSE | {"kind": "pooling", "settings": {"steps": 2, "num_queries": 3}},
    "block": LSE | {"kind": "block", "name": "energy_transformer", "settings": {"memories": 3}},
    "model": MODEL
    | {"layer": LSE | {"settings": {}}, "kind": "vector", "size": 5, "outputs": 3, "causal": False}
    | {"conv": 3, "readout": "position", "language": False},
    "language": MODEL
    | {"layer": WINDOW | {"settings": {"window": 8}}, "kind": "token", "size": 7, "outputs": 7}
    | {"causal": True, "conv": 0, "readout": "tied", "language": True},
}


def without_entries(config):
    """The description without registry entries and what stands beside them for blocks alone."""
    layer = dict(config.get("layer", config))
    assert layer.pop("spec")["title"]
    layer.pop("memory", None)
    return config | {"layer": layer} if "layer" in config else layer


@pytest.mark.parametrize("kind", MODULES)
def test_a_configuration_says_what_it_always_said(kind, tmp_path):
    module = MODULES[kind]()
    folder = module.save_pretrained(tmp_path / "saved")
    config = json.loads((folder / "config.json").read_text())
    part = "model" if kind in ("model", "language") else "layer"
    assert list(config) == ["format", part, "about"]
    assert without_entries(config[part]) == CONFIGS[kind]
    arguments = {"model": ModelArguments, "layer": LayerArguments}[part]
    again = build(arguments.model_validate(config[part]))
    assert type(again) is type(module)
    again.load_state_dict(module.state_dict())


def test_a_class_of_ones_own_describes_itself(tmp_path):
    class Own(Pretrained, torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in layer().named_children():
                self.add_module(name, part)

        def description(self):
            return describe(layer()).model_copy(update={"name": "own"})

    class Other(Pretrained, torch.nn.Linear):
        description = Own.description

    with pytest.raises(ValueError, match="Other cannot be saved"):  # it would not be read again
        Other(8, 8).save_pretrained(tmp_path / "saved")
    Own().save_pretrained(tmp_path / "saved")
    assert "# own, an attention layer" in (tmp_path / "saved" / "README.md").read_text()


def test_a_model_of_models_is_not_described():
    model = MODULES["model"]()
    model.blocks[0].mixer = MODULES["model"]()
    with pytest.raises(ValueError, match="not a model of models"):
        describe(model)
