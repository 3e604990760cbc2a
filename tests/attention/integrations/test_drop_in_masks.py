"""Numbers that mean "never" are the boolean mask, in every drop-in and for every energy."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from attenergy.attention.integrations.heads import split_mask
from attenergy.attention.integrations.huggingface import (
    attention_modules,
    energize,
    energy_attention,
)
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
B, L, E, H = 2, 5, 8, 2
LOWEST = torch.finfo(torch.float64).min
NEVER = [-1e4, -1e9, torch.finfo(torch.float32).min, LOWEST, -torch.inf]


def causal():
    """Later places are hidden, one place from all others, and one row sees nothing."""
    hidden = torch.triu(torch.ones(L, L), 1).bool()
    hidden[3:, 1] = True
    hidden[4] = True
    return hidden


def hidden_from(energy):
    """Pairs where a mask may hide these, else one of the tokens from all."""
    return causal() if energy.hides_pairs else (torch.arange(L) == 1).expand(L, L)


def as_numbers(hidden, never):
    return torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, never)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_hide_in_multihead_attention(name):
    """Values, weights and gradients, for both masks at once."""
    ours = EnergyMultiheadAttention(
        E, H, batch_first=True, energy=name, registry=REGISTRY, steps=2
    ).double()
    x, hidden = draw(B, L, E).requires_grad_(), hidden_from(ours.heads.energy)
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[0, -2:] = True

    def read(**masks):
        out, weights = ours(x, x, x, average_attn_weights=False, **masks)
        return out, weights, torch.autograd.grad(out.square().sum(), x)[0]

    want = read(attn_mask=hidden, key_padding_mask=padding)
    for never in NEVER:
        given = {"attn_mask": as_numbers(hidden, never)}
        given["key_padding_mask"] = as_numbers(padding, never)
        torch.testing.assert_close(read(**given), want)


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_hide_in_models(name):
    """Through the attention of transformers, as a mask and in a bias."""
    config = hf.BertConfig(
        hidden_size=E, num_hidden_layers=1, num_attention_heads=H, intermediate_size=8,
        vocab_size=9,
    )  # fmt: skip
    model = energize(hf.BertModel(config).double(), name, registry=REGISTRY, steps=2)
    (module,) = attention_modules(model).values()
    q, k, v = (draw(B, H, L, E // H) for _ in range(3))
    hidden = hidden_from(module.energy_heads.energy).expand(B, 1, L, L)
    want = energy_attention(module, q, k, v, ~hidden, scaling=module.scaling)[0]
    for never in NEVER:
        numbers = as_numbers(hidden, never)
        got = energy_attention(module, q, k, v, numbers, scaling=module.scaling)[0]
        torch.testing.assert_close(got, want)
    biased = energy_attention(
        module, q, k, v, None, scaling=module.scaling, position_bias=as_numbers(hidden, -1e9)
    )[0]
    torch.testing.assert_close(biased, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_knows_never_from_a_bias(dtype):
    numbers = torch.tensor([0.0, -30.0, -1e4, torch.finfo(dtype).min, -torch.inf], dtype=dtype)
    mask, field = split_mask(numbers)
    assert mask.tolist() == [True, True, False, False, False]
    assert field.tolist() == [0.0, -30.0, 0.0, 0.0, 0.0]
