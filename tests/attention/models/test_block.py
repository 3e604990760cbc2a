"""Blocks that do without attention or without their feed-forward part, and models of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

import attenergy
from attenergy.attention import Transformer
from attenergy.attention.models.language_model import Decoder, LanguageModel
from attenergy.attention.saving.format import ModelArguments
from attenergy.attention.saving.weights import SavedError
from attenergy.testing.cases import float64
from tests.attention.conftest import moved

SIZES = {"width": 16, "heads": 2, "mlp": 24}
PARTS = (("attention",), (), ("mlp",), ("attention", "mlp"))


def transformer(**options) -> Transformer:
    own = {"kind": "token", "size": 7, "length": 9, "outputs": 5, "positions": "relative"}
    with float64():
        return moved(Transformer(**{**own, **SIZES, "layers": "lse/softmax/rbm/lse"} | options))


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_what_is_left_out_gives_way_to_the_identity() -> None:
    model, x = transformer(), torch.randint(7, (2, 9))
    smaller = model.reduced(PARTS)
    with torch.no_grad():  # the same by hand: nothing is added where a part is missing
        z = model.embedding(x)
        for block, without in zip(model.blocks, PARTS, strict=True):
            if "attention" not in without:
                z = z + block.mixer(block.norm1(z), field=block.bias(9))
            if "mlp" not in without:
                z = z + block.feed_forward(z)
        assert_close(smaller(x), model.read(z))
    assert len(model.blocks) == 4
    assert len(smaller.blocks) == 3
    assert [block.parts for block in smaller.blocks] == [
        ("mlp",), ("attention", "mlp"), ("attention",)
    ]  # fmt: skip
    assert not set(map(id, smaller.parameters())) & set(map(id, model.parameters()))
    removed = [name for name, _ in smaller.named_parameters() if name.startswith("blocks.0")]
    assert removed
    assert all("feed_forward" in name for name in removed)
    assert count(smaller) < count(model)


@pytest.mark.slow  # the fast run reads a saved model in another process in tests/attention/saving
def test_it_is_saved_and_read_in_another_process(tmp_path) -> None:
    smaller, x = transformer().reduced(PARTS), torch.randint(7, (2, 9))
    smaller.save_pretrained(tmp_path / "out")
    torch.save((x, smaller(x).detach()), tmp_path / "pair.pt")
    code = (
        "import sys, torch, attenergy\n"
        "model = attenergy.load(sys.argv[1] + '/out', part='model').eval()\n"
        "x, y = torch.load(sys.argv[1] + '/pair.pt')\n"
        "assert torch.allclose(model(x), y)\n"
        "print(sum(p.numel() for p in model.parameters()), len(model.blocks))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(count(smaller)), "3"]
    assert "block 1: without attention" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match=r"block 0 .* without attention; .*: 1, 2"):
        attenergy.load(tmp_path / "out", index=0)
    assert isinstance(attenergy.load(tmp_path / "out", index=1), torch.nn.Module)


def test_a_whole_model_is_described_as_before() -> None:
    model = transformer()
    assert "without" not in model.options
    assert model.description().without is None
    assert "without" not in model.reduced([()] * 4).options


def test_a_smaller_model_is_made_smaller_again() -> None:
    model, x = transformer(), torch.randint(7, (2, 9))
    twice = model.reduced([("attention",), (), (), ()]).reduced([("mlp",), (), ("mlp",), ()])
    assert_close(twice(x), model.reduced([("attention", "mlp"), (), ("mlp",), ()])(x))
    assert twice.description().without == ((), ("mlp",), ())


def test_positions_stay_those_of_the_whole_model() -> None:
    model, x = transformer(layers="lse/learned"), torch.randint(7, (2, 9))
    assert model.positions_used == "absolute"  # which `learned` alone needs
    smaller = model.reduced([(), ("attention", "mlp")])
    assert smaller.positions_used == smaller.options["positions"] == "absolute"
    assert smaller(x).shape == (2, 9, 5)


@pytest.mark.parametrize("mlp", [0, 24])
def test_nothing_but_the_embedding(mlp: int, tmp_path) -> None:
    model, x = transformer(mlp=mlp, layers="lse/lse"), torch.randint(7, (2, 9))
    bare = model.reduced([("attention", "mlp")] * 2)
    assert_close(bare(x), model.read(model.embedding(x)))
    bare.save_pretrained(tmp_path / "bare")
    again = Transformer.from_pretrained(tmp_path / "bare").eval()
    assert_close(again(x), bare(x))
    assert_close(bare(x, rows=slice(2, 4)), bare(x)[:, 2:4])


@pytest.mark.parametrize("without", [[("attention",), ()], [(), ("attention",)]])
def test_a_smaller_language_model_goes_on_as_it_reads(without) -> None:
    with float64():
        sizes = {"vocabulary": 7, "length": 9, "conv": 2, **SIZES}
        model = moved(LanguageModel(layers="lse/softmax", **sizes)).reduced(without)
    assert sorted(model.caching) == ["absent", "projected"]
    tokens, decoder = torch.randint(7, (2, 9)), Decoder(model)
    with torch.no_grad():
        pieces = [decoder.extend(part) for part in tokens.split([4, 1, 3, 1], 1)]
        assert_close(torch.cat(pieces, 1), model(tokens), rtol=1e-11, atol=1e-11)
    assert model.generate(tokens[:, :3], 2).shape == (2, 5)
    assert isinstance(model.description(), ModelArguments)


def test_the_last_block_at_some_positions() -> None:
    smaller, x = transformer().reduced([(), (), (), ("attention",)]), torch.randint(7, (2, 9))
    assert_close(smaller(x, rows=slice(4, 6)), smaller(x)[:, 4:6])


def test_what_does_not_fit_is_said(tmp_path) -> None:
    model = transformer(layers=2, make_layer=lambda: torch.nn.Linear(16, 16), positions="none")
    with pytest.raises(ValueError, match="one entry for each of 2 blocks, got 1"):
        model.reduced([()])
    with pytest.raises(ValueError, match="part of a block"):
        model.reduced([(), ("atention",)])
    with pytest.raises(ValueError, match="kept no description"):
        model.reduced([("attention",), ()]).save_pretrained(tmp_path / "out")
    small = transformer(layers="softmax/softmax").reduced([("attention",), ()])
    with pytest.raises(ValueError, match="block 0 gives no weights: it has no attention"):
        small(torch.randint(7, (2, 9)), need_weights=True)
    with pytest.raises(ValueError, match="1 entries of without"):
        ModelArguments(**transformer().description().model_dump() | {"without": [()]})
    config = tmp_path / "bad"
    transformer().reduced(PARTS).save_pretrained(config)
    text = (config / "config.json").read_text().replace('"attention",\n', '"atention",\n', 1)
    (config / "config.json").write_text(text.replace('"mlp"', '"mpl"'))
    with pytest.raises(SavedError, match="without"):
        attenergy.load(config)
