"""The code of a pair is what the heads of the layer say of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import attenergy
from attenergy.analysis import head_codes
from attenergy.analysis.codes.extraction import pairs_of
from attenergy.attention import Transformer
from attenergy.registry import ArgumentError

N, L, H, W = 7, 5, 4, 16


def transformer(*layers: str) -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        outputs=3, layers=list(layers), width=W, heads=H, mlp=W, positions="relative",
        kind="vector", size=6, length=L,
    ).double()  # fmt: skip


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_codes_are_the_weights_of_every_layer_whatever_the_batches() -> None:
    model, x = transformer("hyla", "softmax", "lse"), draw(N, L, 6)
    pairs = [(-1, -1), (2, 0)]
    codes = head_codes(model, x, pairs=pairs)
    _, weights = model(x, need_weights=True)
    assert list(codes.layers) == [f"blocks.{i}.mixer" for i in range(3)]
    assert set(codes.heads.values()) == {H}
    for code, each in zip(codes.layers.values(), weights, strict=True):
        want = torch.cat([each[-1, :, :, 4, 4], each[-1, :, :, 2, 0]], -1)
        torch.testing.assert_close(code, want)
    rms = codes.layers["blocks.0.mixer"][:, :H].square().mean(-1).sqrt()
    torch.testing.assert_close(rms, torch.ones(N).double(), rtol=1e-2, atol=0)  # HYLA's norm
    steps = []
    again = head_codes(
        model, x, pairs=pairs, batch_size=3, progress=lambda *step: steps.append(step)
    )
    for name, code in again.layers.items():
        torch.testing.assert_close(code, codes.layers[name])
    assert steps == [("codes", 3, 7), ("codes", 6, 7), ("codes", 7, 7)]


def test_masks_of_instances_go_with_them() -> None:
    model, x = transformer("softmax"), draw(N, L, 6)
    mask = torch.ones(N, L, dtype=torch.bool)
    mask[3, 0] = False
    (code,) = head_codes(model, x, mask=mask, pairs=[(-1, 0)], batch_size=2).layers.values()
    assert not code[3].any()
    assert code[[0, 1, 2, 4, 5, 6]].all()


def test_models_of_others_have_codes_too() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(W, H, batch_first=True, dtype=torch.float64).eval()
    x = draw(N, L, W)
    (code,) = head_codes(layer, x).layers.values()
    _, weights = layer.self_attn(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(code, weights[:, :, -1, -1].detach())


def test_layers_without_weights_say_why() -> None:
    model = transformer("uhop", "softmax")
    codes = head_codes(model, draw(N, L, 6))
    assert list(codes.layers) == ["blocks.1.mixer"]
    assert "no weights over patterns" in codes.missing["blocks.0.mixer"]
    with pytest.raises(ArgumentError, match="no layer of Transformer has weights to read"):
        head_codes(transformer("uhop"), draw(N, L, 6))


@pytest.mark.parametrize("pairs", [[], [(0,)], [(0, 0.5)], 3, [(0, 1, 2)]])
def test_pairs_are_two_whole_numbers(pairs: object) -> None:
    with pytest.raises(ArgumentError, match="pairs must be"):
        head_codes(nn.Sequential(), draw(N, L, 6), pairs=pairs)  # type: ignore[arg-type]


def test_pairs_and_inputs_that_are_not_there() -> None:
    model = attenergy.make_mixer("softmax", embed_dim=6, num_heads=2).double()
    with pytest.raises(ArgumentError, match=r"the pair \(-6, 0\) is outside .* 5 states and 5"):
        head_codes(model, draw(N, L, 6), pairs=[(-6, 0)])
    with pytest.raises(ArgumentError, match="at least one instance"):
        head_codes(model, draw(0, L, 6))


def test_pairs_of_the_command_line() -> None:
    assert pairs_of("-1:-1") == ((-1, -1),)
    assert pairs_of(" -1:-9, 3:0") == ((-1, -9), (3, 0))
    for text in ("", "1", "1:2:3", "a:b", "1:2,"):
        with pytest.raises(ArgumentError, match="STATE:PATTERN"):
            pairs_of(text)
