"""Building mixers by name, and what is said when that fails."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention.mixers import CLASSES, HypernetworkAttention, make_mixer
from attenergy.registry import MixerSpec, load_registry


@pytest.mark.parametrize("name", load_registry().mixers)
def test_every_entry_builds_and_runs(name):
    layer = make_mixer(name, embed_dim=8, num_heads=2)
    assert layer.reads_field
    assert layer(torch.randn(2, 3, 8)).shape == (2, 3, 8)
    out, weights = layer(torch.randn(2, 3, 8), torch.randn(2, 5, 8), need_weights=True)
    assert out.shape == (2, 3, 8)
    assert weights.shape == (2, 2, 3, 5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("softmax", ("softmax", "linear")),
        ("linear", ("none", "linear")),
        ("hyla", ("rms_head", "relu")),
    ],
)
def test_built_in_entries_are_what_they_are_named_after(name, kind):
    layer = make_mixer(name, embed_dim=8, num_heads=2, head_dim=3, value_dim=5, dropout=0.2)
    assert (layer.normalize, layer.value_network, layer.dropout) == (*kind, 0.2)
    assert layer.projections.query.weight.shape == (6, 8)
    assert layer.projections.value.weight.shape == (10, 8)


def test_options_replace_those_of_the_entry():
    spec = MixerSpec(
        title="ablation",
        class_="HypernetworkAttention",
        options={"normalize": {"default": "none"}, "value_network": {"default": "relu"}},
    )
    layer = make_mixer(spec, embed_dim=8, num_heads=2, normalize="softmax", bias=False)
    assert isinstance(layer, HypernetworkAttention)
    assert (layer.normalize, layer.value_network) == ("softmax", "relu")
    assert layer.projections.out.bias is None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hylla", {}, r"unknown mixer 'hylla' .*did you mean 'hyla'"),
        ("hyla", {"normalise": "none"}, r"unknown option .*'normalise'.*did you mean 'normalize'"),
        ("hyla", {"normalize": "rmshead"}, r"normalize must be one of softmax, none, rms_head"),
        ("hyla", {"value_network": "rel"}, r"got 'rel' .*did you mean 'relu'"),
        ("hyla", {"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1"),
        ("hyla", {"num_heads": 3}, r"embed_dim \(8\) is not a multiple of num_heads \(3\)"),
        ("hyla", {"num_heads": 0}, r"num_heads must be at least 1, got 0"),
        ("hyla", {"head_dim": -1}, r"head_dim must be at least 1, got -1"),
    ],
)
def test_errors_name_what_was_got_and_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_mixer(name, **({"embed_dim": 8, "num_heads": 2} | options))


def test_unknown_class():
    spec = MixerSpec(title="typo", class_="HypernetworkAttentoin")
    with pytest.raises(ValueError, match="did you mean 'HypernetworkAttention'"):
        make_mixer(spec, embed_dim=8, num_heads=2)


def test_printed_layers_say_what_they_are():
    text = repr(make_mixer("hyla", embed_dim=8, num_heads=2))
    assert "normalize=rms_head, value_network=relu, dropout=0" in text
    assert set(CLASSES) == {"HypernetworkAttention"}
