"""Blocks that are run again, on the stream that they were given and on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attenergy.analysis.depth.energy_along_depth import energy_along_depth
from attenergy.analysis.depth.stream import block_runs, run_again
from attenergy.attention import EnergyAttention, Transformer

E, H = 8, 2
SIZES = {
    "hidden_size": E, "num_hidden_layers": 2, "num_attention_heads": H, "intermediate_size": 8,
}  # fmt: skip
Made = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def bert() -> Made:
    hf = pytest.importorskip("transformers")
    model = hf.BertModel(hf.BertConfig(vocab_size=20, **SIZES), add_pooling_layer=False)
    mask = torch.tensor([[1] * 5, [1] * 3 + [0] * 2])
    return model, (torch.arange(10).reshape(2, 5),), {"attention_mask": mask}


def gpt2() -> Made:
    hf = pytest.importorskip("transformers")
    config = hf.GPT2Config(
        vocab_size=20, n_positions=8, n_embd=E, n_layer=2, n_head=H, bos_token_id=0, eos_token_id=0
    )
    return hf.GPT2Model(config), (torch.arange(10).reshape(2, 5),), {}  # with its cache


def vit() -> Made:
    hf = pytest.importorskip("transformers")
    config = hf.ViTConfig(image_size=8, patch_size=4, **SIZES)
    return hf.ViTModel(config, add_pooling_layer=False), (torch.randn(2, 3, 8, 8),), {}


def encoder() -> Made:
    layer = nn.TransformerEncoderLayer(E, H, dim_feedforward=8, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    hidden = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    return model, (torch.randn(2, 5, E),), {"src_key_padding_mask": hidden}


def ours() -> Made:
    model = Transformer(
        outputs=2, layers=2, width=E, heads=H, mlp=8, positions="relative", kind="vector",
        size=3, length=5, make_layer=lambda: EnergyAttention(E, H, steps=2), causal=True,
    )  # fmt: skip
    return model, (torch.randn(2, 5, 3),), {}


@pytest.mark.parametrize("make", [bert, gpt2, vit, encoder, ours])
def test_a_block_that_is_run_again_on_what_it_was_given_has_the_same_states(
    make: Callable[[], Made],
) -> None:
    torch.manual_seed(0)
    model, inputs, arguments = make()
    calls, runs = block_runs(model.eval(), inputs, arguments)
    assert [run.calls for run in runs] == [(call,) for call in calls]
    assert len(runs) == 2
    torch.testing.assert_close(runs[1].h, runs[0].out)  # one stream
    again, why = run_again(model, [(run, run.h) for run in runs])
    assert not why
    for (call,), run in zip(again, runs, strict=True):
        first = run.calls[0]
        assert call.start is not None
        assert first.start is not None
        torch.testing.assert_close(call.start, first.start)
        assert call.problem is not None
        assert first.problem is not None
        torch.testing.assert_close(call.problem.value(call.start), first.problem.value(first.start))


@pytest.mark.parametrize("make", [bert, gpt2, vit])
def test_hugging_face_models_have_energies_along_depth(make: Callable[[], Made]) -> None:
    torch.manual_seed(0)
    model, inputs, arguments = make()
    result = energy_along_depth(model.eval(), *inputs, **arguments)
    assert [layer.labels for layer in result.layers] == [["reading"], ["reading"]]
    assert all(step.rose == [0, 0] for layer in result.layers for step in layer.steps)
    assert [one.control is None for one in result.blocks] == [False, False]
    assert not result.missing


def test_a_stream_of_another_shape_is_left_out() -> None:
    torch.manual_seed(0)
    model, inputs, arguments = ours()
    _, runs = block_runs(model, inputs, arguments)
    shorter: Tensor = runs[0].h[:, :3]
    again, why = run_again(model, [(runs[0], shorter), (runs[1], runs[1].h)])
    assert not why
    assert [len(calls) for calls in again] == [0, 1]


def test_groups_of_heads_are_no_blocks() -> None:
    torch.manual_seed(0)
    model = Transformer(
        outputs=2, layers=["lse", "hyla+rbm"], width=E, heads=H, mlp=8, positions="relative",
        kind="vector", size=3, length=5,
    )  # fmt: skip
    _, runs = block_runs(model, (torch.randn(2, 5, 3),), {})
    assert [run.name for run in runs] == ["blocks.0", "blocks.1"]
    assert [len(run.calls) for run in runs] == [1, 2]
