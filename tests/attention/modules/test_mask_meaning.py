"""A shape of a mask has one meaning in a class, or is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from attenergy.attention import (
    LanguageModel,
    Transformer,
    make_mixer,
)
from tests.attention.conftest import LAYERS, REGISTRY, model_sizes

PAIRS = {
    "energy": LAYERS["attention"],
    "mixer": partial(make_mixer, "softmax", embed_dim=8, num_heads=2, registry=REGISTRY),
}
SIZES = model_sizes(mlp=0, length=5)
MODELS = {
    "transformer": partial(
        Transformer, kind="vector", size=8, outputs=3, positions="relative", **SIZES
    ),
    "block": LAYERS["block"],
}


def bits(*shape):
    mask = torch.rand(*shape) < 0.6
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize("kind", list(PAIRS))
def test_masks_of_layers_are_pairs(kind):
    layer, x = PAIRS[kind](), torch.randn(3, 5, 8)
    pairs, of_heads, keys = bits(5, 5), bits(2, 5, 5), bits(5)
    for mask, full in ((pairs, pairs[None, None]), (of_heads, of_heads[None]), (keys, keys[None])):
        torch.testing.assert_close(layer(x, mask=mask), layer(x, mask=full.expand(3, 2, 5, 5)))


@pytest.mark.parametrize("kind", list(PAIRS))
def test_masks_of_layers_with_two_meanings_are_refused(kind):
    layer = PAIRS[kind]()
    square = torch.randn(5, 5, 8)  # as many samples as states
    with pytest.raises(ValueError, match=r"\(5, 5\) may be pairs .* mask\[:, None, None, :\]"):
        layer(square, mask=bits(5, 5))
    two = torch.randn(2, 5, 8)  # as many samples as heads
    with pytest.raises(
        ValueError, match=r"\(2, 5, 5\) may be pairs of each head .*mask\[:, None\]"
    ):
        layer(two, mask=bits(2, 5, 5))
    padding = bits(5, 5)
    assert layer(square, mask=padding[:, None, None, :]).shape == square.shape
    assert layer(square, mask=padding[None, None]).shape == square.shape
    assert layer(square, is_causal=True).shape == square.shape
    with pytest.raises(ValueError, match=r"cannot be broadcast .*mask\[:, None, None, :\]"):
        layer(torch.randn(3, 5, 8), mask=bits(3, 5))


#: Sizes (B, L) of two heads, the first axes of a mask that may be of samples, and the last ones.
VAGUE = [
    pytest.param(batch, (batch, *rest), id=f"{batch}-{rest}")
    for batch, rests in (
        (5, [(5,), (1,)]), (2, [(5, 5), (1, 5), (5, 1), (1, 1)]),
    )
    for rest in rests
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's look
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize(("batch", "shape"), VAGUE)
@pytest.mark.parametrize("kind", [*PAIRS, "pooling"])
def test_axes_that_are_broadcast_have_two_meanings_too(kind, batch, shape, compiled):
    layer = LAYERS["pooling"](num_queries=5) if kind == "pooling" else PAIRS[kind]()
    call = torch.compile(layer, backend="eager") if compiled else layer
    with pytest.raises(ValueError, match="may be"):
        call(torch.randn(batch, 5, 8), mask=bits(*shape))
    x, mask = torch.randn(batch, 5, 8), bits(*shape)
    of_samples = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
    for clear in (mask[(None,) * (4 - mask.ndim)], of_samples):
        torch.testing.assert_close(call(x, mask=clear), layer(x, mask=clear))


@pytest.mark.parametrize("kind", list(PAIRS))
def test_masks_of_one_meaning_stay(kind):
    layer = PAIRS[kind]()
    for batch in (1, 3, 5):
        x = torch.randn(batch, 5, 8)
        shapes = [(5,), (1,), (1, 5), (1, 1), (1, 5, 5), (2, 1, 5), (2, 5, 5), (1, 1, 5)]
        for mask in (torch.ones(shape).bool() for shape in shapes):
            torch.testing.assert_close(layer(x, mask=mask), layer(x))


def test_exported_masks_have_one_meaning():
    layer, mask = PAIRS["energy"](), bits(5, 5)
    with pytest.raises(ValueError, match="may be pairs"):
        torch.export.export(layer, (torch.randn(5, 5, 8),), {"mask": mask}, strict=False)
    batch = torch.export.Dim("batch", min=2)
    shapes = {"x": {0: batch}, "mask": {}}
    program = torch.export.export(
        layer, (torch.randn(3, 5, 8),), {"mask": mask}, dynamic_shapes=shapes, strict=False
    )
    x = torch.randn(4, 5, 8)
    torch.testing.assert_close(program.module()(x, mask=mask), layer(x, mask=mask))


@pytest.mark.parametrize("batch", [3, 5])
@pytest.mark.parametrize("kind", list(MODELS))
def test_masks_of_models_are_padding_or_pairs_of_each_sample(kind, batch):
    model, x = MODELS[kind](), torch.randn(batch, 5, 8)
    one, padding, pairs = bits(5), bits(batch, 5), bits(batch, 5, 5)
    torch.testing.assert_close(model(x, mask=one), model(x, mask=one.expand(batch, 5)))
    torch.testing.assert_close(model(x, mask=pairs), model(x, mask=pairs[:, None]))
    seen = padding[:, None, None, :] & padding[:, None, :, None]
    shown = model(x, mask=padding)[padding]
    torch.testing.assert_close(shown, model(x, mask=seen)[padding])


@pytest.mark.parametrize("kind", list(MODELS))
@pytest.mark.parametrize(
    "shape",
    [(), (4,), (2, 5), (5, 4), (2, 5, 5), (3, 4, 5), (1, 3, 2, 5, 5), (3, 2, 4, 5), (2, 1, 1, 5)],
)
def test_masks_of_models_that_do_not_fit(kind, shape):
    with pytest.raises(ValueError, match="mask"):
        MODELS[kind]()(torch.randn(3, 5, 8), mask=torch.ones(shape).bool())


def test_cached_decoding_gives_masks_of_one_meaning():
    model = LanguageModel(vocabulary=7, **SIZES).eval()
    for batch in (2, 3):  # as many samples as heads, as many as new positions
        tokens = torch.randint(0, 7, (batch, 3))
        out = model.generate(tokens, 2, temperature=0)
        assert torch.equal(out[:, 3], model(tokens)[:, -1].argmax(-1))
