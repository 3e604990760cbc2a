"""What attention with an energy refuses, in PyTorch's place."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from tests.attention.conftest import REGISTRY, draw
from tests.attention.integrations.conftest import (
    B,
    E,
    H,
    L,
    energise,
    make_multihead,
    plain,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_dim": 9}, r"embed_dim \(9\) is not a multiple of num_heads \(2\)"),
        ({"energy": "lsee"}, "did you mean 'lse'"),
        ({"betta": 1.0}, "did you mean 'beta'"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"step_size": -1.0}, "step_size must be above 0"),
        ({"step_size": float("inf")}, "step_size must be a finite number"),
        ({"beta": float("nan")}, "beta"),
        ({"num_heads": 2.0}, "num_heads must be a whole number"),
        ({"kdim": 0}, "kdim must be at least 1"),
        ({"vdim": float("nan")}, "vdim must be a whole number"),
        ({"batch_first": "yes"}, "batch_first must be True or False"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"energy": "uhop", "read": "weights"}, "defines no weights over patterns"),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        EnergyMultiheadAttention(
            **{"embed_dim": E, "num_heads": H, "registry": REGISTRY, **options}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": draw(B, L, 5)}, r"query must be \(B, length, width\)"),
        ({"key": draw(L, E)}, "all three alike"),
        ({"value": draw(B, 7, E)}, "key and value one length"),
        ({"query": draw(B, L, E).to_sparse()}, r"query must be a dense tensor, got torch.sparse_c"),
        ({"value": draw(B, L, E).to_sparse()}, r"value.to_dense\(\) makes one"),
        ({"is_causal": "no"}, "is_causal must be True or False, got 'no'"),
        ({"attn_mask": torch.zeros(L, 3).bool()}, r"attn_mask must have shape \(4, 4\) or"),
        ({"attn_mask": torch.zeros(L, L).long()}, "boolean or floating point, got torch.int64"),
        ({"key_padding_mask": torch.zeros(L).bool()}, r"key_padding_mask must have shape \(2, 4\)"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    x = draw(B, L, E)
    with pytest.raises(ValueError, match=message):
        make_multihead(batch_first=True)(**{"query": x, "key": x, "value": x, **change})


@pytest.mark.parametrize("name", ["query", "key", "value", "attn_mask", "key_padding_mask"])
def test_arrays_are_no_tensors(name):
    given = {n: draw(B, L, E) for n in ("query", "key", "value")}
    with pytest.raises(TypeError, match=f"{name} must be a torch tensor, got ndarray"):
        make_multihead(batch_first=True)(**{**given, name: draw(B, L).numpy()})


def test_what_some_energies_refuse():
    x, y = draw(B, L, E), draw(B, L, E)
    with pytest.raises(ValueError, match="cannot be causal"):
        make_multihead("graph_hopfield", batch_first=True)(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match="an energy of the states alone"):
        make_multihead("energy_transformer", batch_first=True)(x, y, y)


def old_weight_norm(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(module)


def seen_before(module, inputs):
    """A hook."""


HOOKS = {
    "SpectralNorm": nn.utils.spectral_norm,
    "WeightNorm": old_weight_norm,
    "seen_before": lambda out: out.register_forward_pre_hook(seen_before),
    "<lambda>": lambda out: out.register_forward_hook(lambda *_: None),
    "Linear": lambda out: out.register_forward_hook(nn.Linear(1, 1)),
    "seen_back": lambda out: out.register_full_backward_hook(seen_back),
    "seen_before_back": lambda out: out.register_full_backward_pre_hook(seen_before_back),
}


def seen_back(module, given, out):
    """A hook."""


def seen_before_back(module, out):
    """A hook."""


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("training", [True, False])
def test_hooks_that_never_ran_are_refused_by_name(name, training):
    """An energy would run them; the model is as it was, and is taken without them."""
    model = nn.Sequential(nn.Linear(E, E, dtype=torch.float64), plain()).train(training)
    without = copy.deepcopy(model)
    HOOKS[name](model[1].out_proj)
    x = draw(B, L, E)
    want = model[1](x, x, x)[0]
    with pytest.raises(
        ValueError, match=rf"'1\.out_proj' has the hook '.*{name}', which never ran"
    ):
        energise(model)
    assert type(model[1]) is nn.MultiheadAttention
    torch.testing.assert_close(model[1](x, x, x)[0], want)
    energise(without)
    layer = nn.TransformerEncoderLayer(E, H, 16, batch_first=True)
    HOOKS[name](layer.linear1)  # called by PyTorch too
    energise(layer)


@pytest.mark.parametrize(
    "change",
    [
        lambda out: prune.random_unstructured(out, "weight", 0.5),
        parametrizations.spectral_norm,
        lambda out: out.weight.register_hook(lambda gradient: gradient),
        lambda out: out.register_state_dict_post_hook(lambda *_: None),
    ],
)
def test_what_gives_the_weight_that_is_read_is_taken(change):
    theirs = plain().eval()
    change(theirs.out_proj)
    theirs.eval()
    x = draw(B, L, E)
    want = theirs(x, x, x)[0]
    torch.testing.assert_close(energise(theirs)(x, x, x)[0], want)
