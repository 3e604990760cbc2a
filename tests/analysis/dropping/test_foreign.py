"""Residual sub-layers of PyTorch's and Hugging Face's models, dropped and saved."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from attenergy.analysis import drop_layers, redundancy
from attenergy.analysis.dropping.absent import Absent
from attenergy.analysis.dropping.sublayers import Structure, structure_of

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 50,
}  # fmt: skip
IDS = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))


def kinds(structure: Structure) -> list[tuple[str, str]]:
    return [(layer.name, layer.kind) for layer in structure.layers]


def encoder(*, norm_first: bool) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_of_pytorch(norm_first: bool) -> None:
    model, x = encoder(norm_first=norm_first), torch.randn(2, 5, 16)
    structure = structure_of(model, [x], {})
    assert kinds(structure)[:2] == [
        ("layers.0.self_attn", "attention"), ("layers.0.linear1+linear2", "mlp")
    ]  # fmt: skip
    assert not structure.missing
    names = ["layers.0.self_attn", "layers.1.linear1+linear2"]
    smaller = drop_layers(model, names, x)
    y, (first, second, third) = x, model.layers
    if norm_first:
        y = y + first._ff_block(first.norm2(y))
        y = y + second._sa_block(second.norm1(y), None, None)
    else:
        y = first.norm1(y)
        y = first.norm2(y + first._ff_block(y))
        y = second.norm2(second.norm1(y + second._sa_block(y, None, None)))
    assert_close(smaller(x), third(y))
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[1, 3:] = True
    assert smaller(x, src_key_padding_mask=hidden).shape == (2, 5, 16)
    shorter = drop_layers(model, ["layers.1"], x)
    assert len(shorter.layers) == shorter.num_layers == 2
    assert_close(shorter(x), third(first(x)))
    assert len(model.layers) == 3


def test_a_decoder_of_pytorch_has_two_attention_layers_in_a_block() -> None:
    torch.manual_seed(0)
    model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True).eval()
    structure = structure_of(model, [torch.randn(2, 5, 16), torch.randn(2, 4, 16)], {})
    assert [kind for name, kind in kinds(structure) if name.startswith("decoder")] == [
        "attention", "attention", "mlp"
    ]  # fmt: skip


def test_bert_loses_its_sums_and_its_parameters(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(**SMALL)).eval()
    name = "encoder.layer.0.attention.self"
    smaller = drop_layers(model, [name], input_ids=IDS)
    first, second = model.encoder.layer
    with torch.no_grad():
        x = model.embeddings(IDS)
        x = first.attention.output.LayerNorm(x)
        x = second(first.feed_forward_chunk(x))
        assert_close(smaller(IDS).last_hidden_state, x)
    gone = [n for n, _ in model.named_parameters() if n not in dict(smaller.named_parameters())]
    assert gone
    assert all(n.startswith("encoder.layer.0.attention") for n in gone)
    result = redundancy(model, [{"input_ids": IDS}], remove=1, random_orders=1)
    written = result.save_smaller(tmp_path / "out")
    assert json.loads(written.read_text())["dropped"] == list(result.dropped)
    assert "drop_layers" in "".join(result.notes())
    again = drop_layers(model, json.loads(written.read_text())["dropped"], input_ids=IDS)
    assert_close(again(IDS).last_hidden_state, result.smaller(IDS).last_hidden_state)


def test_whole_blocks_of_a_hugging_face_model_are_saved_by_itself(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**SMALL, "num_hidden_layers": 3})
    model = transformers.LlamaForCausalLM(config).eval()
    batch = {"input_ids": IDS, "labels": IDS}
    result = redundancy(model, [batch], drop="blocks", remove=1, random_orders=1)
    assert result.worth.metric == "loss"
    assert result.worth.full == pytest.approx(model(**batch).loss.item())
    assert result.smaller.config.num_hidden_layers == 2
    assert result.smaller(**batch).loss.item() == pytest.approx(result.steps[0].value)
    result.save_smaller(tmp_path / "out")
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert_close(again(IDS).logits, result.smaller(IDS).logits)
    assert again.generate(IDS, max_new_tokens=2, do_sample=False).shape == (2, 9)
    assert config.num_hidden_layers == 3


def test_generation_goes_on_without_the_cache_of_a_layer_that_is_gone() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).eval()
    smaller = drop_layers(model, ["model.layers.0.self_attn"])  # with inputs of its own
    tokens = smaller.generate(IDS, max_new_tokens=3, do_sample=False)
    with torch.no_grad():
        for length in range(7, tokens.shape[1]):
            best = smaller(tokens[:, :length]).logits[:, -1].argmax(-1)
            assert torch.equal(best, tokens[:, length])
    assert model.config.use_cache


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("GPTNeoXForCausalLM", "GPTNeoXConfig", SMALL),  # attention and MLP side by side
        ("BloomForCausalLM", "BloomConfig",
         {"hidden_size": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50}),  # sums inside modules
        ("MixtralForCausalLM", "MixtralConfig",
         {**SMALL, "num_local_experts": 2, "num_key_value_heads": 2}),
    ],
)  # fmt: skip
def test_ways_to_write_a_residual_sum(name: str, config: str, options) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = getattr(transformers, name)(getattr(transformers, config)(**options)).eval()
    structure = structure_of(model, [], {"input_ids": IDS})
    assert [kind for _, kind in kinds(structure)] == ["attention", "mlp"] * 2
    assert len(structure.blocks) == 2
    assert not structure.missing
    every = drop_layers(model, [n for n, _ in kinds(structure)], input_ids=IDS)
    shorter = drop_layers(model, list(structure.blocks), input_ids=IDS)
    assert_close(every(IDS).logits, shorter(IDS).logits)
    left = sum(parameter.numel() for parameter in every.parameters())
    assert left == sum(parameter.numel() for parameter in shorter.parameters())


def test_shared_layers_cannot_go_one_by_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.own = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.shared(x)
            x = x + self.shared(x)
            return x + self.own(x)

    structure = structure_of(Twice(), [torch.randn(2, 3, 4)], {})
    assert kinds(structure) == [("own", "mlp")]
    assert "shared" in structure.missing[0]


def test_what_is_no_residual_sub_layer() -> None:
    class Skip(nn.Module):
        """A long skip around two sub-layers, and a cubic without weights."""

        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.mlp = nn.Linear(8, 8)
            self.inner = Inner(self.attention, self.mlp)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.inner(x)

    class Inner(nn.Module):
        def __init__(self, attention: nn.Module, mlp: nn.Module) -> None:
            super().__init__()
            self.attention, self.mlp = attention, mlp

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attention(x, x, x)[0]
            return x + self.mlp(x + x**3)

    structure = structure_of(Skip(), [torch.randn(2, 3, 8)], {})
    assert kinds(structure) == [("attention", "attention"), ("mlp", "mlp")]


def test_padding_does_not_count() -> None:
    model, x = encoder(norm_first=True), torch.randn(2, 6, 16)
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    hidden[:, 4:] = True
    other = torch.cat([x[:, :4], 100 * torch.randn(2, 2, 16)], 1)
    one, two = (
        redundancy(model, [((given,), {"src_key_padding_mask": hidden})], random_orders=0).scores
        for given in (x, other)
    )
    layers = [name for name in one if "self_attn" in name or "linear" in name]
    assert [one[name] for name in layers] == pytest.approx([two[name] for name in layers], rel=1e-4)


def test_inputs_and_names_that_are_missing() -> None:
    model, x = encoder(norm_first=True), torch.randn(2, 5, 16)
    with pytest.raises(ValueError, match="give its inputs after the names"):
        drop_layers(model, ["layers.0"])
    with pytest.raises(ValueError, match=r"layers\.0\.self_attn"):
        drop_layers(model, ["layers.0.self_atn"], x)
    with pytest.raises(ValueError, match="a list of names"):
        drop_layers(model, "layers.0", x)
    assert not any(isinstance(part, Absent) for part in model.modules())
