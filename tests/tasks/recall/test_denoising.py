from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attenergy.attention import make_layer
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.registry import load_registry
from attenergy.tasks import Batch, Denoising, make_task

REGISTRY = load_registry(plugins=False)
INSTANCES = 1024


def explained(task: Denoising, answer) -> float:
    """The score of a function of the patterns (B, N, d) and the copy (B, d)."""

    def predict(batch: Batch) -> Tensor:
        rows = batch.inputs.double()
        return answer(rows[:, :-1], rows[:, -1])[..., None]

    return task.evaluate(predict, "test", INSTANCES)["explained"]


def nearest(X: Tensor, y: Tensor) -> Tensor:
    return X[torch.arange(len(y)), (X @ y[..., None])[..., 0].argmax(-1)]


def test_layout_lengths_and_noise() -> None:
    task = Denoising(dim=12, patterns=5, noise=0.7)
    fields, batch = task.instances("test", 0, 3000), task.batch("test", 0, 3000)
    assert batch.inputs.shape == (3000, 6, 12)
    assert batch.inputs.dtype == batch.targets.dtype == torch.float32
    assert batch.targets.shape == (3000, 12, 1)
    stored = batch.inputs[:, :-1]
    torch.testing.assert_close(stored.norm(dim=-1), torch.ones(3000, 5))
    assert stored.mean((0, 1)).abs().max() < 0.02  # no direction is preferred
    wanted = stored[torch.arange(3000), fields["index"]]
    assert torch.equal(wanted, batch.targets[..., 0])
    noise = batch.inputs[:, -1] - wanted
    assert noise.square().sum(-1).mean().item() == pytest.approx(0.49, rel=0.03)
    assert fields["index"].bincount(minlength=5).min() > 500


def test_what_answers_are_worth() -> None:
    task = Denoising(dim=16, patterns=8, noise=1.0)
    assert task.chance == {"explained": 1 / 8}
    assert explained(task, lambda X, y: X.mean(1)) == pytest.approx(1 / 8, abs=0.03)
    assert explained(task, lambda X, y: y) == pytest.approx(1 / 2, abs=0.03)
    assert explained(task, lambda X, y: 0 * y) == 0
    assert task.evaluate(lambda b: b.targets, "test", 100)["explained"] == pytest.approx(1)
    assert task.evaluate(lambda b: -3 * b.targets, "test", 100)["explained"] == pytest.approx(1)
    scores = task.evaluate(lambda b: b.inputs[:, -1, :, None], "test", INSTANCES)
    assert scores["mse"] == pytest.approx(1.0, abs=0.05)
    assert scores["loss"] == pytest.approx(scores["mse"] / 16)


def test_the_scale_is_one_for_all_instances() -> None:
    """An answer that is right in direction, and in length only for some, explains less."""
    task = Denoising(dim=4, patterns=3)

    def answer(batch: Batch) -> Tensor:
        length = 1 + torch.arange(len(batch.targets)) % 2  # 1 and 2 in turn
        return batch.targets * length[:, None, None]

    expected = 1.5**2 / 2.5
    for size in (256, 100):  # in batches of any size
        scores = task.evaluate(answer, "test", 200, batch_size=size)
        assert scores["explained"] == pytest.approx(expected)


def test_the_ceiling_is_the_mean_of_the_posterior() -> None:
    """Two patterns in one dimension, +1 and -1, where the mean is tanh(y/sigma^2)."""
    task = Denoising(dim=1, patterns=2, noise=0.8)
    rows = task.batch("test", 0, INSTANCES)
    opposite = rows.inputs[:, 0, 0] != rows.inputs[:, 1, 0]
    shown = task.best(rows)[opposite, 0, 0]
    y = rows.inputs[opposite, -1, 0].double()
    torch.testing.assert_close(shown, torch.tanh(y / 0.64))


@pytest.mark.parametrize(("patterns", "noise"), [(8, 1.6), (64, 1.6), (256, 1.4)])
def test_nothing_beats_the_ceiling(patterns: int, noise: float) -> None:
    task = Denoising(patterns=patterns, noise=noise)
    best = task.ceiling("test")
    assert best is not None
    assert best.instances == INSTANCES

    def at(beta: float):
        return lambda X, y: ((beta * X @ y[..., None]).softmax(-2) * X).sum(1)

    assert explained(task, at(task.beta)) == pytest.approx(best.value, abs=1e-6)
    for factor in (0.5, 0.7, 1.4, 2.0):
        assert explained(task, at(factor * task.beta)) < best.value - 0.001
    nearest = explained(
        task, lambda X, y: X[torch.arange(len(y)), (X @ y[..., None])[..., 0].argmax(-1)]
    )
    assert nearest < best.value - 0.01


def answers(name: str, task: Denoising, beta: float) -> Tensor | None:
    """One update of a registry's energy on the test split; None where it has no such update."""
    entry = REGISTRY.energies[name]
    settings = {"beta": beta} if "beta" in entry.parameters else {}
    layer = make_layer(name, embed_dim=task.dim, num_heads=1, registry=REGISTRY, **settings)
    if not layer.energy.reads_patterns:
        return None
    with torch.inference_mode():
        return Retrieval(layer, steps=1, signs=False)(task.batch("test", 0, INSTANCES).inputs)


#: Entries that start with the update of log-sum-exp; `zero_sink` has one more pattern, 0, of little
#: weight here.
SAME = {"lse", "l2_lse", "zero_sink", "elliptical", "uhop", "ham"}


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_log_sum_exp_alone_reaches_the_ceiling(name: str) -> None:
    """After the same tuning of beta."""
    torch.manual_seed(0)
    task = make_task("denoising", registry=REGISTRY)
    assert isinstance(task, Denoising)
    best, targets = task.ceiling("test"), task.batch("test", 0, INSTANCES).targets
    assert best is not None
    at_best = task.beta / task.dim**0.5  # queries of a layer that reads weights are scaled
    shown = [answers(name, task, at_best * 2 ** (k / 2)) for k in range(-6, 7)]
    scores = [
        task.summary(task.tally(each, targets))["explained"] for each in shown if each is not None
    ]
    if name in SAME:
        assert max(scores) == pytest.approx(best.value, abs=1e-5)
    elif scores:
        assert max(scores) < best.value - 0.005


def test_log_sum_exp_at_its_default_beta_has_less() -> None:
    """The default inverse temperature is not the best one: there is something to tune."""
    task = make_task("denoising", registry=REGISTRY)
    shown, targets = answers("lse", task, 0.25), task.batch("test", 0, INSTANCES).targets
    assert task.summary(task.tally(shown, targets))["explained"] < 0.4


def test_what_a_person_sees() -> None:
    sample = Denoising(dim=3, patterns=4).sample("test", 5)
    assert len(sample.stored) == 4
    stored, copy, answer = str(sample).splitlines()
    assert stored == f"stored: 4 patterns of 3 numbers, number {sample.index} is meant"
    assert copy.split()[1:] == [f"{number:+.2f}" for number in sample.copy]
    assert answer.split()[1:] == [f"{x:+.2f}" for x in sample.stored[sample.index]]


@pytest.mark.parametrize("noise", [0, -1.0, float("inf"), float("nan"), True, "1"])
def test_bad_noise_is_refused(noise: object) -> None:
    with pytest.raises(ValueError, match="'noise' must be a finite number above 0, got"):
        Denoising(noise=noise)


def test_a_ceiling_that_takes_too_long_is_not_computed() -> None:
    assert Denoising(dim=128, patterns=4096).ceiling("test") is None
