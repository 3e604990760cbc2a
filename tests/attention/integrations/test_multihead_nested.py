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


LAYOUTS = [torch.strided, torch.jagged]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_a_nested_tensor_do_not_see_each_other(layout):
    """The result is laid out as the input is, and can be added to it."""
    attention = layer(batch_first=True)
    rows = [draw(n, E).requires_grad_() for n in LENGTHS]
    nested = torch.nested.as_nested_tensor(rows, layout=layout)
    out, weights = attention(nested, nested, nested)
    assert out.layout is layout
    for one, own, row in zip((nested + out).unbind(), out.unbind(), rows, strict=True):
        torch.testing.assert_close(one, row + own)
    assert weights.shape == (B, L, L)
    for one, row in zip(out.unbind(), rows, strict=True):
        torch.testing.assert_close(one, attention(row, row, row)[0])
    (slope,) = torch.autograd.grad(out.unbind()[1].square().sum(), rows[1])
    want = attention(rows[1], rows[1], rows[1])[0].square().sum()
    torch.testing.assert_close(slope, torch.autograd.grad(want, rows[1])[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", ["key", "value", "mask", "padding", "layout"])
def test_other_nested_inputs_are_refused(change, layout):
    nested = torch.nested.as_nested_tensor([draw(n, E) for n in LENGTHS], layout=layout)
    inputs = {"query": nested, "key": nested, "value": nested}
    if change in inputs:
        inputs[change] = nested.clone()
    if change == "mask":
        inputs["attn_mask"] = torch.zeros(L, L, dtype=torch.bool)
    if change == "padding":
        inputs["key_padding_mask"] = PADDING
    with pytest.raises(ValueError, match="nested"):
        layer(batch_first=change != "layout")(**inputs)


def of_several_widths():
    return torch.nested.as_nested_tensor([draw(2, E), draw(3, E - 2)])


def turned():
    nested = torch.nested.as_nested_tensor([draw(n, E) for n in LENGTHS], layout=torch.jagged)
    return nested.transpose(1, 2)


def with_holes():
    starts, lengths = torch.zeros(B, dtype=torch.long), torch.tensor(LENGTHS)
    return torch.nested.narrow(draw(B, L + 1, E), 1, starts, lengths, layout=torch.jagged)


@pytest.mark.parametrize(
    ("make", "message"),
    [(of_several_widths, "rows of one width"), (turned, "of one width"), (with_holes, "no holes")],
)
def test_nested_tensors_of_another_form_are_refused(make, message):
    nested = make()
    with pytest.raises(ValueError, match=message):
        layer(batch_first=True)(nested, nested, nested)
    if make is with_holes:
        nested = nested.contiguous()
        out = layer(batch_first=True)(nested, nested, nested)[0]
        assert (nested + out).layout is torch.jagged
