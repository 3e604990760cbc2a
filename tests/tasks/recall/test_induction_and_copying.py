from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from attenergy.tasks import IGNORE, AssociativeRecall, Copying, Estimate, InductionHeads


def rows(task, split: str, count: int):
    batch = task.batch(split, 0, count)
    return zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)


def alike(counts: Counter, expected: Counter) -> bool:
    """Chi-square of two samples, within 5 sigma; classes seen less than ten times are pooled."""
    common = [x for x in counts | expected if counts[x] + expected[x] >= 10]
    pooled = [sum(c.values()) - sum(c[x] for x in common) for c in (counts, expected)]
    cells = [(counts[x], expected[x]) for x in common]
    cells += [(pooled[0], pooled[1])] if sum(pooled) else []
    n, m = sum(counts.values()), sum(expected.values())
    total = sum((a * (m / n) ** 0.5 - b * (n / m) ** 0.5) ** 2 / (a + b) for a, b in cells)
    freedom = len(cells) - 1
    return abs(total - freedom) < 5 * (2 * freedom) ** 0.5


def one_answer(targets: list[int]) -> int:
    assert targets[:-1] == [IGNORE] * (len(targets) - 1)
    return targets[-1]


def naive_marks(length: int, triggers: int) -> tuple[int, ...]:
    """Places of the marks, drawn one by one."""
    number = 1 if random.random() < 0.5 else triggers
    marks: list[int] = []
    for place in sorted(random.randrange(length - 2) for _ in range(number)):
        if not marks or place - marks[-1] > 1:
            marks.append(place)
    return tuple(marks)


@pytest.mark.parametrize("triggers", [1, 3])
def test_what_follows_a_mark_follows_every_mark(triggers: int, looks_uniform) -> None:
    task = InductionHeads(vocabulary=9, length=9, triggers=triggers)
    places, answers = Counter(), []
    for tokens, targets in rows(task, "train", 4000):
        assert len(tokens) == task.inputs.length == 10
        assert tokens[-1] == 8
        answer = one_answer(targets)
        marks = tuple(i for i, token in enumerate(tokens[:-1]) if token == 8)
        assert {tokens[i + 1] for i in marks} == {answer}
        assert max(marks) < 7
        places[marks] += 1
        answers.append(answer)
    random.seed(triggers)
    assert alike(places, Counter(naive_marks(9, triggers) for _ in range(8000)))
    assert looks_uniform(torch.tensor(answers), 8)


def test_the_long_split_is_long_and_stands_for_the_task() -> None:
    task = InductionHeads(length=20, long=50)
    assert (task.splits[-1], task.headline, task.inputs.length) == ("long", "long", 51)
    assert task.batch("long", 0, 3).inputs.shape == (3, 51)
    assert task.batch("test", 0, 3).inputs.shape == (3, 21)
    assert "=>" in str(task.sample("long", 0))
    task = AssociativeRecall(pairs=4, long=9)
    assert [task.batch(s, 0, 2).inputs.shape[1] for s in task.splits] == [10, 10, 10, 20]
    assert AssociativeRecall().headline == "test"


def test_one_of_the_keys_shown_is_asked_for(looks_uniform) -> None:
    task = AssociativeRecall(vocabulary=12, pairs=6)  # 5 keys, 6 values
    rank, values, keys = [], [], []
    for tokens, targets in rows(task, "train", 4000):
        pairs = list(zip(tokens[:12:2], tokens[1:12:2], strict=True))
        memory = dict(pairs)
        assert len(set(pairs)) == len(memory)
        assert all(key < 5 <= value < 11 for key, value in pairs)
        assert tokens[12] == 11
        assert one_answer(targets) == memory[tokens[13]]
        if len(memory) == 3:
            rank.append(sorted(memory).index(tokens[13]))
        values.append(tokens[1] - 5)
        keys.append(tokens[2])
    assert looks_uniform(torch.tensor(rank), 3)
    assert looks_uniform(torch.tensor(values), 6)
    assert looks_uniform(torch.tensor(keys), 5)


def naive_places(blanks: int, tokens: int) -> tuple[int, ...]:
    """Insert blanks one by one, each before one of the tokens; return where the tokens end up."""
    before = Counter(random.randrange(tokens) for _ in range(blanks))
    line: list[int] = []
    for token in range(tokens):
        line += [-1] * before[token] + [token]
    return tuple(line.index(token) for token in range(tokens))


@pytest.mark.parametrize("selective", [False, True])
def test_the_ids_come_again_in_order(selective: bool, looks_uniform) -> None:
    task = Copying(vocabulary=9, length=13, tokens=3, selective=selective)
    places, ids = Counter(), []
    for tokens, targets in rows(task, "train", 4000):
        content = [token for token in tokens if token < 7]
        assert tokens[9:] == [8, 7, 7, 7]
        assert targets == [IGNORE] * 10 + content
        places[tuple(i for i, token in enumerate(tokens) if token < 7)] += 1
        ids.append(content[0])
    assert looks_uniform(torch.tensor(ids), 7)
    random.seed(3)
    if selective:
        assert alike(places, Counter(naive_places(6, 3) for _ in range(8000)))
    else:
        assert set(places) == {(0, 1, 2)}


def test_splits_share_nothing_to_copy() -> None:
    task = Copying(vocabulary=7, length=12, tokens=4)
    seen = [{tuple(targets[-4:]) for _, targets in rows(task, s, 9000)} for s in task.splits]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 5**4


@pytest.mark.parametrize(
    "task",
    [InductionHeads(vocabulary=4, length=6), AssociativeRecall(vocabulary=7, pairs=4)],
)
def test_splits_share_no_sequence(task) -> None:
    seen = [{tuple(tokens) for tokens, _ in rows(task, s, 3000)} for s in task.splits]
    assert len(set.union(*seen)) == sum(map(len, seen)) > 200


def test_chance_and_ceiling() -> None:
    assert InductionHeads(vocabulary=11).chance == {"accuracy": 0.1}
    assert AssociativeRecall(vocabulary=12).chance == {"accuracy": 1 / 6}
    assert Copying(vocabulary=12).chance == {"macro_accuracy": 0.1, "accuracy": 0.1}
    for task in (InductionHeads(), AssociativeRecall(), Copying()):
        assert task.ceiling("test") == Estimate(1.0, 0.0, 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InductionHeads(length=3), "'length' must be a whole number >= 4, got 3"),
        (lambda: InductionHeads(long=2), "'long' must be a whole number >= 4, got 2"),
        (lambda: AssociativeRecall(vocabulary=2), "'vocabulary' must be a whole number >= 3"),
        (lambda: Copying(length=17), "'length' must be a whole number >= 18, got 17"),
        (lambda: Copying(train_instances=-1), "'train_instances' must be a whole number >= 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
