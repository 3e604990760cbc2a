"""What all tasks share that are trained on short words and tested on long ones."""

from __future__ import annotations

import functools

import pytest
import torch

from attenergy.tasks import (
    IGNORE,
    BracketedArithmetic,
    Dyck,
    Estimate,
    FormalLanguage,
    GroupWords,
    StringTransduction,
    Task,
)

TASKS = {
    **{
        language: functools.partial(FormalLanguage, language=language)
        for language in ("parity", "even-pairs", "cycle-navigation", "modular-arithmetic")
    },
    "brackets": BracketedArithmetic,
    **{
        operation: functools.partial(StringTransduction, operation=operation, symbols=3)
        for operation in ("reverse", "duplicate", "sort")
    },
    **{group: functools.partial(GroupWords, group=group) for group in ("S3", "A5")},
    "dyck": Dyck,
}
everywhere = pytest.mark.parametrize("name", TASKS)


def make(name: str, **options) -> Task:
    return TASKS[name](**{"shortest": 2, "longest": 12, "long": 30} | options)


def words(task: Task, split: str, count: int) -> list[tuple[int, ...]]:
    """The words alone, symbols from 2 on, without marks and padding."""
    rows = task.batch(split, 0, count).inputs.tolist()
    return [tuple(x for x in row if x > 1) for row in rows]


@everywhere
def test_lengths_of_the_splits(name: str) -> None:
    task = make(name)
    short = set().union(*({len(w) for w in words(task, s, 1500)} for s in task.splits[:3]))
    long = {len(w) for w in words(task, "long", 1500)}
    step = {"modular-arithmetic": 2, "dyck": 2}.get(name, 1)
    first = 3 if name == "modular-arithmetic" else 2
    assert short == set(range(first, 13, step))
    assert long == set(range(13 if name != "dyck" else 14, 31, step))


@everywhere
def test_splits_share_no_word(name: str) -> None:
    task = make(name)
    sets = [set(words(task, split, 2000)) for split in task.splits]
    assert sum(map(len, sets)) == len(set.union(*sets))
    assert all(len(part) > 20 for part in sets)


@everywhere
def test_padding_mask_and_where_answers_stand(name: str) -> None:
    task = make(name)
    for split in ("train", "long"):
        batch = task.batch(split, 0, 300)
        assert batch.inputs.shape == batch.targets.shape == batch.mask.shape
        assert (batch.inputs.shape[1] == task.inputs.length) == (split == "long")
        assert torch.equal(batch.mask, batch.inputs != 0)
        ends = batch.mask.sum(-1)
        assert torch.equal(batch.mask, torch.arange(batch.inputs.shape[1]) < ends[:, None])
        scored = batch.targets != IGNORE
        assert scored.gather(1, ends[:, None] - 1).all()  # the last token is always scored
        assert not scored[~batch.mask].any()
        assert set(batch.targets[scored].tolist()) <= set(range(task.outputs.size))


@everywhere
def test_known_answers_give_one_and_the_ceiling_says_so(name: str) -> None:
    task = make(name)

    def know(batch) -> torch.Tensor:
        return torch.nn.functional.one_hot(batch.targets.clamp(min=0), task.outputs.size).double()

    for split in task.splits:
        scores = task.evaluate(know, split, 200, batch_size=64)
        assert scores.pop("loss") > 0
        assert list(scores.values()) == pytest.approx([1.0] * len(scores))
        assert task.ceiling(split) == Estimate(1.0, 0.0, 0)


def test_slices_by_length_are_means_over_the_words_of_that_length() -> None:
    task = StringTransduction(shortest=1, longest=4, long=11)
    torch.manual_seed(0)
    answers = torch.randn(600, task.inputs.length, 2)
    start = 0

    def guess(batch) -> torch.Tensor:
        nonlocal start
        start += len(batch.inputs)
        return answers[start - len(batch.inputs) : start, : batch.inputs.shape[1]]

    scores = task.evaluate(guess, "long", 600, batch_size=173)
    batch = task.batch("long", 0, 600)
    expected: dict[str, list[float]] = {"accuracy@5-8": [], "accuracy@9-11": []}
    for row, targets in zip(answers.argmax(-1).tolist(), batch.targets.tolist(), strict=True):
        pairs = [(a, b) for a, b in zip(row, targets, strict=True) if b != IGNORE]
        share = sum(a == b for a, b in pairs) / len(pairs)
        expected["accuracy@5-8" if len(pairs) <= 8 else "accuracy@9-11"].append(share)
    assert {name for name in scores if "@" in name} == set(expected)
    for name, shares in expected.items():
        assert scores[name] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
    both = [share for shares in expected.values() for share in shares]
    assert scores["accuracy"] == pytest.approx(sum(both) / 600, abs=1e-6)
    assert scores["scaled_accuracy"] == pytest.approx(2 * scores["accuracy"] - 1, abs=1e-6)


def test_a_range_without_words_has_no_slice() -> None:
    task = make("parity")
    scores = task.evaluate(lambda batch: torch.zeros(*batch.inputs.shape, 2), "test", 40)
    assert {name for name in scores if "@" in name} == {"accuracy@2-6", "accuracy@7-12"}


def test_scaled_accuracy_is_zero_at_chance_and_one_at_best() -> None:
    task = make("cycle-navigation")
    targets = torch.tensor([[IGNORE, 3], [IGNORE, 1]])
    logits = torch.nn.functional.one_hot(torch.tensor([[0, 3], [0, 0]]), 5).double()
    values = task.metrics(logits, targets)
    assert values["accuracy"].tolist() == [1.0, 0.0]
    assert values["scaled_accuracy"].tolist() == pytest.approx([1.0, -0.25])
    assert task.chance == {"accuracy": 0.2, "scaled_accuracy": 0.0}


def test_samples_can_be_read() -> None:
    for name in TASKS:
        task = make(name)
        sample = task.sample("valid", 3)
        batch = task.batch("valid", 3, 1)
        length = int(batch.mask.sum())
        assert list(sample.tokens) == batch.inputs[0, :length].tolist()
        assert list(sample.targets) == batch.targets[0, :length].tolist()
        inputs, targets = (row.split()[1:] for row in str(sample).splitlines())
        assert len(inputs) == len(targets) == length
        assert targets[-1] in task.answers
    assert str(make("S3").sample("valid", 0)).startswith("inputs:  BOS")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("parity", {"shortest": 0}, "'shortest' must be a whole number >= 1, got 0"),
        ("parity", {"longest": 1}, "'longest' must be a whole number >= 2, got 1"),
        ("parity", {"long": 12}, "'long' must be a whole number >= 13, got 12"),
        ("dyck", {"long": 13}, "no word of this task has 13 to 13 symbols"),
        ("modular-arithmetic", {"longest": 2}, "no word of this task has 2 to 2 symbols"),
        ("parity", {"language": "party"}, "did you mean 'parity'"),
        ("reverse", {"operation": "revers"}, "did you mean 'reverse'"),
        ("reverse", {"symbols": 1}, "'symbols' must be a whole number >= 2, got 1"),
        ("A5", {"group": "A6"}, "no group 'A6'; known: S3, S5, A5"),
        ("dyck", {"types": 5}, "'types' must be at most 4, got 5"),
        ("dyck", {"depth": 1}, "'depth' must be a whole number >= 2, got 1"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_a_task_with_too_few_words_says_so() -> None:
    task = FormalLanguage(shortest=1, longest=1, long=3)
    with pytest.raises(ValueError, match="the task has too few different contexts"):
        [task.batch(split, 0, 1) for split in task.splits]
