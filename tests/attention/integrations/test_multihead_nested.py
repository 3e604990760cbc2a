"""Batches that PyTorch's encoder packs at inference reach the energy, whoever put it there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import replace_attention
from tests.attention.conftest import draw

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")

B, L, E, H = 3, 5, 8, 2
LENGTHS = (5, 2, 1)
PADDING = torch.arange(L) >= torch.tensor(LENGTHS)[:, None]


def encoder(**options):
    layer = nn.TransformerEncoderLayer(E, H, 16, 0.0, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2).double().eval()


def of_all(model):
    replace_attention(model, "rbm", steps=2)


def of_first(model):
    replace_attention(model.layers[0], "sparsemax", steps=2)


def of_last(model):
    replace_attention(model.layers[1].self_attn, "polynomial")


def of_layer_by_hand(model):
    own = EnergyMultiheadAttention(E, H, batch_first=True, energy="graph_hopfield").double()
    model.layers[0].self_attn = own


@pytest.mark.parametrize("change", [of_all, of_first, of_last, of_layer_by_hand])
def test_a_packed_batch_is_read_as_a_padded_one(change):
    """Also where one layer was exchanged, and the encoder does not know."""
    model = encoder()
    change(model)
    x = draw(B, L, E)
    want = model(x, src_key_padding_mask=PADDING)  # not packed: gradients are wanted
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            got = model(x, src_key_padding_mask=PADDING)
        torch.testing.assert_close(got[~PADDING], want[~PADDING])


def layer(**options):
    return EnergyMultiheadAttention(E, H, energy="rbm", steps=2, **options).double()


def test_rows_of_a_nested_tensor_do_not_see_each_other():
    attention = layer(batch_first=True)
    rows = [draw(n, E).requires_grad_() for n in LENGTHS]
    nested = torch.nested.as_nested_tensor(rows)
    out, weights = attention(nested, nested, nested)
    assert weights.shape == (B, L, L)
    for one, row in zip(out.unbind(), rows, strict=True):
        torch.testing.assert_close(one, attention(row, row, row)[0])
    (slope,) = torch.autograd.grad(out.unbind()[1].square().sum(), rows[1])
    want = attention(rows[1], rows[1], rows[1])[0].square().sum()
    torch.testing.assert_close(slope, torch.autograd.grad(want, rows[1])[0])


@pytest.mark.parametrize("change", ["key", "value", "mask", "padding", "layout"])
def test_other_nested_inputs_are_refused(change):
    nested = torch.nested.as_nested_tensor([draw(n, E) for n in LENGTHS])
    inputs = {"query": nested, "key": nested, "value": nested}
    if change in inputs:
        inputs[change] = nested.clone()
    if change == "mask":
        inputs["attn_mask"] = torch.zeros(L, L, dtype=torch.bool)
    if change == "padding":
        inputs["key_padding_mask"] = PADDING
    with pytest.raises(ValueError, match="nested"):
        layer(batch_first=change != "layout")(**inputs)
