from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
import torch

from attenergy.registry import MissingPackage
from attenergy.tasks import IGNORE, Batch, FewShotDigits, FewShotGaussians, FewShotStrokes, Task
from attenergy.tasks.in_context import digits
from attenergy.tasks.in_context.episodes import Episodes, nearest_example, nearest_mean
from attenergy.tasks.in_context.strokes import render

TASKS: list[Episodes] = [
    FewShotGaussians(ways=4, shots=3, queries=5),
    FewShotStrokes(ways=4, shots=3, queries=5),
    FewShotDigits(ways=4, shots=3, queries=5),
]
every = pytest.mark.parametrize("task", TASKS, ids=[type(task).__name__ for task in TASKS])


@every
def test_an_episode_shows_every_class_and_then_asks(task: Episodes, looks_uniform) -> None:
    batch = task.batch("train", 0, 2000)
    shown, targets = batch.inputs[..., -4:], batch.targets
    assert batch.inputs.shape[1] == 17
    assert ((shown == 0) | (shown == 1)).all()
    assert (shown[:, :12].sum(-1) == 1).all()
    assert (shown[:, :12].sum(1) == 3).all()
    assert (shown[:, 12:] == 0).all()
    assert (targets[:, :12] == IGNORE).all()
    assert looks_uniform(targets[:, 12:].flatten(), 4)
    assert looks_uniform(shown[:, 0].argmax(-1), 4), "examples come in random order"
    assert task.chance == {"accuracy": 0.25}


@every
def test_only_the_examples_tell_what_a_label_means(task: Episodes) -> None:
    """The nearest mean is mostly right; with the examples of another episode it is at chance."""
    rule = partial(nearest_mean, ways=4)
    assert task.evaluate(rule, "test", 300)["accuracy"] > 0.7

    def of_other_episodes(batch: Batch) -> torch.Tensor:
        inputs = batch.inputs.clone()
        inputs[:, :12] = inputs[:, :12].roll(1, 0)
        return rule(Batch(inputs, batch.targets))

    scores = task.evaluate(of_other_episodes, "test", 300)
    assert scores["accuracy"] == pytest.approx(0.25, abs=0.06)


@every
def test_rules_of_the_nearest(task: Episodes) -> None:
    batch = task.batch("valid", 0, 3)
    features, shown = batch.inputs[..., :-4].numpy(), batch.inputs[..., -4:].numpy()
    means, examples = nearest_mean(batch, 4), nearest_example(batch, 4)
    for b in range(3):
        labels = shown[b, :12].argmax(-1)
        for query in (12, 16):
            x = features[b, query]
            for label in range(4):
                own = features[b, :12][labels == label]
                assert -means[b, query, label].item() == pytest.approx(
                    ((x - own.mean(0)) ** 2).sum(), rel=1e-3, abs=1e-3
                )
                assert -examples[b, query, label].item() == pytest.approx(
                    ((x - own) ** 2).sum(-1).min(), rel=1e-3, abs=1e-3
                )


def test_the_posterior_is_that_of_two_joint_gaussians() -> None:
    """p(class | query, examples) from the joint density of all that a class has, by numpy."""
    task = FewShotGaussians(dim=2, ways=3, shots=2, queries=3, noise=0.7, spread=1.3)
    for split, noise, spread in (("test", 0.7, 1.3), ("ood_noise", 1.05, 1.3)):
        batch = task.batch(split, 0, 8)
        batch = Batch(batch.inputs.double(), batch.targets)
        posterior = task.log_posterior(batch, split).exp().numpy()

        def density(rows: np.ndarray, noise=noise, spread=spread) -> float:
            """Of examples of one class, coordinates apart, the mean integrated out."""
            n = len(rows)
            covariance = noise**2 * np.eye(n) + spread**2 * np.ones((n, n))
            exponent = np.einsum("id,ij,jd->", rows, np.linalg.inv(covariance), rows)
            return np.exp(-exponent / 2) / np.linalg.det(2 * np.pi * covariance)  # two coordinates

        tokens = batch.inputs.numpy()
        for b in range(8):
            labels = tokens[b, :6, 2:].argmax(-1)
            for query in (6, 8):
                each = [
                    density(np.vstack([tokens[b, :6, :2][labels == c], tokens[b, query, :2]]))
                    / density(tokens[b, :6, :2][labels == c])
                    for c in range(3)
                ]
                np.testing.assert_allclose(posterior[b, query], each / np.sum(each), rtol=1e-9)


def test_the_posterior_scores_the_ceiling_and_nothing_is_better() -> None:
    task = FewShotGaussians(dim=3, ways=4, shots=2, queries=6, noise=0.8)
    for split in task.splits[1:]:
        ceiling = task.ceiling(split)
        scores = task.evaluate(partial(task.log_posterior, split=split), split, 4096)
        assert scores["accuracy"] == pytest.approx(ceiling.value, abs=0.015)
        references = task.references(split)
        assert references["bayes"] == ceiling
        assert references["guess"].value == 0.25
        for name, reference in references.items():
            assert reference.value <= ceiling.value + 1e-12, name
    means = task.instances("ood_spread", 0, 2000)["means"]
    assert means.std().item() == pytest.approx(1.5, rel=0.03)
    fields = task.instances("ood_noise", 0, 2000)
    own = fields["means"][:, 0]
    assert (fields["features"][:, 0] - own).std().item() == pytest.approx(1.2, rel=0.03)
    with pytest.raises(ValueError, match="no split 'iod'"):
        task.references("iod")


def test_splits_share_no_class() -> None:
    gaussians = FewShotGaussians(dim=1, ways=2, spread=1.0)
    seen = [
        set(gaussians.instances(s, 0, 1500)["means"].flatten().tolist())
        for s in ("train", "valid", "test")
    ]
    assert len(set.union(*seen)) == sum(map(len, seen))
    strokes = FewShotStrokes()
    points = [set(strokes.characters[s].flatten().tolist()) for s in strokes.splits]
    starts = [
        {tuple(c.flatten().tolist()) for c in strokes.characters[s][:, 0]} for s in strokes.splits
    ]
    assert len(set.union(*starts)) == sum(map(len, starts)) == 4000
    assert all(points)
    other = FewShotStrokes(split_seed=1)
    assert not torch.equal(strokes.characters["train"], other.characters["train"])
    again = FewShotStrokes(seed=1)
    assert torch.equal(strokes.characters["train"], again.characters["train"])


def test_characters_are_bezier_curves() -> None:
    """Pixels from a loop over dots, and the curve by de Casteljau's construction."""
    curves = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ink = np.zeros((6, 6))
    for curve in curves.numpy():
        for t in np.linspace(0, 1, 8):
            a, b = ((1 - t) * curve[i] + t * curve[i + 1] for i in (0, 1))
            x, y = (1 - t) * a + t * b
            for row in range(6):
                for column in range(6):
                    r2 = ((column + 0.5) / 6 - x) ** 2 + ((row + 0.5) / 6 - y) ** 2
                    ink[row, column] += np.exp(-r2 / (2 * 0.045**2))
    np.testing.assert_allclose(render(curves, 6).reshape(6, 6), 1 - np.exp(-ink), atol=1e-12)


def test_strokes_join_half_of_the_time_and_ood_has_one_more() -> None:
    task = FewShotStrokes(strokes=3)
    train, ood = task.characters["train"], task.characters["ood"]
    assert train.shape == (1000, 3, 3, 2)
    assert ood.shape == (1000, 4, 3, 2)
    joined = (train[:, 1:, 0] == train[:, :-1, 2]).all(-1)
    assert joined.double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert task.instances("ood", 0, 3)["curves"].shape == (3, 10, 4, 3, 2)
    steady = FewShotStrokes(jitter=0.0, shots=2)
    batch = steady.batch("test", 0, 20)
    assert steady.evaluate(partial(nearest_example, ways=5), "test", 100)["accuracy"] > 0.999
    assert batch.inputs.min() >= 0
    assert batch.inputs.max() <= 1


def test_digits_keep_pictures_and_classes_apart() -> None:
    task = FewShotDigits(held_out=4)
    _, classes = digits.digits()
    rows = {s: torch.cat(groups) for s, groups in task.members.items()}
    together = torch.cat(list(rows.values()))
    assert len(together) == len(together.unique()) == 1797
    names = {s: set(classes[r].tolist()) for s, r in rows.items()}
    assert names["train"] == names["valid"] == names["test"]
    assert len(names["train"]) == 6
    assert names["ood"] == set(range(10)) - names["train"]
    for split in task.splits:
        numbers = task.instances(split, 0, 300)["numbers"]
        assert set(numbers.flatten().tolist()) <= set(rows[split].tolist())
        assert all(len(row.unique()) == len(row) for row in numbers)
        labels = classes[numbers]
        assert (labels[:, 0:2:2] == labels[:, 1:2]).all(), "two examples of the first class"
        query_labels = task.instances(split, 0, 300)["query_labels"]
        own = labels[:, : task.support : task.shots].gather(1, query_labels)
        assert (own == labels[:, task.support :]).all()
    assert FewShotDigits(split_seed=1).members["ood"][0].tolist() != rows["ood"].tolist()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    digits.digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingPackage, match=r"pip install 'attenergy\[data\]'"):
        FewShotDigits()


@every
def test_a_person_sees_pictures_or_numbers(task: Task) -> None:
    text = str(task.sample("valid", 2))
    assert text.count("? (") == 5
    assert len(max(text.splitlines(), key=len)) <= 100


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (FewShotGaussians, {"noise": 0}, "'noise' must be a finite number above 0, got 0"),
        (FewShotGaussians, {"spread": -1}, "'spread' must be a finite number above 0, got -1"),
        (FewShotGaussians, {"ways": 1}, "'ways' must be a whole number >= 2, got 1"),
        (FewShotStrokes, {"jitter": -0.1}, "'jitter' must be a finite number >= 0, got -0.1"),
        (FewShotStrokes, {"train_classes": 4}, r"'ways' must be at most 4.*'train_classes' is 4"),
        (FewShotStrokes, {"strokes": 17}, "'strokes' must be at most 16, got 17"),
        (FewShotDigits, {"ways": 5}, "'ways' must be at most 4, as 4 of 10 classes are held out"),
        (FewShotDigits, {"held_out": 9}, "'held_out' must be at most 8, got 9"),
        (FewShotDigits, {"shots": 30}, "'shots' and 'queries' must be at most 26 together"),
    ],
)
def test_bad_options_are_refused(make: type, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)
