"""What decoding and single rows leave out of a call makes no difference: hooks, other modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attenergy.attention import Decoder, EnergyAttention, HeadGroups, LanguageModel
from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.block import Block
from attenergy.attention.models.direct_calls import forward_is_newer, forward_is_of
from attenergy.testing.cases import float64

LAYERS = {"lse": "projected", "hyla": "streamed", "lse+hyla": "groups", "graph_memory": "none"}
WHOLE = {"model": "", "block": "blocks.0", "layer": "blocks.0.mixer"}
PARTS = {
    "embedding": "embedding",
    "norm": "blocks.1.norm1",
    "feed-forward": "blocks.0.feed_forward",
    "table": "embedding.tables.0",
    "last norm": "norm",
}


def make(layers: str, cls: type[LanguageModel] = LanguageModel, **more) -> LanguageModel:
    positions = "absolute" if layers == "hyla" else "relative"
    with float64():
        model = cls(
            vocabulary=7, length=9, width=8, heads=2, mlp=12, layers=f"{layers}/{layers}",
            positions=positions, **more,
        )  # fmt: skip
    return model.eval()


def by_place(x: torch.Tensor) -> torch.Tensor:
    """Other vectors or tokens at every position, which depend on its number."""
    place = torch.arange(x.shape[1])
    return x + place[:, None] / 9 if x.is_floating_point() else (x + place) % 7


def check(model: LanguageModel) -> None:
    """Pieces and a continuation are those of the whole."""
    tokens, decoder = torch.randint(7, (2, 7)), Decoder(model)
    with torch.no_grad():
        for first, end in ((0, 3), (3, 4), (4, 6), (6, 7)):
            assert_close(decoder.extend(tokens[:, first:end]), model(tokens[:, :end])[:, first:])
        generated = model.generate(tokens, 2, temperature=0)
        for _ in range(2):
            tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], 1)
    assert torch.equal(generated, tokens)


@pytest.mark.parametrize("where", WHOLE)
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("before", [False, True])
def test_a_hook_on_a_whole_acts_in_decoding_as_in_a_call(layers, where, before):
    model = make(layers)
    part, calls = model.get_submodule(WHOLE[where]), []
    tokens = torch.randint(7, (2, 3))
    assert model.caching == (LAYERS[layers],) * 2
    if before:

        def hook(_, args):
            calls.append(1)
            return (by_place(args[0]), *args[1:])

        handle = part.register_forward_pre_hook(hook)
    else:

        def hook(_, __, out):
            calls.append(1)
            return by_place(out)

        handle = part.register_forward_hook(hook)
    assert model.caching[0] == "none"
    check(model)
    calls.clear()
    model.generate(tokens, 4)
    assert len(calls) == 4
    handle.remove()
    assert model.caching == (LAYERS[layers],) * 2
    check(model)


@pytest.mark.parametrize("group", [0, 1])
def test_a_hook_on_a_group_of_heads_acts_in_decoding_as_in_a_call(group):
    model = make("lse+hyla")
    part = model.blocks[1].mixer.groups[group]
    part.register_forward_hook(lambda _, __, out: by_place(out))
    assert model.caching == ("groups", "none")
    check(model)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("layers", LAYERS)
def test_a_hook_on_a_part_sees_every_new_position(layers, part):
    model = make(layers)
    model.get_submodule(PARTS[part]).register_forward_hook(lambda _, __, out: 2 * out.tanh() + 0.5)
    assert model.caching == (LAYERS[layers],) * 2
    check(model)


class Around(nn.Module):
    """Another module in the place of a block or a layer."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args, **arguments):
        return by_place(self.inner(*args, **arguments))


class Louder:
    """A `forward` on top of that of a class; what else it has does not know of it."""

    def forward(self, x, *args, **arguments):
        return super().forward(by_place(x), *args, **arguments)


class LouderBlock(Louder, Block):
    pass


class LouderAttention(Louder, EnergyAttention):
    pass


class LouderGroups(Louder, HeadGroups):
    pass


class LouderMixer(Louder, HypernetworkAttention):
    pass


class LouderModel(Louder, LanguageModel):
    pass


def on_the_module(module: nn.Module) -> None:
    inner = module.forward
    module.forward = lambda x, *args, **arguments: inner(by_place(x), *args, **arguments)


def wrapped_block(model: LanguageModel) -> None:
    model.blocks[1] = Around(model.blocks[1])


def wrapped_layer(model: LanguageModel) -> None:
    model.blocks[1].mixer = Around(model.blocks[1].mixer)


def other_block(model: LanguageModel) -> None:
    model.blocks[1].__class__ = LouderBlock


def other_layer(model: LanguageModel) -> None:
    known = {EnergyAttention: LouderAttention, HeadGroups: LouderGroups}
    mixer = model.blocks[1].mixer
    mixer.__class__ = known.get(type(mixer), LouderMixer)


def set_on_a_block(model: LanguageModel) -> None:
    on_the_module(model.blocks[1])


def set_on_a_layer(model: LanguageModel) -> None:
    on_the_module(model.blocks[1].mixer)


CHANGES = [wrapped_block, wrapped_layer, other_block, other_layer, set_on_a_block, set_on_a_layer]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("layers", LAYERS)
def test_another_forward_acts_in_decoding_and_at_rows_as_in_a_call(layers, change):
    model = make(layers)
    change(model)
    assert model.caching == (LAYERS[layers], "none")
    check(model)
    tokens = torch.randint(7, (2, 6))
    for rows in (slice(-1, None), slice(1, 4)):
        assert_close(model(tokens, rows=rows), model(tokens)[:, rows])
        assert_close(
            model(tokens, rows=rows, is_causal=False), model(tokens, is_causal=False)[:, rows]
        )


@pytest.mark.parametrize("layers", LAYERS)
def test_another_forward_of_the_model_acts_in_decoding_as_in_a_call(layers):
    check(make(layers, LouderModel))
    model = make(layers)
    on_the_module(model)
    check(model)


@pytest.mark.parametrize("call", ["description", "reduced", "save_pretrained"])
def test_another_module_in_the_place_of_a_block_says_nothing_of_its_parts(call, tmp_path):
    model = make("lse")
    wrapped_block(model)
    given = {"reduced": [[(), ("mlp",)]], "save_pretrained": [tmp_path / "a"]}
    with pytest.raises(ValueError, match=r"blocks\[1\] must be a Block .*, got a Around"):
        getattr(model, call)(*given.get(call, []))


def test_which_forward_is_newer():
    class Streaming(nn.Module):
        def forward(self, x):
            return x

        def step(self, x, state):
            return x, state

    class Other(Streaming):
        def forward(self, x):
            return 2 * x

    class Both(Other):
        def step(self, x, state):
            return 2 * x, state

    newer = {cls: forward_is_newer(cls(), "step") for cls in (Streaming, Other, Both, nn.Identity)}
    assert newer == {Streaming: False, Other: True, Both: False, nn.Identity: False}
    assert forward_is_of(Both(), Other)
    assert not forward_is_of(Other(), Streaming)
    assert not forward_is_of(Streaming(), Other)
