"""save_pretrained and from_pretrained of layers, transformers and language models."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import attenergy
from attenergy.attention import EnergyAttention, Transformer
from attenergy.attention.loading import build, load
from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.language_model import LanguageModel
from attenergy.attention.saving.description import read_arguments
from attenergy.attention.saving.format import LayerArguments, save
from attenergy.attention.saving.pretrained import Pretrained, describe
from attenergy.attention.saving.weights import SavedError
from tests.attention.conftest import REGISTRY, moved


class Layer(EnergyAttention, Pretrained):
    """An energy's layer that keeps its arguments."""


class Mixer(HypernetworkAttention, Pretrained):
    """A mixer that keeps its arguments."""


rbm = partial(Layer, 8, 2, "rbm", prior="spin", steps=3, step_size=0.7, registry=REGISTRY)


def transformer(make_layer=rbm, **options):
    sizes = {"kind": "vector", "size": 5, "length": 6, "outputs": 3, "layers": 2, "width": 8}
    sizes |= {"heads": 2, "mlp": 16, "positions": "relative"} | options
    return moved(Transformer(make_layer=make_layer, **sizes))


def language_model(**options):
    sizes = {"vocabulary": 7, "length": 6, "width": 8, "heads": 2, "layers": 2, "mlp": 16}
    make_layer = partial(Layer, 8, 2, registry=REGISTRY)
    return moved(LanguageModel(make_layer=make_layer, **(sizes | options)))


def test_a_layer_is_described_by_what_it_was_made_of():
    description = describe(rbm(dropout=0.1, head_dim=6, bias=False))
    assert (description.name, description.spec) == ("rbm", REGISTRY.layer("rbm"))
    assert (
        description.embed_dim,
        description.num_heads,
        description.head_dim,
        description.dropout,
    ) == (8, 2, 6, 0.1)
    settings = {"prior": "spin", "steps": 3, "step_size": 0.7, "bias": False}
    assert description.settings == settings


def test_a_layer_alone_is_saved_and_loaded(tmp_path: Path):
    layer, x = moved(rbm(head_dim=6)), torch.randn(2, 5, 8)
    layer.save_pretrained(tmp_path / "out")
    again = attenergy.load(tmp_path / "out")
    assert torch.equal(again(x), layer(x))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("README.md", "config.json", "model.safetensors")
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["layer"]["spec"]["formula"].startswith("0.5*|xi|^2")
    with pytest.raises(SavedError, match="holds a layer alone, not a model"):
        load(tmp_path / "out", part="model")
    with pytest.raises(SavedError, match="holds a layer alone, not a model"):
        read_arguments(tmp_path / "out")
    with pytest.raises(ValueError, match="no layer 1: the folder holds one layer alone"):
        load(tmp_path / "out", index=1)


def test_a_mixer_alone_is_saved_and_loaded(tmp_path: Path):
    layer = moved(Mixer(8, 2, normalize="rms_head", value_network="relu", value_dim=3))
    layer.save_pretrained(tmp_path / "out")
    x, again = torch.randn(2, 5, 8), attenergy.load(tmp_path / "out")
    assert torch.equal(again(x), layer(x))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True, "conv": 3, "readout": "bottleneck", "checkpoint": True},
        {"positions": "rotary", "make_layer": partial(Layer, 8, 2, registry=REGISTRY)},
        {"positions": "absolute", "mlp": 0},
    ],
)
def test_a_transformer_computes_the_same_bits(options, tmp_path: Path):
    model, x = transformer(**options), torch.randn(2, 6, 5)
    model.save_pretrained(tmp_path / "out")
    again = Transformer.from_pretrained(tmp_path / "out")
    assert torch.equal(again(x), model(x))
    assert again.options == model.options | {"channels": 1}
    assert again.training
    layer = load(tmp_path / "out", index=1)
    states = torch.randn(2, 6, 8)
    assert torch.equal(layer(states), model.blocks[1].mixer(states))


@pytest.mark.parametrize("options", [{}, {"tied": False, "positions": "rotary", "conv": 2}])
def test_a_language_model_computes_and_draws_the_same(options, tmp_path: Path):
    model, tokens = language_model(**options), torch.randint(7, (2, 5))
    model.save_pretrained(tmp_path / "out")
    again = LanguageModel.from_pretrained(tmp_path / "out")
    assert type(load(tmp_path / "out", part="model")) is LanguageModel
    assert torch.equal(again(tokens), model(tokens))
    drawn = [
        m.generate(tokens, 4, generator=torch.Generator().manual_seed(1)) for m in (model, again)
    ]
    assert torch.equal(*drawn)


def test_what_was_loaded_is_saved_again(tmp_path: Path):
    transformer().save_pretrained(tmp_path / "first")
    arguments = read_arguments(tmp_path / "first")
    again = transformer(partial(rbm))
    again.save_pretrained(tmp_path / "second")
    assert read_arguments(tmp_path / "second") == arguments


def test_a_folder_of_another_class_is_refused(tmp_path: Path):
    transformer().save_pretrained(tmp_path / "out")
    with pytest.raises(SavedError, match="holds a Transformer, not a LanguageModel"):
        LanguageModel.from_pretrained(tmp_path / "out")
    with pytest.raises(SavedError, match="nowhere: not a saved model"):
        LanguageModel.from_pretrained(tmp_path / "nowhere")


def test_folders_are_replaced_by_force_alone(tmp_path: Path):
    first, second = transformer(), transformer()
    first.save_pretrained(tmp_path / "out")
    with pytest.raises(SavedError, match="already holds an export"):
        second.save_pretrained(tmp_path / "out")
    second.save_pretrained(tmp_path / "out", force=True)
    x = torch.randn(2, 6, 5)
    assert torch.equal(Transformer.from_pretrained(tmp_path / "out")(x), second(x))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    with pytest.raises(SavedError, match="holds other files"):
        second.save_pretrained(tmp_path / "thesis", force=True)


def test_cards_say_what_is_in_the_folder(tmp_path: Path):
    transformer().save_pretrained(tmp_path / "mine")
    text = (tmp_path / "mine" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: attenergy\n")
    for part in ("# rbm, a transformer", 'attenergy.load("mine", part="model")', "blocks: 2"):
        assert part in text
    assert REGISTRY.layer("rbm").title in text
    language_model().save_pretrained(tmp_path / "other", card="# Mine\n")
    assert (tmp_path / "other" / "README.md").read_text() == "# Mine\n"


def test_what_cannot_be_described_is_said(tmp_path: Path):
    plain = transformer(partial(nn.Linear, 8, 8), positions="none")
    with pytest.raises(ValueError, match="class Linear does not keep its arguments"):
        plain.save_pretrained(tmp_path / "out")
    own = type("Own", (nn.Linear, Pretrained), {})
    foreign = transformer(partial(own, 8, 8), positions="none")
    with pytest.raises(ValueError, match="class Own cannot be described: it is neither"):
        foreign.save_pretrained(tmp_path / "out")
    layers = iter([rbm(), own(8, 8)])
    mixed = transformer(lambda: next(layers), positions="none")
    with pytest.raises(ValueError, match="class Own cannot be described"):
        mixed.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_constructors_complain_and_look_as_ever():
    assert {"make_layer", "outputs", "inputs"} <= set(inspect.signature(Transformer).parameters)
    assert "embed_dim" in inspect.signature(Layer).parameters
    with pytest.raises(TypeError, match="embed_dim"):
        Layer()
    with pytest.raises(TypeError, match="width"):
        Transformer(outputs=1)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])  # noqa: S301
def test_copies_keep_their_arguments(again):
    model = transformer()
    loaded = again(model)
    x = torch.randn(2, 6, 5)
    assert torch.equal(loaded(x), model(x))
    assert describe(loaded) == describe(model)


@pytest.mark.parametrize("name", ["softmax", "low_rank"])
def test_mixers_get_the_length_and_no_rotation_that_they_do_not_take(name):
    layer = LayerArguments(name=name, spec=REGISTRY.layer(name), embed_dim=8, num_heads=2)
    arguments = describe(transformer()).model_copy(update={"layer": layer, "positions": "rotary"})
    model = build(arguments)
    assert model.positions_used in ("rotary", "absolute")
    assert model(torch.randn(2, 6, 5)).shape == (2, 6, 3)


def test_a_described_model_can_be_saved_by_hand(tmp_path: Path):
    model = language_model()
    save(tmp_path / "out", model=model, arguments=describe(model), about={"task": "text"})
    tokens = torch.randint(7, (2, 5))
    assert torch.equal(attenergy.load(tmp_path / "out", part="model")(tokens), model(tokens))
