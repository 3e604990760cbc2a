from __future__ import annotations

import pytest
import torch

from attenergy.tasks import IGNORE, Estimate, Latch, MultipleInstance


def numbers(bits: torch.Tensor) -> list[list[int]]:
    """Bit patterns (B, n, b) as numbers, one at a time."""
    return [[int("".join(str(int(x)) for x in row), 2) for row in bag] for bag in bits.tolist()]


def test_bags_are_as_documented() -> None:
    task = MultipleInstance(bits=6, instances=5, signals=3)
    signals = set(task.signal_patterns.tolist())
    assert len(signals) == 3
    assert 0 not in signals
    batch = task.batch("train", 0, 1500)
    assert batch.inputs.shape == (1500, 6, 6)
    assert not batch.inputs[:, -1].any()
    assert (batch.targets[:, :-1] == IGNORE).all()
    labels = batch.targets[:, -1].tolist()
    for bag, label in zip(numbers(batch.inputs[:, :-1]), labels, strict=True):
        assert 0 not in bag
        assert sum(pattern in signals for pattern in bag) == label
    assert sum(labels) / 1500 == pytest.approx(0.5, abs=0.06)


def test_draws_are_uniform(looks_uniform) -> None:
    task = MultipleInstance(bits=4, instances=4, signals=3, train_instances=0)
    bags = task.instances("train", 0, 8000)["bags"]
    signals = task.signal_patterns
    is_signal = torch.isin(bags, signals)
    assert looks_uniform((is_signal & is_signal.any(-1, keepdim=True)).nonzero()[:, 1], 4)
    ranks = (bags[is_signal][:, None] == signals).nonzero()[:, 1]
    assert looks_uniform(ranks, 3)
    others = (bags[~is_signal][:, None] == task.other_patterns).nonzero()[:, 1]
    assert looks_uniform(others, 12)


def test_the_training_set_is_finite_and_read_again() -> None:
    task = MultipleInstance(train_instances=48)
    again = task.batch("train", 40, 64).inputs
    assert torch.equal(again[8:56], task.batch("train", 0, 48).inputs)
    more = MultipleInstance(train_instances=96)
    assert torch.equal(more.batch("train", 0, 48).inputs, task.batch("train", 0, 48).inputs)
    assert torch.equal(more.batch("test", 0, 48).inputs, task.batch("test", 0, 48).inputs)


def test_signals_are_those_of_the_split_seed() -> None:
    signals = [
        set(MultipleInstance(seed=seed, split_seed=split).signal_patterns.tolist())
        for seed, split in ((0, 0), (1, 0), (0, 1))
    ]
    assert signals[0] == signals[1] != signals[2]


def test_splits_share_no_bag_in_any_order() -> None:
    task = MultipleInstance(bits=3, instances=4, signals=2, train_instances=0)
    bags = {
        split: set(map(tuple, task.instances(split, 0, 4000)["bags"].sort(-1).values.tolist()))
        for split in task.splits
    }
    # multisets of 4 of the 5 others, or of 3 of them and one of two signals
    assert sum(map(len, bags.values())) == 70 + 2 * 35
    assert len(set.union(*bags.values())) == 140


def test_knowing_the_signals_is_enough() -> None:
    task = MultipleInstance()
    weights = 2.0 ** torch.arange(7, -1, -1)

    def detect(batch) -> torch.Tensor:
        detected = (
            torch.isin((batch.inputs @ weights).long(), task.signal_patterns).any(-1).double()
        )
        return torch.stack([0.5 - detected, detected - 0.5], -1)[:, None].expand(-1, 17, -1)

    assert task.evaluate(detect, "test", 500)["accuracy"] == 1.0
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)


def test_what_a_person_sees() -> None:
    task = MultipleInstance(bits=5, instances=6)
    texts = [str(task.sample("valid", index)) for index in range(12)]
    assert all(("[" in text) == text.endswith("class: 1") for text in texts)
    assert {text[-1] for text in texts} == {"0", "1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 17}, "'bits' must be at most 16, got 17"),
        ({"bits": 3, "signals": 7}, "'signals' must be below 2\\^bits - 1 = 7"),
        ({"instances": 0}, "'instances' must be a whole number >= 1, got 0"),
        ({"train_instances": -1}, "'train_instances' must be a whole number >= 0, got -1"),
    ],
)
def test_bad_bags_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultipleInstance(**options)


def test_latch(looks_uniform) -> None:
    batch = Latch(length=15, symbols=5).batch("train", 0, 6000)
    assert looks_uniform(batch.inputs[:, 0], 2)
    assert looks_uniform(batch.inputs[:, 1:].flatten() - 2, 3)
    assert torch.equal(batch.targets[:, -1], batch.inputs[:, 0])
    assert (batch.targets[:, :-1] == IGNORE).all()
    task = Latch(length=6, symbols=5)
    seen = [set(map(tuple, task.batch(s, 0, 3000).inputs.tolist())) for s in task.splits]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 2 * 3**5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, "'length' must be a whole number >= 2, got 1"),
        ({"symbols": 2}, "'symbols' must be a whole number >= 3, got 2"),
    ],
)
def test_bad_latches_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Latch(**options)
