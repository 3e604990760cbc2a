"""Heads without output, in every kind of model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attenergy
from attenergy.analysis import attention_calls, attention_paths, prune_heads
from attenergy.analysis.paths.pruning import Curve, curve, silenced, steps_between
from attenergy.registry import ArgumentError, UnknownName

E, H, L = 8, 2, 5


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["lse", "softmax", "hyla", "lse+softmax", "rbm"])
def test_only_what_a_head_wrote_is_gone(name: str) -> None:
    torch.manual_seed(0)
    layer = attenergy.make_layer(name, embed_dim=E, num_heads=2 * H)
    x = drawn(3, L, E)
    with torch.no_grad():
        none = prune_heads(layer, {type(layer).__name__: range(2 * H)})(x)
        bias = sum(v for n, v in layer.named_parameters() if n.endswith("out.bias"))
        assert torch.allclose(none, (none * 0 + bias))
        # The heads add up: what each alone writes makes the whole.
        alone = [
            prune_heads(layer, {type(layer).__name__: [h for h in range(2 * H) if h != one]})(x)
            for one in range(2 * H)
        ]
        whole = sum(out - none for out in alone) + none
        assert torch.allclose(whole, layer(x), atol=1e-5)


def test_pytorch_attention_also_on_its_fast_path() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(E, H, 16, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    x = drawn(3, L, E)
    pruned = prune_heads(encoder, [("layers.1.self_attn", 0)])
    weight = pruned.layers[1].self_attn.out_proj.weight
    assert not weight[:, : E // H].any()
    assert weight[:, E // H :].all()
    with torch.no_grad():
        assert not torch.allclose(pruned(x), encoder(x))
        assert pruned(x).shape == encoder(x).shape
    assert encoder.layers[1].self_attn.out_proj.weight.all()


def _bert(**more: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=E, num_hidden_layers=2, num_attention_heads=H,
        intermediate_size=16, max_position_embeddings=8, **more,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).eval()


def _gpt(**more: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=20, n_embd=E, n_layer=2, n_head=H, n_positions=8)
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("make", [_bert, _gpt])
def test_hugging_face_heads(make: Any) -> None:
    model, ids = make(), torch.arange(16).reshape(2, 8)
    name = attention_calls(model, ids)[1].name
    pruned = prune_heads(model, [(name, 1)])
    changed = {
        n for (n, a), b in zip(
            model.named_parameters(), pruned.parameters(), strict=True
        ) if not torch.equal(a, b)
    }  # fmt: skip
    assert len(changed) == 1
    assert "1" in next(iter(changed))
    # What the pruned map reads of head 1 no longer matters; of head 0 it does.
    maps = [m for n, m in pruned.named_modules() if f"{n}.weight" in changed]
    read = drawn(1, 1, E)
    other = read.clone()
    other[..., E // H :] += 1.0
    with torch.no_grad():
        assert torch.equal(maps[0](read), maps[0](other))
        assert not torch.equal(maps[0](read), maps[0](read.flip(-1)))


def test_paths_of_a_hugging_face_model() -> None:
    model = _bert(num_labels=3)
    ids = torch.randint(20, (24, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(24, 8, dtype=torch.long)
    mask[::2, 6:] = 0
    batch = {"input_ids": ids, "attention_mask": mask}
    result = attention_paths(model, [batch], [ids[:, 0] % 3], position=0, shuffles=20)
    assert len(result.paths) == 9
    assert result.explained is None  # values are not read from models of others
    assert len(result.curves) == 3
    assert result.norms is not None
    assert not hasattr(model.config, "attenergy")


def test_for_a_while_is_exactly_for_a_while() -> None:
    layer = attenergy.EnergyAttention(E, H)
    model = nn.Sequential(layer)
    before = copy.deepcopy(model.state_dict())

    def interrupted() -> None:
        with silenced(model, [("0", 1), ("0", 1)]):
            assert not layer.projections.out.weight[:, E // H :].any()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_what_is_refused() -> None:
    model = nn.Sequential(attenergy.EnergyAttention(E, H), nn.Linear(E, E))
    with pytest.raises(UnknownName, match="no attention layer '2'"):
        prune_heads(model, {"2": [0]})
    with pytest.raises(ArgumentError, match="'0' has heads 0 to 1, got head 2"):
        prune_heads(model, {"0": [2]})
    with pytest.raises(ArgumentError, match="heads 0 to 1, got head -1"):
        prune_heads(model, [("0", -1)])
    with pytest.raises(ArgumentError, match=r"'1' .*does not say how many heads"):
        prune_heads(model, [("1", 0)])
    nn.utils.parametrizations.weight_norm(model[0].projections.out)
    with pytest.raises(ArgumentError, match="no weight of its own that could be set to zero"):
        prune_heads(model, {"0": [0]})
    with pytest.raises(TypeError):
        prune_heads("model", [])  # type: ignore[arg-type]


def test_curves_of_one_order_and_of_draws() -> None:
    heads = [("a", 0), ("a", 1)]
    one = curve("magnitude", [heads], [0, 1, 2], lambda gone: 1.0 - len(gone))
    assert one == Curve("magnitude", (0, 1, 2), (1.0, 0.0, -1.0), (0.0, 0.0, 0.0))
    draws = [heads, heads[::-1]]
    two = curve("random", draws, [1], lambda gone: float(gone[0][1]))
    assert two.scores == (0.5,)
    assert two.spread == pytest.approx((0.5**0.5,))
    assert steps_between(4, 9) == [0, 1, 2, 3, 4]
    assert steps_between(100, 5, [7]) == [0, 7, 25, 50, 75, 100]
