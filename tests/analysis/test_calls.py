"""Every attention layer of a forward pass, whatever the model is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import attenergy
from attenergy.analysis import AttentionCall, attention_calls
from attenergy.registry import ArgumentError

B, H, L, E = 2, 2, 5, 8
D = E // H


def present(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def is_lse_of(call: AttentionCall, q: Tensor, k: Tensor, scale: float) -> None:
    """The problem is 1/2 |q|^2 - lse(scale k.q) / scale, here for unmasked scores."""
    assert call.problem is not None
    scores = scale * q @ k.mT
    energy = q.square().sum(-1) / 2 - scores.logsumexp(-1) / scale
    torch.testing.assert_close(call.problem.value(q), energy)
    torch.testing.assert_close(present(call.weights), scores.softmax(-1))
    torch.testing.assert_close(call.problem.gradient(q), q - scores.softmax(-1) @ k)


def test_layers_of_an_energy_are_taken_as_they_are() -> None:
    torch.manual_seed(0)
    layer = attenergy.EnergyAttention(E, H, energy="lse", steps=3).double()
    x = torch.randn(B, L, E, dtype=torch.float64)
    (call,) = attention_calls(nn.Sequential(layer), x)
    seen = attenergy.trace(layer, x)[0]
    assert (call.name, call.reading, call.missing) == ("0", "own", "")
    assert call.layer is layer
    torch.testing.assert_close(present(call.end), present(seen.states)[-1])
    torch.testing.assert_close(present(call.start), present(seen.states)[0])
    torch.testing.assert_close(present(call.weights), present(seen.weights)[-1])
    assert str(call).startswith("0: Log-sum-exp")


@pytest.mark.parametrize("causal", [False, True])
def test_a_softmax_mixer_is_read_as_one_step(causal: bool) -> None:
    torch.manual_seed(0)
    mixer = attenergy.make_mixer("softmax", embed_dim=E, num_heads=H).double()
    x = torch.randn(B, L, E, dtype=torch.float64)
    call, again = attention_calls(_Twice(mixer), x, is_causal=causal)
    assert (call.name, again.name) == ("layer", "layer (2)")
    assert call.reading == "log-sum-exp"
    _, weights = mixer(x, is_causal=causal, need_weights=True)
    torch.testing.assert_close(present(call.weights), weights)
    q, k, _ = mixer.heads(x, None)
    assert call.problem is not None
    moved = present(call.start) - call.problem.gradient(present(call.start))
    torch.testing.assert_close(
        moved, scaled_dot_product_attention(q, k, k, is_causal=causal), rtol=1e-6, atol=1e-6
    )
    if not causal:
        is_lse_of(call, q, k, D**-0.5)


class _Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, **arguments: Any) -> Tensor:
        out: Tensor = self.layer(self.layer(x, **arguments), **arguments)
        return out


@pytest.mark.parametrize("training", [False, True])
def test_pytorch_attention_is_read_in_a_copy(training: bool) -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(E, H, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).double().train(training)
    x = torch.randn(B, L, E, dtype=torch.float64)
    hidden = torch.tensor([[False] * L, [False] * 3 + [True] * 2])
    before = {name: id(part) for name, part in model.named_modules()}
    calls = attention_calls(model, x, src_key_padding_mask=hidden)
    assert before == {name: id(part) for name, part in model.named_modules()}
    assert [call.name for call in calls] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert all(call.layer is model.get_submodule(call.name) for call in calls)
    first = model.layers[0].self_attn
    assert isinstance(first, nn.MultiheadAttention)
    _, weights = first(x, x, x, key_padding_mask=hidden, average_attn_weights=False)
    torch.testing.assert_close(present(calls[0].weights), weights)
    q, k, _ = nn.functional.linear(x, first.in_proj_weight, first.in_proj_bias).chunk(3, -1)
    q, k = (part.unflatten(-1, (H, D)).transpose(1, 2) for part in (q, k))
    (alone,) = attention_calls(first, x, x, x)
    assert alone.name == "MultiheadAttention"
    is_lse_of(alone, q, k, D**-0.5)


def _bert() -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=E, num_hidden_layers=2, num_attention_heads=H,
        intermediate_size=16, max_position_embeddings=8,
    )  # fmt: skip
    return transformers.BertModel(config, add_pooling_layer=False).double().eval()


def test_hugging_face_attention_is_read_in_a_copy() -> None:
    model = _bert()
    ids = torch.arange(10).reshape(2, 5)
    mask = torch.tensor([[1] * 5, [1] * 3 + [0] * 2])
    model.set_attn_implementation("eager")
    weights = model(ids, attention_mask=mask, output_attentions=True).attentions
    described = model.config.to_dict()
    calls = attention_calls(model, ids, attention_mask=mask)
    assert model.config.to_dict() == described
    assert not any("energy" in name for name, _ in model.named_modules())
    names = [f"encoder.layer.{i}.attention.self" for i in range(2)]
    assert [call.name for call in calls] == names
    assert all(call.layer is model.get_submodule(call.name) for call in calls)
    for call, expected in zip(calls, weights, strict=True):
        assert call.reading == "log-sum-exp"
        torch.testing.assert_close(present(call.weights), expected)


def test_an_energized_model_has_its_own_energies() -> None:
    model = attenergy.energize(_bert(), "lse", steps=2, beta=2.0)
    calls = attention_calls(nn.ModuleDict({"inner": model})["inner"], torch.arange(5)[None])
    assert {call.reading for call in calls} == {"own"}
    assert calls[0].name == "encoder.layer.0.attention.self"
    assert present(calls[0].relaxation and calls[0].relaxation.states).shape[0] == 2


def test_mixers_without_an_energy_say_so() -> None:
    x = torch.randn(B, L, E)
    layers = {name: attenergy.make_mixer(name, embed_dim=E, num_heads=H) for name in ("hyla",)}
    layers["mlp_mixing"] = attenergy.make_mixer("token_mixing", embed_dim=E, num_heads=H, length=L)
    for layer in layers.values():
        (call,) = attention_calls(layer, x)
        assert call.problem is None
        assert call.reading == ""
        assert "energy" in call.missing
        assert (call.weights is not None) == layer.has_weights


def test_gradients_are_there_if_wanted() -> None:
    layer = attenergy.make_mixer("softmax", embed_dim=E, num_heads=H)
    x = torch.randn(B, L, E)
    assert not present(attention_calls(layer, x)[0].weights).requires_grad
    present(attention_calls(layer, x, keep_graph=True)[0].weights).square().sum().backward()
    assert layer.projections.query.weight.grad.abs().max() > 0


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Linear has no attention that can be read"):
        attention_calls(nn.Linear(2, 2), torch.randn(1, 2))
