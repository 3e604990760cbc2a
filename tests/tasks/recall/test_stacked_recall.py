from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.tasks import IGNORE, Batch, Estimate, StackedRecall


@settings(max_examples=30)
@given(
    half=st.integers(12, 70),
    pairs=st.integers(3, 11),
    split=st.sampled_from(["train", "valid", "test"]),
    index=st.integers(0, 3000),
)
def test_layout(half: int, pairs: int, split: str, index: int) -> None:
    task = StackedRecall(vocabulary=2 * half, pairs=pairs)
    batch = task.batch(split, index, 1)
    tokens, targets = batch.inputs[0].tolist(), batch.targets[0].tolist()
    assert len(tokens) == len(targets) == task.inputs.length == 2 * pairs
    memory = dict(tokens[:pairs])
    assert len(memory) == len(set(memory.values())) == pairs
    assert all(1 <= key < half <= value < 2 * half for key, value in memory.items())
    queries = tokens[pairs:]
    assert sorted(key for key, _ in queries) == sorted(memory)
    assert all(value == 0 for _, value in queries)
    assert targets == [IGNORE] * pairs + [memory[key] for key, _ in queries]
    sample = task.sample(split, index)
    assert dict(sample.pairs) == memory
    assert list(sample.answers) == targets[pairs:]
    assert f"{sample.queries[0]}->? ({sample.answers[0]})" in str(sample)


def test_keys_values_and_order_of_asking_are_uniform(looks_uniform) -> None:
    drawn = StackedRecall(vocabulary=32, pairs=3).instances("train", 0, 9000)
    assert looks_uniform(drawn["keys"][:, 1] - 1, 15)
    assert looks_uniform(drawn["values"][:, 2] - 16, 16)
    names = {p: i for i, p in enumerate(itertools.permutations(range(3)))}
    assert looks_uniform(torch.tensor([names[tuple(q)] for q in drawn["queries"].tolist()]), 6)


def test_splits_share_no_memory_in_any_order() -> None:
    task = StackedRecall(vocabulary=12, pairs=2)
    memories = {
        split: {
            frozenset(zip(keys, values, strict=True))
            for keys, values in zip(
                *(task.instances(split, 0, 6000)[n].tolist() for n in ("keys", "values")),
                strict=True,
            )
        }
        for split in task.splits
    }
    total = (5 * 4 // 2) * (6 * 5)  # sets of two keys, times ordered pairs of values
    assert sum(map(len, memories.values())) == total
    assert len(set.union(*memories.values())) == total


def test_a_task_with_too_few_memories_says_so() -> None:
    task = StackedRecall(vocabulary=4, pairs=1)
    with pytest.raises(ValueError, match="the task has too few different contexts"):
        [task.batch(split, 0, 1) for split in task.splits]


def test_training_alone_depends_on_the_seed() -> None:
    tasks = [StackedRecall(seed=seed) for seed in (0, 1)]
    for split in tasks[0].splits:
        same = torch.equal(*(task.batch(split, 0, 20).inputs for task in tasks))
        assert same == (split != "train")


def test_chance_and_ceiling() -> None:
    task = StackedRecall(vocabulary=32, pairs=8)
    assert task.chance == {"accuracy": 1 / 16}
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)

    def guess(batch: Batch) -> torch.Tensor:
        logits = torch.randn(*batch.inputs.shape[:2], 32)
        logits[..., :16] = -10
        return logits

    score = task.evaluate(guess, "test", 2048)["accuracy"]
    assert score == pytest.approx(1 / 16, abs=5 * (1 / 16 / (2048 * 8)) ** 0.5)


def test_reading_the_memory_reaches_the_ceiling() -> None:
    task = StackedRecall(vocabulary=64, pairs=10)

    def recall(batch: Batch) -> torch.Tensor:
        key, value = batch.inputs.unbind(-1)
        same = (key[:, :, None] == key[:, None, :]).double()
        stored = torch.nn.functional.one_hot(value, 64).double() * (value > 0)[..., None]
        return same @ stored

    scores = task.evaluate(recall, "valid", 300, batch_size=77)
    assert scores["accuracy"] == 1.0
    half_right = task.batch("valid", 0, 2)
    logits = recall(half_right)
    logits[1, -5:] = 0
    assert task.metrics(logits, half_right.targets)["accuracy"].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 9, "pairs": 2}, "'vocabulary' must be even, got 9"),
        ({"vocabulary": 2, "pairs": 1}, "'vocabulary' must be a whole number >= 4, got 2"),
        ({"vocabulary": 16, "pairs": 8}, "'pairs' must be <= vocabulary/2 - 1 = 7"),
        ({"pairs": 0}, "'pairs' must be a whole number >= 1, got 0"),
        ({"pairs": True}, "'pairs' must be a whole number >= 1, got True"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StackedRecall(**options)
