"""Models that a user's function builds around our layers, or whose attention is replaced."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import attenergy
from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.loading import build, build_own
from attenergy.attention.saving.description import read_arguments
from attenergy.attention.saving.format import save
from attenergy.attention.saving.own_model import (
    InputArguments,
    OutputArguments,
    OwnModelArguments,
    TaskArguments,
)
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    ModelSpec,
    OwnModel,
    UnknownName,
    load_registry,
    name_plugins,
)

REGISTRY = load_registry(plugins=False)
CODE = """
from torch import nn
from shutil import rmtree

class Net(nn.Module):
    def __init__(self, layers, task):
        super().__init__()
        self.embed = nn.Linear(task.inputs.size, 16)
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(16, task.outputs.size)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.out(x)

def build(make_layer, task, layers=2):
    return Net([make_layer(embed_dim=16) for _ in range(layers)], task)

def sizes(make_layer, task, *, width, depth=1, bias=True):
    assert width == 32
    return Net([make_layer(16, 2, rotary=True) for _ in range(depth)], task)

def plain(task):
    layer = nn.TransformerEncoderLayer(16, 2, 16, 0.0, batch_first=True)
    return nn.Sequential(nn.Linear(task.inputs.size, 16), nn.TransformerEncoder(layer, 2))

def idle(make_layer, task): return nn.Linear(2, 2)
def apart(make_layer, task): return nn.Linear(2, 2).requires_grad_(make_layer() is not None)
def nothing(task): return nn.Linear(2, 2)
def number(make_layer, task): return 3
def demands(make_layer, task, depth): return None
def fixed(make_layer, task): return Net([make_layer(16, steps=3)], task)
def tied(make_layer, task):
    net = build(make_layer, task)
    net.second = nn.Linear(task.inputs.size, 16)
    net.second.weight = net.embed.weight
    return net
class Direct(Net):
    def __init__(self, make_layer, task): super().__init__([make_layer(16, 4)], task)
"""
Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def own(own_module: Write) -> None:
    own_module("own_models", CODE)
    name_plugins(["own_models"])


def describe(function: str, variant: str = "lse", options: Any = None, **settings: Any) -> Any:
    builder = MODELS.lookup(f"own_models:{function}")
    return OwnModelArguments(
        own=OwnModel(build=builder.name, source=builder.source, options=options or {}),
        name=variant,
        layer=REGISTRY.variant(variant),
        settings=settings,
        model=ModelSpec(width=32, heads=4),
        task=TaskArguments(
            name="rows",
            inputs=InputArguments(kind="vector", size=3, length=5),
            outputs=OutputArguments(size=7),
        ),
    )


def test_every_call_gives_a_new_layer_of_the_run() -> None:
    model, defaults = build_own(describe("build", steps=2, beta=0.5))
    first, second = model.layers  # type: ignore[misc]
    assert isinstance(first, attenergy.EnergyAttention)
    assert first is not second
    assert (first.embed_dim, first.num_heads, first.steps) == (16, 4, 2)
    assert first.energy.parameters_.values()["beta"].flatten().tolist() == [0.5] * 4
    assert defaults == {"num_heads"}
    assert model(torch.randn(2, 5, 3)).shape == (2, 5, 7)


def test_each_call_gives_the_layer_of_its_block_where_blocks_differ() -> None:
    model: Any = build(describe("build", "lse/hyla"))
    assert [type(layer).__name__ for layer in model.layers] == [
        "EnergyAttention",
        "HypernetworkAttention",
    ]
    grouped: Any = build(describe("build", "lse+hyla"))
    assert [type(layer).__name__ for layer in grouped.layers] == ["HeadGroups"] * 2
    replaced: Any = build(describe("plain", "softmax/lse"))
    layers = [m for m in replaced.modules() if isinstance(m, nn.MultiheadAttention)]
    assert [isinstance(m, EnergyMultiheadAttention) for m in layers] == [False, True]
    with pytest.raises(ArgumentError, match="build has 3 attention layers: the stack lse/hyla ne"):
        build(describe("build", "lse/hyla", options={"layers": 3}))
    with pytest.raises(ArgumentError, match=r"not the groups of heads lse.rbm, which needs build"):
        build(describe("plain", "lse+rbm"))


def test_a_function_is_given_what_it_names() -> None:
    arguments = describe("sizes", options={"depth": 3})
    assert len(build(arguments).layers) == 3  # type: ignore[arg-type]
    assert MODELS.lookup("own_models:sizes").fields({"depth": 3}) == ("width",)
    assert build(describe("Direct"))(torch.randn(1, 5, 3)).shape == (1, 5, 7)
    with pytest.raises(UnknownName, match=r"no option of own_models:sizes 'dept' .did you mean"):
        build(describe("sizes", options={"dept": 3}))


@pytest.mark.parametrize("name", ["lse", "rbm", "softmax"])
def test_the_attention_of_a_plain_model_is_replaced(name: str) -> None:
    torch.manual_seed(3)
    model = build(describe("plain", name)).eval()
    torch.manual_seed(3)
    reference = build(describe("plain", "softmax")).eval()
    layers = [m for m in model.modules() if isinstance(m, nn.MultiheadAttention)]
    energies = [getattr(m, "heads", None) for m in layers]
    assert len(layers) == 2
    assert all(isinstance(m, EnergyMultiheadAttention) for m in layers) == (name != "softmax")
    assert all((heads is None) == (name == "softmax") for heads in energies)
    x = torch.randn(2, 5, 3)
    same = torch.allclose(model(x), reference(x), atol=1e-5)
    assert same == (name != "rbm")  # log-sum-exp and one step is softmax attention


@pytest.mark.parametrize(
    ("function", "variant", "error"),
    [
        ("idle", "lse", "idle never calls make_layer: every variant would be the same model"),
        ("apart", "lse", "the layer of call 1 of make_layer is no part of the model"),
        ("nothing", "lse", "takes no make_layer, and there is no nn.MultiheadAttention to replace"),
        ("plain", "hyla", "but not the mixer hyla, which needs build.make_layer, task."),
        ("demands", "lse", "nothing gives its argument 'depth'.*--model-option depth="),
    ],
)
def test_what_a_function_does_not_do_is_said(function: str, variant: str, error: str) -> None:
    with pytest.raises(ArgumentError, match=error):
        build(describe(function, variant))


def test_what_the_run_decides_is_not_for_the_function() -> None:
    with pytest.raises(ArgumentError, match="make_layer: 'steps' is what the run decides"):
        build(describe("fixed", steps=2))
    with pytest.raises(ArgumentTypeError, match=r"must return an nn\.Module, got int"):
        build(describe("number"))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("own_models:rmtree", "no function of own_models 'rmtree'"),
        ("own_models:buidl", "did you mean 'build'"),
        ("own_models", "write module:function"),
        ("os:system", "imported only if you name it: --model or --plugin os"),
        ("own_models:nn.Linear", "write module:function"),
    ],
)
def test_only_functions_of_named_modules_are_called(name: str, error: str) -> None:
    with pytest.raises(UnknownName, match=error):
        MODELS.lookup(name)


def test_a_saved_model_is_loaded_where_its_module_is_named(tmp_path: Path) -> None:
    arguments = describe("build", "lse", beta=0.5)
    model: Any = build(arguments).eval()
    folder = save(tmp_path / "out", model=model, arguments=arguments)
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == 2
    assert [need["provides"] for need in config["plugins"]] == [{"model": ["own_models:build"]}]
    x = torch.randn(2, 5, 3)
    loaded: Any = attenergy.load(folder, part="model").eval()
    assert loaded(x).equal(model(x))
    layer: Any = attenergy.load(folder, index=-1).eval()
    h = torch.randn(2, 5, 16)
    assert layer(h).equal(model.layers[1](h))
    with pytest.raises(ArgumentError, match="there is no layer 2: the model has 2"):
        attenergy.load(folder, index=2)
    with pytest.raises(SavedError, match="holds a user's own model"):
        read_arguments(folder)


def test_what_a_model_shares_it_still_shares_after_loading(tmp_path: Path) -> None:
    arguments = describe("tied")
    folder = save(tmp_path / "out", model=build(arguments), arguments=arguments)
    loaded: Any = attenergy.load(folder, part="model")
    assert loaded.second.weight is loaded.embed.weight


def test_a_folder_does_not_import_its_module(tmp_path: Path, own_module: Write) -> None:
    arguments = describe("build")
    folder = save(tmp_path / "out", model=build(arguments), arguments=arguments)
    own_module("own_models", "raise SystemExit('it was run')")
    with pytest.raises(SavedError, match=r"needed .model 'own_models:build'.*plugins=..own_models"):
        attenergy.load(folder, part="model")
    assert "own_models" not in sys.modules
    own_module("own_models", CODE + "# another file\n")
    with pytest.warns(UserWarning, match="the file of own_models:build has changed since"):
        attenergy.load(folder, part="model", plugins=["own_models"])
