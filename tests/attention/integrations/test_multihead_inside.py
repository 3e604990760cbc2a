"""The energy inside PyTorch's encoders, decoders and transformers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from attenergy.attention.integrations.heads import EnergyHeads
from attenergy.attention.integrations.replace import replace_attention
from attenergy.energies import domain_of
from tests.attention.conftest import REGISTRY, draw
from tests.attention.integrations.conftest import (
    B,
    E,
    H,
    L,
    S,
    encoder_layer,
    make_multihead,
)

NAMES = list(REGISTRY.energies)


SPINS = [n for n in NAMES if domain_of(REGISTRY.energies[n]).discrete]


@pytest.fixture
def calls(monkeypatch):
    """How often an energy was read, counted at the heads themselves."""

    count, original = [], EnergyHeads.forward

    def counted(self, *args, **kwargs):
        count.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(EnergyHeads, "forward", counted)
    return count


MODULES = {
    "encoder layer": encoder_layer,
    "encoder layer, norm first": lambda: encoder_layer(norm_first=True),
    "encoder": lambda: nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=False),
    "encoder that nests": lambda: nn.TransformerEncoder(encoder_layer(), 2),
    "decoder layer": lambda: nn.TransformerDecoderLayer(E, H, 16, 0.0, batch_first=True),
    "transformer": lambda: nn.Transformer(E, H, 1, 1, 16, 0.0, batch_first=True),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # PyTorch's own encoder
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("training", [True, False])
def test_the_energy_is_called_inside_pytorchs_modules(name, training, calls):
    """Also where PyTorch has a fused path for inference; and computes the same there."""
    theirs = MODULES[name]().double().train(training)
    ours = replace_attention(copy.deepcopy(theirs), registry=REGISTRY)
    attentions = sum(isinstance(m, nn.MultiheadAttention) for m in theirs.modules())
    x, memory = draw(B, L, E), draw(B, S, E)
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[1, -2:] = True
    inputs, options = (x,), {"src_key_padding_mask": padding}
    if name in ("decoder layer", "transformer"):
        causal = nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)
        inputs, options = (x, memory), {"tgt_mask": causal, "tgt_is_causal": True}
        inputs = inputs if name == "decoder layer" else inputs[::-1]
    with torch.set_grad_enabled(training):
        got = ours(*inputs, **options)
        assert len(calls) == attentions > 0
        want = theirs(*inputs, **options)
    shown = slice(None) if len(inputs) == 2 else ~padding  # nested tensors fill padding with 0
    torch.testing.assert_close(got[shown], want[shown])
    assert len(calls) == attentions


def test_attention_is_replaced_once():
    layer = encoder_layer()
    layer.again = layer.self_attn
    replace_attention(layer, "sparsemax", steps=2, registry=REGISTRY)
    assert layer.again is layer.self_attn
    assert layer.self_attn.heads.energy.spec.title == REGISTRY.energies["sparsemax"].title
    assert layer.self_attn.heads.steps == 2
    with pytest.raises(ValueError, match=r"no nn\.MultiheadAttention inside this Linear"):
        replace_attention(layer.linear1)


def test_an_encoder_built_from_a_layer_with_an_energy(calls):
    layer = encoder_layer()
    layer.self_attn = make_multihead("sparsemax", batch_first=True).float()
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    with torch.no_grad():
        encoder(torch.randn(B, L, E))
    assert len(set(calls)) == len(calls) == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_energy_trains_inside_an_encoder_layer(name):
    layer = encoder_layer()
    layer.self_attn = make_multihead(name, batch_first=True, steps=2)
    layer.double()
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[0, -2:] = True
    x = draw(B, L, E)
    out = layer(x, src_key_padding_mask=padding)
    out[~padding].square().sum().backward()
    # A sign stands between the output of a layer of spins and everything before it.
    grads = [p.grad for p in layer.self_attn.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in grads)
    moved = {
        n for n, p in layer.self_attn.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert "out_proj.weight" in moved
    assert name in SPINS or layer.self_attn.in_proj_weight.grad[:E].any()  # of the queries
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)
    changed = x.clone()
    changed[0, -2:] = 9.0
    again = layer(changed, src_key_padding_mask=padding)
    torch.testing.assert_close(again[~padding], out[~padding])
