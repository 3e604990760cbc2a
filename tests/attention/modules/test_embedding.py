"""Tokens that have no row in the table, or are of a type that reads none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attenergy.attention import LanguageModel
from attenergy.attention.modules.embedding import InputEmbedding
from attenergy.registry import ArgumentError

SIZE, LENGTH, BATCH = 9, 4, 3
wrong = st.one_of(st.integers(-(2**31), -1), st.integers(SIZE, 2**31 - 1))
types = st.sampled_from([torch.int64, torch.int32])


def embedding(channels: int = 1) -> InputEmbedding:
    return InputEmbedding(8, kind="token", size=SIZE, length=LENGTH, channels=channels).double()


@given(st.data())
def test_the_first_token_without_a_row_is_named(data):
    channels = data.draw(st.sampled_from([1, 2, 4]))
    shape = (BATCH, LENGTH) if data.draw(st.booleans()) and channels == 1 else None
    shape = shape or (BATCH, LENGTH, channels)
    tokens = torch.randint(SIZE, shape).to(data.draw(types))
    places = data.draw(
        st.lists(st.integers(0, tokens.numel() - 1), min_size=1, max_size=3, unique=True)
    )
    for place in places:
        tokens.view(-1)[place] = data.draw(wrong)
    first = (torch.arange(tokens.numel()).view(shape) == min(places)).nonzero()[0].tolist()
    with pytest.raises(ArgumentError) as raised:
        embedding(channels)(tokens)
    text = str(raised.value)
    assert f"got {int(tokens.view(-1)[min(places)])} at {first}" in text
    assert "from 0 to 8" in text
    assert "has 9" in text
    assert "torch.int64 or torch.int32" in text


@given(types, st.sampled_from([1, 2]))
def test_all_tokens_of_the_vocabulary_have_a_row(dtype, channels):
    table = embedding(channels)
    tokens = torch.arange(SIZE)[:, None, None].expand(SIZE, 1, channels).to(dtype)
    want = torch.cat([each.weight for each in table.tables], 1)
    torch.testing.assert_close(table(tokens)[:, 0], want)
    assert table(tokens[:0]).shape == (0, 1, 8)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.uint32, torch.bool, torch.complex64,
              torch.float16]
)  # fmt: skip
def test_types_that_read_no_table_are_named(dtype):
    message = f"below 9, got {dtype}; allowed are torch.int64 and torch.int32"
    for call in (embedding(), LanguageModel(vocabulary=SIZE, length=LENGTH, width=8, heads=2,
                                            layers="lse", mlp=0)):  # fmt: skip
        with pytest.raises(ArgumentError, match=message):
            call(torch.zeros(2, LENGTH).to(dtype))


def test_under_transforms_too():
    table, tokens = embedding(), torch.randint(SIZE, (BATCH, 2, LENGTH))
    torch.testing.assert_close(torch.vmap(table)(tokens)[1], table(tokens[1]))
    tokens[1, 0, 3] = SIZE
    for call in (torch.vmap(table), torch.vmap(table, in_dims=0, chunk_size=2)):
        with pytest.raises(ArgumentError, match=r"got 9 at"):
            call(tokens)
    with pytest.raises(ArgumentError, match=r"got 9 at \[0, 3\]"):
        torch.func.grad(
            lambda w: torch.func.functional_call(table, w, (tokens[1],)).sum(),
        )(dict(table.named_parameters()))


def test_another_index_error_passes_through():
    table = embedding()

    def fail(_, args):
        raise IndexError("of a hook")

    table.tables[0].register_forward_pre_hook(fail)
    with pytest.raises(IndexError, match="of a hook"):
        table(torch.zeros(1, 2, dtype=torch.long))


def test_graphs_hold_no_question_about_the_numbers():
    table, tokens = embedding(), torch.randint(SIZE, (BATCH, LENGTH))
    compiled = torch.compile(table, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), table(tokens))
    program = torch.export.export(table, (tokens,))
    torch.testing.assert_close(program.module()(tokens), table(tokens))
    asked = ("aten.item", "local_scalar", "nonzero", "assert")
    assert not any(word in str(node.target) for node in program.graph.nodes for word in asked)
    assert table.to("meta")(tokens.to("meta")).shape == (BATCH, LENGTH, 8)
