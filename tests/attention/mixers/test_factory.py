"""Building mixers by name, and what is said when that fails."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention.mixers import CLASSES, HypernetworkAttention, make_mixer
from attenergy.registry import MixerSpec, load_registry

REGISTRY = load_registry(plugins=False)


@pytest.mark.parametrize("name", REGISTRY.mixers)
def test_every_entry_builds_and_runs(name):
    layer = make_mixer(name, embed_dim=8, num_heads=2, length=5, registry=REGISTRY)
    x = torch.randn(2, 3, 8)
    assert layer(x).shape == (2, 3, 8)
    if layer.has_weights:
        out, weights = layer(x, need_weights=True)
        assert out.shape == (2, 3, 8)
        assert weights.shape == (2, 2, 3, 3)
    if layer.takes_context:
        assert layer(x, torch.randn(2, 5, 8)).shape == (2, 3, 8)


def test_every_class_has_an_entry():
    assert {spec.class_ for spec in REGISTRY.mixers.values()} == set(CLASSES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("window", {"window": 1}),
        ("top_k", {"kept": 1}),
        ("low_rank", {"rank": 1}),
        ("performer", {"num_features": 1}),
        ("token_mixing", {"hidden": 1}),
        ("attention_sh", {"scales": (3, 1)}),
    ],
)
def test_options_of_entries(name, values):
    layer = make_mixer(name, embed_dim=8, num_heads=2, length=5, registry=REGISTRY, **values)
    text = ", ".join(f"{k}={v}" for k, v in values.items())
    assert text.replace("(3, 1)", "3,1") in repr(layer)
    assert layer(torch.randn(2, 5, 8)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("softmax", ("softmax", "linear")),
        ("linear", ("none", "linear")),
        ("linear_rms_head", ("rms_head", "linear")),
        ("linear_rms_head_relu_values", ("rms_head", "relu_values")),
        ("hyla", ("rms_head", "relu")),
        ("hyla_no_rms_head", ("none", "relu")),
        ("hyla_no_relu", ("rms_head", "hyper_linear")),
        ("hyla_no_rms_head_no_relu", ("none", "hyper_linear")),
        ("hyla_softmax", ("softmax", "relu")),
        ("hyla_deep", ("rms_head", "deep")),
    ],
)
def test_built_in_entries_are_what_they_are_named_after(name, kind):
    sizes = {"head_dim": 3, "value_dim": 5, "dropout": 0.2}
    layer = make_mixer(name, embed_dim=8, num_heads=2, registry=REGISTRY, **sizes)
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
        ("hyla", {"normalise": "none"}, r"no argument 'normalise' \(did you mean 'normalize'"),
        ("hyla", {"normalize": "rmshead"}, r"normalize must be one of softmax, none, rms_head"),
        ("hyla", {"value_network": "rel"}, r"got 'rel' .*did you mean 'relu'"),
        ("hyla", {"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1"),
        ("hyla", {"num_heads": 3}, r"embed_dim \(8\) is not a multiple of num_heads \(3\)"),
        ("hyla", {"num_heads": 0}, r"num_heads must be at least 1, got 0"),
        ("hyla", {"head_dim": -1}, r"head_dim must be at least 1, got -1"),
        ("window", {"window": 0}, r"window must be at least 1, got 0"),
        ("top_k", {"kept": 0}, r"kept must be at least 1, got 0"),
        ("performer", {"num_features": 0}, r"num_features must be at least 1, got 0"),
        ("low_rank", {"rank": 0, "length": 4}, r"rank must be at least 1, got 0"),
        ("low_rank", {"length": 0}, r"length must be at least 1, got 0"),
        ("low_rank", {}, r"parameters for every place of a sequence: give `length`"),
        ("token_mixing", {}, r"parameters for every place of a sequence: give `length`"),
        ("token_mixing", {"hidden": 0, "length": 4}, r"hidden must be at least 1, got 0"),
        ("attention_sh", {"scales": "1,a"}, r"whole numbers from 1, such as '1,2', got '1,a'"),
        ("attention_sh", {"scales": 0}, r"whole numbers from 1, such as '1,2', got 0"),
        ("attention_sh", {"scales": "1,2,4"}, r"3 scales \('1,2,4'\) are too many for 2 heads"),
        ("aaren", {"context_dim": 4}, r"Aaren takes no context, and so no context_dim"),
        (
            "mean",
            {"widow": 4},
            r"takes no argument 'widow'; .* settings of the mixer '.*': context_dim, bias",
        ),
    ],
)
def test_errors_name_what_was_got_and_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_mixer(name, **({"embed_dim": 8, "num_heads": 2, "registry": REGISTRY} | options))


def test_unknown_class():
    spec = MixerSpec(title="typo", class_="HypernetworkAttentoin")
    with pytest.raises(ValueError, match="did you mean 'HypernetworkAttention'"):
        make_mixer(spec, embed_dim=8, num_heads=2)


def test_printed_layers_say_what_they_are():
    text = repr(make_mixer("hyla", embed_dim=8, num_heads=2))
    assert "normalize=rms_head, value_network=relu, dropout=0" in text


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        ("aaren", {"context": torch.ones(2, 3, 8)}, "Aaren mixes the states .* takes no context"),
        ("identity", {"context": torch.ones(2, 3, 8)}, "NoMixing mixes .* takes no context"),
        ("performer", {"field": torch.zeros(3, 3)}, "Performer reads no field"),
        ("token_mixing", {"need_weights": True}, "TokenMixing has no weights over patterns"),
        ("low_rank", {"context": torch.ones(2, 6, 8)}, "6 places is too long for a mixer of 5"),
        ("token_mixing", {"context": torch.ones(2, 6, 8)}, "6 places is too long for a mixer of"),
    ],
)
def test_calls_that_are_refused(name, call, message):
    layer = make_mixer(name, embed_dim=8, num_heads=2, length=5, registry=REGISTRY)
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(2, 3, 8), **call)
