from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from attenergy.tasks.core.sampling import distinct, permutations
from attenergy.tasks.core.streams import BLOCK, Stream, belongs, content_hash, draw_in_part, seed_of


def numbers(count: int, generator: Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randint(1 << 40, (count, 2), generator=generator)}


def test_a_seed_is_that_of_the_data_whatever_its_order() -> None:
    assert seed_of("a", {"x": 1, "y": [2, True]}) == seed_of("a", {"y": [2, True], "x": 1})
    keys = ["a", ("a", 1), ("a", {"x": 1}), ("a", {"x": 2}), ("a", {"y": 1}), ("b", 1), ("a", None)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert all(0 <= seed_of(*key) < 2**32 for key in keys)
    # What it is today it has to stay: every stored result rests on it.
    assert seed_of("stream", {"b": 1, "a": 0.5}) == 1710588775


@given(start=st.integers(0, 3 * BLOCK), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_reading_in_pieces_equals_reading_at_once(start: int, sizes: list[int]) -> None:
    whole = Stream(numbers, "key").read(start, sum(sizes))["x"]
    stream = Stream(numbers, "key")
    places = [start + sum(sizes[:i]) for i in range(len(sizes))]
    pieces = [stream.read(place, size)["x"] for place, size in zip(places, sizes, strict=True)]
    assert torch.equal(torch.cat(pieces), whole)


def test_forgotten_blocks_come_back_the_same_and_no_two_are_alike() -> None:
    stream = Stream(numbers, "key")
    first = [stream.read(block * BLOCK, BLOCK)["x"] for block in range(20)]
    again = [stream.read(block * BLOCK, BLOCK)["x"] for block in range(20)]
    assert all(map(torch.equal, first, again))
    assert len({tuple(x[0].tolist()) for x in first}) == 20


@pytest.mark.parametrize("period", [1, 7, BLOCK, BLOCK + 300])
def test_a_finite_stream_comes_again(period: int) -> None:
    endless = Stream(numbers, "key").read(0, period)["x"]
    read = Stream(numbers, "key", period=period).read(period - 1, 2 * period + 5)["x"]
    places = [place % period for place in range(period - 1, 3 * period + 4)]
    assert torch.equal(read, endless[places])


def test_large_instances_are_drawn_a_few_at_once() -> None:
    sizes = []

    def draw(size: int) -> dict[str, torch.Tensor]:
        sizes.append(size)
        return numbers(size, generator)

    generator = Generator().manual_seed(0)
    drawn = draw_in_part(draw, lambda fields: fields["x"], "test", 60, at_once=200)["x"]
    assert len(drawn) == 60
    assert belongs(drawn, "test").all()
    assert max(sizes) == 200


def test_what_was_read_may_be_changed() -> None:
    stream = Stream(numbers, "key")
    before = stream.read(3, 5)["x"]
    copy = before.clone()
    before.zero_()
    assert torch.equal(stream.read(3, 5)["x"], copy)


def test_streams_with_other_keys_differ() -> None:
    a, b = Stream(numbers, "key", 0), Stream(numbers, "key", 1)
    assert not torch.equal(a.read(0, 8)["x"], b.read(0, 8)["x"])


@pytest.mark.parametrize(("start", "size"), [(-1, 4), (0, 0), (5, -1)])
def test_a_batch_that_is_none_is_refused(start: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"got {start} and {size}"):
        Stream(numbers, "key").read(start, size)


def test_seeds_are_the_first_four_bytes_of_the_digest_of_compact_json() -> None:
    # printf '["a",1]' | sha256sum
    assert seed_of("a", 1) == 0x135F17A4


def test_hash_in_plain_python() -> None:
    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    codes = torch.randint(50, (20, 7))
    weights = [mix(i * 0x9E3779B97F4A7C15 % 2**64) | 1 for i in range(1, 8)]
    expected = [
        mix(sum(c * w for c, w in zip(row, weights, strict=True)) % 2**64) for row in codes.tolist()
    ]
    assert content_hash(codes).tolist() == expected


def test_parts_are_disjoint_cover_everything_and_have_their_shares() -> None:
    codes = torch.cartesian_prod(*[torch.arange(8)] * 5)
    parts = torch.stack([belongs(codes, split) for split in ("train", "valid", "test")])
    assert (parts.sum(0) == 1).all()
    shares = parts.double().mean(1)
    expected = torch.tensor([14 / 16, 1 / 16, 1 / 16], dtype=torch.float64)
    sigma = (expected * (1 - expected) / len(codes)).sqrt()
    assert ((shares - expected).abs() < 5 * sigma).all()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_rejection_fills_a_part_with_its_own(split: str) -> None:
    generator = Generator().manual_seed(1)
    fields = draw_in_part(lambda n: numbers(n, generator), lambda f: f["x"], split, 300)
    assert fields["x"].shape == (300, 2)
    assert belongs(fields["x"], split).all()


def test_an_empty_part_is_an_error_not_an_endless_loop() -> None:
    only = torch.zeros(1, 3, dtype=torch.int64)
    empty = next(split for split in ("train", "test") if not belongs(only, split).item())
    with pytest.raises(ValueError, match=f"split '{empty}' is \\(almost\\) empty: 0 of"):
        draw_in_part(lambda n: {"x": only.expand(n, 3)}, lambda f: f["x"], empty, 1000)


def test_permutations_are_uniform(looks_uniform) -> None:
    drawn = permutations(12_000, 4, Generator().manual_seed(0))
    names = {order: i for i, order in enumerate(itertools.permutations(range(4)))}
    assert looks_uniform(torch.tensor([names[tuple(row)] for row in drawn.tolist()]), 24)


@pytest.mark.parametrize(("size", "population"), [(1, 1), (3, 3), (2, 5), (3, 5)])
def test_distinct_is_uniform_over_ordered_selections(size, population, looks_uniform) -> None:
    drawn = distinct(12_000, size, population, Generator().manual_seed(0))
    names = {s: i for i, s in enumerate(itertools.permutations(range(population), size))}
    ids = torch.tensor([names[tuple(row)] for row in drawn.tolist()])
    assert len(names) == 1 or looks_uniform(ids, len(names))


@pytest.mark.parametrize(("size", "population"), [(0, 3), (4, 3)])
def test_distinct_refuses_what_cannot_be(size: int, population: int) -> None:
    with pytest.raises(ValueError, match=f"cannot draw {size} distinct numbers out of"):
        distinct(2, size, population, Generator())


@pytest.mark.parametrize(
    ("drawn", "got"),
    [
        ({"x": torch.zeros(7, 2)}, r"x \(7, 2\)"),
        ({"x": torch.zeros(BLOCK), "y": torch.tensor(0)}, r"x \(1024,\), y \(\)"),
        ({"x": [0] * BLOCK}, "x list"),
        ({}, "an empty one"),
        (None, "NoneType"),
    ],
)
def test_what_a_task_of_a_users_own_draws_is_checked(drawn: Any, got: str) -> None:
    with pytest.raises(ValueError, match=rf"1024 instances must generate a dict .* got {got}$"):
        Stream(lambda *_: drawn, "key").read(0, 4)
