"""What attention with an energy refuses, in PyTorch's place."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from tests.attention.conftest import REGISTRY, draw
from tests.attention.integrations.conftest import (
    B,
    E,
    H,
    L,
    make_multihead,
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
