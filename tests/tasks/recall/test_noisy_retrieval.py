from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from attenergy.tasks import Batch, NoisyRetrieval
from attenergy.tasks.core.contents import row_codes
from attenergy.tasks.recall.noisy_retrieval import nearest_is_right

Rule = Callable[[np.ndarray], np.ndarray]
TRIALS = 400


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


RULES: dict[str, Rule] = {
    "quadratic": lambda scores: scores,
    "cubic": lambda scores: np.maximum(scores, 0) ** 2,
    "quartic": lambda scores: np.maximum(scores, 0) ** 3,
    "softmax": softmax,
}


def hopfield(rule: Rule) -> Callable[[Batch], torch.Tensor]:
    """Five steps xi <- sign(X' f(X xi)) of a plain memory, as logits."""

    def restore(batch: Batch) -> torch.Tensor:
        inputs = batch.inputs.double().numpy()
        patterns, state = inputs[:, :-1], inputs[:, -1]
        for _ in range(5):
            scores = np.einsum("bnd,bd->bn", patterns, state)
            moved = np.einsum("bn,bnd->bd", rule(scores), patterns)
            state = np.where(moved == 0, state, np.sign(moved))
        answer = torch.from_numpy(state)
        return torch.stack([-answer, answer], -1)

    return restore


@pytest.mark.parametrize(
    ("flip", "patterns", "rule", "share"),
    [
        (0.1, 8, "quadratic", 0.91),
        (0.1, 16, "quadratic", 0.49),
        (0.1, 64, "quadratic", 0.01),
        (0.1, 256, "cubic", 0.73),
        (0.1, 256, "quartic", 1.0),
        (0.2, 8, "quadratic", 0.86),
        (0.2, 16, "quadratic", 0.16),
        (0.2, 64, "cubic", 0.98),
        (0.2, 256, "cubic", 0.26),
        (0.2, 256, "quartic", 0.86),
        (0.2, 256, "softmax", 0.99),
        (0.3, 8, "quadratic", 0.41),
        (0.3, 16, "quartic", 0.83),
        (0.3, 64, "quartic", 0.74),
        (0.3, 64, "softmax", 0.81),
        (0.3, 256, "softmax", 0.65),
    ],
)
def test_known_capacities(flip: float, patterns: int, rule: str, share: float) -> None:
    task = NoisyRetrieval(dim=64, patterns=patterns, flip=flip)
    exact = task.evaluate(hopfield(RULES[rule]), "test", TRIALS)["exact"]
    # the known share was measured over 200 trials and written with two digits
    error = (max(share * (1 - share), 0.01) * (1 / TRIALS + 1 / 200)) ** 0.5
    assert exact == pytest.approx(share, abs=4 * error + 0.005)


def test_layout_noise_and_metrics() -> None:
    task = NoisyRetrieval(dim=20, patterns=5, flip=0.2)
    fields, batch = task.instances("test", 0, 2000), task.batch("test", 0, 2000)
    assert batch.inputs.shape == (2000, 6, 20)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.shape == (2000, 20)
    assert set(batch.inputs.unique().tolist()) == {-1.0, 1.0}
    source = batch.inputs[torch.arange(2000), fields["index"]]
    assert torch.equal(source > 0, batch.targets == 1)
    copy = batch.inputs[:, -1]
    assert torch.equal(copy != source, fields["flips"])
    assert (copy != source).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert abs(batch.inputs[:, :-1].mean().item()) < 0.02
    of_the_copy = task.metrics(torch.stack([-copy, copy], -1), batch.targets)
    assert of_the_copy["overlap_gain"].mean().item() == pytest.approx(0.0, abs=0.02)
    assert of_the_copy["bit_accuracy"].mean().item() == pytest.approx(0.8, abs=0.01)
    assert of_the_copy["exact"].mean().item() == pytest.approx(0.8**20, abs=0.02)
    right = task.metrics(torch.stack([-source, source], -1), batch.targets)
    assert {name: x.mean().item() for name, x in right.items()} == pytest.approx(
        {"exact": 1.0, "bit_accuracy": 1.0, "overlap_gain": 0.4}
    )


@pytest.mark.parametrize("dim", [5, 8, 13])
def test_packing_hides_no_bit(dim: int) -> None:
    rows = NoisyRetrieval(dim=dim, patterns=40).batch("train", 0, 200).inputs[:, :-1]
    pairs = rows.flatten(0, 1)
    assert pairs.mean(0).abs().max() < 0.06
    assert (pairs.T @ pairs / len(pairs) - torch.eye(dim)).abs().max() < 0.06


def test_the_best_rule_reaches_the_ceiling() -> None:
    for patterns, flip in itertools.product((3, 60), (0.15, 0.3)):
        task = NoisyRetrieval(dim=32, patterns=patterns, flip=flip)
        near = hopfield(lambda scores: np.eye(scores.shape[1])[scores.argmax(-1)])
        exact = task.evaluate(near, "test", 3000)["exact"]
        assert task.ceiling("test").value == pytest.approx(exact, abs=0.035)
    # one pattern is always found; of two of one bit with a coin's noise, half and ties
    assert nearest_is_right(10, 1, 0.3) == pytest.approx(1.0)
    assert nearest_is_right(1, 2, 0.25) == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)


def test_splits_share_no_memory_in_any_order() -> None:
    task = NoisyRetrieval(dim=6, patterns=2)
    seen = {
        split: {
            frozenset(map(tuple, memory))
            for memory in task.batch(split, 0, 4000).inputs[:, :-1].tolist()
        }
        for split in task.splits
    }
    total = 64 * 63 // 2 + 64
    assert len(set.union(*seen.values())) == sum(map(len, seen.values()))
    assert sum(map(len, seen.values())) > 0.8 * total


def test_codes_of_rows_tell_rows_apart() -> None:
    rows = torch.tensor([[1, 2], [2, 1], [1, 2], [0, 3]])
    codes = row_codes(rows).tolist()
    assert codes[0] == codes[2]
    assert len(set(codes)) == 3


def test_what_a_person_sees() -> None:
    sample = NoisyRetrieval(dim=16, patterns=3).sample("test", 5)
    assert len(sample.stored) == 3
    text = str(sample)
    assert f"query:   {sample.query}" in text
    assert sample.stored[sample.index] in text
    wrong = sum(a != b for a, b in zip(sample.stored[sample.index], sample.query, strict=True))
    assert text.count("^") == wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 0}, "'flip' must be above 0: without noise"),
        ({"flip": 0.0}, "every state is a fixed point"),
        ({"flip": 0.5}, "'flip' must be a probability above 0 and below 0.5, got 0.5"),
        ({"patterns": 0}, "'patterns' must be a whole number >= 1, got 0"),
        ({"dim": 2.5}, "'dim' must be a whole number >= 1, got 2.5"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoisyRetrieval(**options)


def test_too_few_memories() -> None:
    task = NoisyRetrieval(dim=1, patterns=1)
    with pytest.raises(ValueError, match="make too few different memories"):
        [task.batch(split, 0, 1) for split in task.splits]
