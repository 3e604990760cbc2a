"""Buckets of distances, the relative bias and absolute positions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attenergy.attention import LanguageModel, make_layer
from attenergy.attention.modules.positions import (
    AbsolutePositions,
    RelativePositionBias,
    distance_buckets,
    relative_buckets,
)

SIZES = [6, 9, 16, 27, 32, 36, 45, 54, 64, 72, 96, 128]


@pytest.mark.parametrize("size", SIZES)
def test_buckets_equal_the_reference(golden, size):
    data = golden("relative_position")
    by_distance = distance_buckets(torch.arange(size), size)
    assert by_distance.tolist() == data[f"bucket_by_distance_N{size}"].tolist()
    assert relative_buckets(size).tolist() == data[f"bucket_table_N{size}"].tolist()


def test_buckets_of_36_positions_by_hand():
    """Distances up to 20 have their own; bucket 21 is never used and 31 and 32 share one."""
    buckets = distance_buckets(torch.arange(36), 36).tolist()
    assert buckets[:21] == list(range(21))
    assert buckets[21:33] == [22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 32]
    assert buckets[33:] == [33, 34, 35]


def test_buckets_of_16_positions_are_the_distances():
    assert distance_buckets(torch.arange(16), 16).tolist() == list(range(16))


@given(st.integers(1, 300))
def test_buckets_grow_with_the_distance_and_stay_in_range(size):
    buckets = distance_buckets(torch.arange(-5, 2 * size + 5), size)
    assert buckets.dtype == torch.int64
    assert buckets[:6].tolist() == [0] * 6
    assert (buckets.diff() >= 0).all()
    assert buckets.max() == size - 1
    near = torch.arange(size // 2)
    assert torch.equal(distance_buckets(near, size), near)


def test_patterns_at_or_after_a_state_share_bucket_0():
    buckets = relative_buckets(12)
    assert buckets.triu().count_nonzero() == 0
    assert buckets.tril(-1).count_nonzero() == 12 * 11 // 2


def test_bias_reads_its_table():
    bias = RelativePositionBias(3, 8).double()
    torch.nn.init.normal_(bias.table)
    full = bias(8)
    assert full.shape == (1, 3, 8, 8)
    for h, i, j in torch.cartesian_prod(*map(torch.arange, (3, 8, 8))).tolist():
        assert full[0, h, i, j] == bias.table[h, max(i - j, 0)]  # 8 buckets: the distances
    full.sum().backward()
    assert bias.table.grad[0].tolist() == [36, 7, 6, 5, 4, 3, 2, 1]


def test_bias_of_shorter_and_longer_sequences_uses_the_same_distances():
    bias = RelativePositionBias(2, 8)
    assert torch.equal(bias(5), bias(8)[..., :5, :5])
    longer = bias(11)
    assert longer.shape == (1, 2, 11, 11)
    assert torch.equal(longer[..., :8, :8], bias(8))
    assert torch.equal(longer[0, :, 10, :3], bias.table[:, [7, 7, 7]])


def test_initial_spread_of_tables():
    bias = RelativePositionBias(500, 36).table.double()
    assert abs(bias.var() * 36 - 1) < 4 * (2 / bias.numel()) ** 0.5
    absolute = AbsolutePositions(500, 36).table.double()
    assert abs(absolute.square().sum(1).mean() - 1) < 4 * (2 / absolute.numel()) ** 0.5


def test_buckets_are_not_saved_with_the_weights():
    assert list(RelativePositionBias(2, 8).state_dict()) == ["table"]


def test_absolute_positions_are_added():
    positions = AbsolutePositions(6, 4)
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(positions(x) - x, positions.table[:5].expand(2, 5, 4))
    with pytest.raises(ValueError, match="7 positions is too long for 6 learned"):
        positions(torch.randn(2, 7, 4))


def test_printed_sizes():
    assert repr(RelativePositionBias(2, 8)) == "RelativePositionBias(num_heads=2, length=8)"
    assert repr(AbsolutePositions(6, 4)) == "AbsolutePositions(length=6, width=4)"


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_longer_sequences_use_the_same_distances(length):
    bias = RelativePositionBias(2, length)
    for longer in (length + 1, 3 * length + 2):
        want = bias.table[:, relative_buckets(longer, length)][None]
        assert torch.equal(bias(longer), want)
        assert torch.equal(bias(longer, start=longer - 1), want[:, :, -1:])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_exported_model_reads_more_positions_than_it_was_made_for():
    make = partial(make_layer, "rbm", embed_dim=8, num_heads=2)
    sizes = {"vocabulary": 7, "length": 4, "width": 8, "heads": 2, "layers": 1, "mlp": 0}
    model = LanguageModel(make_layer=make, **sizes).eval()
    free = ({0: torch.export.Dim("b"), 1: torch.export.Dim("l")},)
    program = torch.export.export(model, (torch.randint(0, 7, (2, 3)),), dynamic_shapes=free)
    for length in (2, 4, 5, 11):
        tokens = torch.randint(0, 7, (3, length))
        torch.testing.assert_close(program.module()(tokens), model(tokens))
