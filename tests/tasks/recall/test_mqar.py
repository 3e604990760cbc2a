from __future__ import annotations

import itertools

import pytest
import torch
from torch import Generator

from attenergy.tasks import (
    IGNORE,
    MQAR,
    CompositionalRecall,
    Estimate,
    ForgettingRecall,
    MixedMQAR,
)
from attenergy.tasks.core.sampling import one_of, weighted_order


def goodness(counts: list[int], expected: list[float]) -> bool:
    """Pearson's chi-square of counts against their expectation, within 5 sigma."""
    statistic = sum((a - b) ** 2 / b for a, b in zip(counts, expected, strict=True))
    freedom = len(counts) - 1
    return abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5


def rows(task, split: str, count: int):
    batch = task.batch(split, 0, count)
    return zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)


def questions(tokens: list[int], targets: list[int], context: int, width: int):
    """Key, answer and place of every query, read off one place after another."""
    pairs = []
    for place, start in enumerate(range(context, len(tokens) - width + 1, width)):
        answer = targets[start + width - 2]
        if answer != IGNORE:
            pairs.append((tuple(tokens[start : start + width - 1]), answer, place))
    assert len(pairs) == sum(target != IGNORE for target in targets)
    return pairs


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_key_is_asked_once_and_has_its_value(passes: int, split: str) -> None:
    task = MQAR(vocabulary=60, length=48, pairs=5, passes=passes)
    context = 10 * passes
    for tokens, targets in rows(task, split, 40):
        pairs = list(zip(tokens[:context:2], tokens[1:context:2], strict=True))
        assert pairs == pairs[:5] * passes
        memory = dict(pairs)
        assert len(memory) == len(set(memory.values())) == 5
        assert all(1 <= key < 30 <= value < 60 for key, value in memory.items())
        queries = questions(tokens, targets, context, 2)
        assert sorted(key for (key,), _, _ in queries) == sorted(memory)
        assert all(memory[key] == answer for (key,), answer, _ in queries)
        assert sum(tokens[context:]) == sum(memory)  # all else is 0


def test_random_filler_is_uniform_and_hides_no_query(looks_uniform) -> None:
    task = MQAR(vocabulary=40, length=32, pairs=4, random_non_queries=True)
    filler = []
    for tokens, targets in rows(task, "train", 400):
        memory = dict(zip(tokens[:8:2], tokens[1:8:2], strict=True))
        assert all(memory[tokens[i]] == x for i, x in enumerate(targets) if x != IGNORE)
        filler += [tokens[i] for i in range(8, 32) if targets[i] == IGNORE]
    assert looks_uniform(torch.tensor(filler), 40)


@pytest.mark.parametrize("power", [0.01, 0.5, 1.0])
def test_places_follow_the_power_law_without_repeats(power: float) -> None:
    count = 20_000
    weights = torch.arange(1, 5, dtype=torch.float64) ** (power - 1)
    drawn = weighted_order(count, 2, weights, Generator().manual_seed(1))
    p = [w / sum(weights.tolist()) for w in weights.tolist()]
    orders = list(itertools.permutations(range(4), 2))
    expected = [p[i] * p[j] / (1 - p[i]) for i, j in orders]
    counts = [((drawn[:, 0] == i) & (drawn[:, 1] == j)).sum().item() for i, j in orders]
    assert sum(counts) == count
    assert goodness(counts, [count * share for share in expected])
    task = MQAR(vocabulary=40, length=12, pairs=2, power=power)
    first = []
    for tokens, targets in rows(task, "train", 3000):
        first += [j for (k,), _, j in questions(tokens, targets, 4, 2) if k == tokens[0]]
    assert goodness([first.count(j) for j in range(4)], [3000 * share for share in p])


def test_one_of_is_uniform_over_what_is_allowed(looks_uniform) -> None:
    allowed = torch.tensor([False, True, True, False, True]).expand(6000, -1)
    drawn = one_of(allowed, Generator().manual_seed(0))
    assert set(drawn.tolist()) == {1, 2, 4}
    assert looks_uniform(torch.tensor([0, 0, 1, 0, 2])[drawn], 3)
    with pytest.raises(ValueError, match="cannot draw 3 distinct numbers out of 2"):
        weighted_order(1, 3, torch.ones(2), Generator())


def test_the_last_value_counts() -> None:
    task = ForgettingRecall(vocabulary=34, length=32, pairs=5, updates=2)
    changed = 0
    for tokens, targets in rows(task, "train", 1000):
        pairs = list(zip(tokens[:14:2], tokens[1:14:2], strict=True))
        old, new = dict(pairs[:5]), dict(pairs[5:])
        assert len(old) == 5
        assert len(new) == 2
        assert set(new) <= set(old)
        assert all(17 <= value < 34 and value != old[key] for key, value in new.items())
        queries = questions(tokens, targets, 14, 2)
        assert {key: answer for (key,), answer, _ in queries} == {**old, **new}
        changed += tokens[0] in new
    assert changed == pytest.approx(400, abs=5 * (1000 * 0.4 * 0.6) ** 0.5)


def test_neither_half_of_a_key_tells_the_value() -> None:
    task = CompositionalRecall(vocabulary=61, length=60, pairs=9)
    order = set()
    for tokens, targets in rows(task, "train", 60):
        entries = list(zip(tokens[:27:3], tokens[1:27:3], tokens[2:27:3], strict=True))
        memory = {(a, b): v for a, b, v in entries}
        first, second = {a for a, _ in memory}, {b for _, b in memory}
        assert set(memory) == set(itertools.product(first, second))
        assert len(first) == len(second) == 3
        assert all(1 <= a < 20 for a in first)
        assert all(20 <= b < 40 for b in second)
        assert len(set(memory.values())) == 9
        assert all(40 <= value < 61 for value in memory.values())
        queries = questions(tokens, targets, 27, 3)
        assert {key: answer for key, answer, _ in queries} == memory
        order.add(tuple(sorted(range(9), key=lambda i, e=entries: e[i])))
    assert len(order) > 50


@pytest.mark.parametrize(
    ("task", "width", "total"),
    [
        # two of five keys, in whatever order, and different values of six
        (MQAR(vocabulary=12, length=8, pairs=2), 2, 10 * 30),
        # one of five keys, two different values of six, and their order counts
        (ForgettingRecall(vocabulary=12, length=6, pairs=1, updates=1), 2, 5 * 30),
        (CompositionalRecall(vocabulary=26, length=6, pairs=1), 3, 7 * 8 * 10),
    ],
)
def test_splits_share_no_context_in_whatever_order(task, width: int, total: int) -> None:
    size = task.length - width  # one query
    alike = tuple
    if isinstance(task, MQAR):
        size, alike = 4, frozenset
    seen = [
        {
            alike(zip(*(tokens[k:size:width] for k in range(width)), strict=True))
            for tokens, _ in rows(task, split, 6000)
        }
        for split in task.splits
    ]
    assert len(set.union(*seen)) == sum(map(len, seen)) == total


class TestSizesInOneTask:
    task = MixedMQAR(
        train_sizes="16x2*3 24x6 32x4", test_sizes="16x2 48x12", vocabulary=64, power=0.2
    )

    def test_the_sizes_take_turns_and_padding_is_masked(self) -> None:
        turns = [(16, 2), (24, 6), (32, 4), (16, 2), (16, 2)]
        for split in ("train", "valid", "test"):
            batch = self.task.batch(split, 0, 23)
            assert batch.inputs.shape == batch.targets.shape == (23, 32)
            assert batch.mask is not None
            for row in range(23):
                length, pairs = turns[row % 5]
                assert batch.mask[row].tolist() == [i < length for i in range(32)]
                assert (batch.inputs[row, length:] == 0).all()
                assert (batch.targets[row, length:] == IGNORE).all()
                assert (batch.targets[row] != IGNORE).sum() == pairs
                tokens, targets = batch.inputs[row].tolist(), batch.targets[row].tolist()
                memory = dict(zip(tokens[: 2 * pairs : 2], tokens[1 : 2 * pairs : 2], strict=True))
                assert all(memory[tokens[i]] == x for i, x in enumerate(targets) if x != IGNORE)

    def test_every_test_size_is_a_split(self) -> None:
        assert self.task.splits == ("train", "valid", "test", "16x2", "48x12")
        assert self.task.inputs.length == 48
        for name, length, pairs in (("16x2", 16, 2), ("48x12", 48, 12)):
            batch = self.task.batch(name, 3, 4)
            assert batch.inputs.shape == (4, length)
            assert batch.mask is None
            assert (batch.targets != IGNORE).sum(-1).tolist() == [pairs] * 4

    def test_accuracy_by_size_in_plain_python(self) -> None:
        torch.manual_seed(2)
        batch = self.task.batch("valid", 0, 40)
        logits = torch.randn(40, 32, 64)
        right = torch.rand(40, 32) < 0.6
        known = torch.nn.functional.one_hot(batch.targets.clamp(min=0), 64) * 9.0
        logits = torch.where(right[..., None], known, logits)
        by_size: dict[int, list[float]] = {}
        for row in range(40):
            scored = [i for i in range(32) if batch.targets[row, i] != IGNORE]
            hits = [logits[row, i].argmax() == batch.targets[row, i] for i in scored]
            by_size.setdefault(len(scored), []).append(sum(map(float, hits)) / len(hits))
        scores = self.task.summary(self.task.tally(logits, batch.targets))
        assert set(scores) == {"accuracy@K2", "accuracy@K4", "accuracy@K6"}
        for size, values in by_size.items():
            assert scores[f"accuracy@K{size}"] == pytest.approx(sum(values) / len(values))

    @pytest.mark.parametrize("text", ["64", "64x", "64x4,128x8", "64x4*0", "0x4"])
    def test_sizes_that_cannot_be_read(self, text: str) -> None:
        with pytest.raises(ValueError, match="'test_sizes' must be sizes LENGTHxPAIRS"):
            MixedMQAR(test_sizes=text)
        with pytest.raises(ValueError, match="'train_sizes' must name a size at least"):
            MixedMQAR(train_sizes=" ")


def test_named_test_sizes_stay_out_of_training() -> None:
    """15 sets of two keys times 7 * 6 values: all sets of pairs are seen, each in one part."""
    task = MixedMQAR(train_sizes="8x2 12x2", test_sizes="8x2 10x2", vocabulary=14)
    seen: dict[str, set[frozenset[tuple[int, int]]]] = {}
    for split in task.splits:
        seen[split] = {
            frozenset(zip(tokens[:4:2], tokens[1:4:2], strict=True))
            for tokens, _ in rows(task, split, 8000)
        }
    assert seen["8x2"] == seen["10x2"] == seen["test"]
    assert len(seen["train"] | seen["valid"] | seen["test"]) == 15 * 42
    assert len(seen["train"]) + len(seen["valid"]) + len(seen["test"]) == 15 * 42


def test_a_finite_training_set_comes_again_and_smaller_ones_are_its_start() -> None:
    small, large, endless = (MQAR(train_instances=n) for n in (70, 1500, 0))
    first = large.batch("train", 0, 1500).inputs
    assert torch.equal(large.batch("train", 1400, 200).inputs, first.roll(100, 0)[:200])
    assert torch.equal(small.batch("train", 60, 150).inputs, first[:70].repeat(4, 1)[60:210])
    assert torch.equal(endless.batch("train", 0, 1500).inputs, first)
    assert not torch.equal(endless.batch("train", 1500, 70).inputs, first[:70])
    for split in ("valid", "test"):
        assert torch.equal(small.batch(split, 0, 9).inputs, endless.batch(split, 0, 9).inputs)


def test_chance_and_ceiling() -> None:
    assert MQAR().chance == {"accuracy": 1 / 128}
    assert CompositionalRecall(vocabulary=60, length=54).chance == {"accuracy": 1 / 20}
    assert MixedMQAR().ceiling("1024x256") == Estimate(1.0, 0.0, 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MQAR(length=63), "'length' must be even, got 63"),
        (lambda: MQAR(pairs=17), "'length' must be >= 68: 17 entries and 17 queries of 2"),
        (lambda: MQAR(pairs=8, passes=4), "'length' must be >= 80: 32 entries and 8 queries"),
        (lambda: MQAR(vocabulary=64), "'vocabulary' must be above 'length' = 64, got 64"),
        (lambda: MQAR(power=0.0), "'power' must be a finite number above 0, got 0"),
        (lambda: MixedMQAR(vocabulary=512), "'vocabulary' must be above 'length' = 512"),
        (lambda: ForgettingRecall(updates=9), "'updates' must be <= 'pairs' = 8, got 9"),
        (lambda: CompositionalRecall(pairs=8), "'pairs' must be a square number"),
        (lambda: CompositionalRecall(pairs=16), "'length' must be >= 96: 16 entries"),
        (lambda: CompositionalRecall(vocabulary=66, length=12, pairs=25), "<= vocabulary/3 = 22"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
