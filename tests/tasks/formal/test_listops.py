from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.tasks import IGNORE, Estimate, ListOps
from attenergy.tasks.formal.listops_trees import grow, lengths_of

MINI = {"depth": 4, "arguments": 5, "longer_than": 8, "longest": 64}


def parsed(words: list[str]) -> tuple[int, int, list[int]]:
    """Value and depth of an expression, and how many arguments its operators have."""
    counts: list[int] = []

    def node(at: int) -> tuple[int, int, int]:
        if not words[at].startswith("["):
            return int(words[at]), 1, at + 1
        operator, at, values, depths = words[at], at + 1, [], []
        while words[at] != "]":
            value, depth, at = node(at)
            values.append(value)
            depths.append(depth)
        counts.append(len(values))
        values.sort()
        half = len(values) // 2
        median = values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
        results = {"[MIN": values[0], "[MAX": values[-1], "[SM": sum(values) % 10, "[MED": median}
        return int(results[operator]), 1 + max(depths), at + 1

    value, depth, end = node(0)
    assert end == len(words)
    return value, depth, counts


def length_shares(depth: int, most: int, size: int) -> np.ndarray:
    """Exact probability of every length below `size`, by generating functions."""
    shares = np.zeros(size)
    shares[1] = 1.0
    for _ in range(depth - 1):
        power, total = np.eye(1, size)[0], np.zeros(size)
        for children in range(1, most + 1):
            power = np.convolve(power, shares)[:size]
            if children > 1:
                total += power / (most - 1)
        shares = np.concatenate([[0.0, 0.0], 0.25 * total[:-2]])
        shares[1] += 0.75
    return shares


def test_expressions_are_well_formed_and_have_their_values() -> None:
    task = ListOps(**MINI)
    counts: list[int] = []
    for index in range(300):
        sample = task.sample("train", index)
        value, depth, operations = parsed(list(sample.tokens))
        assert value == sample.value
        assert depth <= 4
        assert 8 < len(sample.tokens) <= 64
        assert str(sample) == f"{' '.join(sample.tokens)} = {value}"
        counts += operations
    assert set(counts) == {2, 3, 4, 5}


def test_long_expressions_of_the_long_range_arena() -> None:
    drawn = ListOps().draw(40, np.random.default_rng(0))
    words = ["", *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]"]
    for row, length, value in zip(
        *(drawn[x] for x in ("tokens", "lengths", "values")), strict=True
    ):
        text = [words[x] for x in row.tolist() if x]
        assert 500 < len(text) == length < 2000
        result, depth, counts = parsed(text)
        assert result == value
        assert depth <= 10
        assert 2 <= min(counts) <= max(counts) <= 10


def test_share_of_trees_and_mean_length_are_the_exact_ones() -> None:
    exact = length_shares(10, 10, 2000)
    numbers = np.arange(2000)
    inside = (numbers > 500) & (numbers < 2000)
    rate = exact[inside].sum()
    mean = (exact * numbers)[inside].sum() / rate
    spread = ((exact * numbers**2)[inside].sum() / rate - mean**2) ** 0.5
    assert rate == pytest.approx(0.0828, abs=5e-5)
    assert mean == pytest.approx(1035.0, abs=0.1)

    count = 15_000
    lengths = lengths_of(grow(count, depth=10, most=10, random=np.random.default_rng(0)), count)
    drawn = lengths[(lengths > 500) & (lengths < 2000)]
    assert len(drawn) / count == pytest.approx(rate, abs=5 * (rate / count) ** 0.5)
    assert drawn.mean() == pytest.approx(mean, abs=5 * spread / len(drawn) ** 0.5)


def test_small_lengths_are_distributed_as_they_should() -> None:
    exact = length_shares(3, 4, 40)
    assert exact.sum() == pytest.approx(1.0)  # at most 2 + 4 * (2 + 4) tokens
    count = 40_000
    levels = grow(count, depth=3, most=4, random=np.random.default_rng(1))
    counts = np.bincount(lengths_of(levels, count), minlength=40)
    sigma = (count * exact).clip(1) ** 0.5
    assert (abs(counts - count * exact) < 5 * sigma).all()
    assert (counts[exact == 0] == 0).all()


def test_majority_of_the_mini_setting() -> None:
    values = ListOps(**MINI).draw(5000, np.random.default_rng(0))["values"]
    shares = values.bincount(minlength=10) / 5000
    assert 0.11 - 0.01 < shares.max() < 0.12 + 0.01
    assert shares.min() > 0.08


def test_batches() -> None:
    task = ListOps(**MINI)
    batch = task.batch("valid", 1000, 60)
    instances = task.instances("valid", 1000, 60)
    assert batch.inputs.shape == batch.targets.shape == batch.mask.shape == (60, 65)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert (batch.inputs[:, 0] == 16).all()
    assert torch.equal(batch.inputs[:, 1:], instances["tokens"].long())
    assert torch.equal(batch.mask, batch.inputs != 0)
    assert torch.equal(batch.targets[:, 0], instances["values"])
    assert (batch.targets[:, 1:] == IGNORE).all()
    assert batch.inputs.max() < task.inputs.size
    assert torch.equal(task.batch("valid", 1023, 6).inputs, task.batch("valid", 1020, 9).inputs[3:])


def test_splits_share_no_expression_and_repeat_few() -> None:
    task = ListOps(**MINI)
    texts = [
        {tuple(row) for row in task.instances(split, 0, 2000)["tokens"].tolist()}
        for split in task.splits
    ]
    assert sum(map(len, texts)) == len(set.union(*texts))
    assert min(map(len, texts)) > 1990


def test_knowing_gives_one_and_chance_is_a_tenth() -> None:
    task = ListOps(**MINI)
    scores = task.evaluate(
        lambda b: torch.nn.functional.one_hot(b.targets.clamp(min=0), 10).double(), "test", 100
    )
    assert scores["accuracy"] == 1.0
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)
    guess = task.evaluate(lambda b: torch.randn(*b.inputs.shape, 10), "test", 2000)["accuracy"]
    assert guess == pytest.approx(0.1, abs=5 * (0.09 / 2000) ** 0.5)


def test_a_training_set_of_so_many() -> None:
    task = ListOps(**MINI, train_instances=50)
    assert torch.equal(task.batch("train", 0, 50).inputs, task.batch("train", 50, 50).inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "'depth' must be a whole number >= 2, got 1"),
        ({"arguments": 1}, "'arguments' must be a whole number >= 2, got 1"),
        ({"longer_than": 0}, "'longer_than' must be a whole number >= 1, got 0"),
        ({"longest": 500}, "'longest' must be a whole number >= 501, got 500"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ListOps(**options)


def test_lengths_that_never_occur_are_an_error_not_an_endless_loop() -> None:
    task = ListOps(depth=2, arguments=3, longer_than=5, longest=9)
    with pytest.raises(ValueError, match="0 have more than 5 and at most 9 tokens; choose other"):
        task.batch("train", 0, 1)
