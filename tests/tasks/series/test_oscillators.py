from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch

from attenergy.tasks import IGNORE, Batch, Estimate, Oscillators, Waves
from attenergy.tasks.series.normal_modes import laplacian, normal_modes, oscillate
from attenergy.tasks.series.waves import GRAPHS, numberings

STEPS = 400


def runge_kutta(stiffness: np.ndarray, x: np.ndarray, v: np.ndarray, length: int) -> np.ndarray:
    """x'' = -K x integrated by the classical method, `STEPS` small steps a unit of time."""
    h = 1 / STEPS
    series = [x]
    for step in range(1, STEPS * (length - 1) + 1):
        a1, a2 = -stiffness @ x, -stiffness @ (x + h / 2 * v)
        a3 = -stiffness @ (x + h / 2 * v + h**2 / 4 * a1)
        a4 = -stiffness @ (x + h * v + h**2 / 2 * a2)
        x, v = x + h * v + h**2 / 6 * (a1 + a2 + a3), v + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        if step % STEPS == 0:
            series.append(x)
    return np.stack(series)


def test_oscillations_solve_newtons_equation() -> None:
    weights = torch.tensor([[0, 0.7, 0.2], [0.7, 0, 0], [0.2, 0, 0]], dtype=torch.float64)
    stiffness = torch.diag(torch.tensor([0.3, 0.9, 0.5], dtype=torch.float64)) + laplacian(weights)
    start = torch.randn(2, 3, dtype=torch.float64)
    path = oscillate(stiffness, start, torch.arange(6, dtype=torch.float64)).numpy()
    frequencies, modes = normal_modes(stiffness)
    velocity = (modes @ (frequencies * start[1])).numpy()
    expected = runge_kutta(stiffness.numpy(), (modes @ start[0]).numpy(), velocity, 6)
    np.testing.assert_allclose(path, expected, atol=1e-9)
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    assert (x @ laplacian(weights) @ x).item() == pytest.approx(0.7 * 9 + 0.2 * 0.25)


def test_series_and_what_comes_next() -> None:
    task = Oscillators(channels=2, length=9)
    fields, batch = task.instances("test", 0, 3000), task.batch("test", 0, 3000)
    assert torch.equal(batch.inputs, fields["series"][:, :-1].float())
    assert torch.equal(batch.targets[:, 3:], fields["series"][:, 4:].float())
    assert batch.targets[:, :3].isnan().all()
    squares = (fields["series"] ** 2).mean(0)
    torch.testing.assert_close(squares, torch.ones_like(squares), atol=0.15, rtol=0)
    assert torch.equal(batch.inputs[:, 4:], batch.targets[:, 3:-1])
    top = torch.linalg.eigvalsh(fields["stiffness"])
    assert 0.25 <= top.min() <= top.max() <= 1 + 2


def test_regression_within_a_series_reaches_the_ceiling() -> None:
    task = Oscillators(channels=3, length=16)
    for series in task.instances("test", 0, 50)["series"].numpy():
        for t in (4, 8, 15):  # 4 is the first that is scored
            past, ends = series[1:t], series[2 : t + 1] + series[: t - 1]
            C = np.linalg.lstsq(past, ends, rcond=None)[0]
            np.testing.assert_allclose(series[t] @ C - series[t - 1], series[t + 1], atol=1e-4)
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)


def test_r2_of_simple_answers() -> None:
    task = Oscillators()

    def scores(answer) -> float:
        return task.evaluate(answer, "test", 2000)["r2"]

    def right(batch: Batch) -> torch.Tensor:
        return batch.targets.nan_to_num(99.0)

    assert scores(right) == 1.0
    assert scores(lambda batch: torch.zeros_like(batch.inputs)) == pytest.approx(0, abs=0.05)
    assert scores(lambda batch: batch.inputs) < 0.5
    batch = task.batch("test", 0, 8)
    logits = torch.randn_like(batch.targets)
    r2 = task.metrics(logits, batch.targets)["r2"].mean().item()
    assert task.loss(logits, batch.targets).item() == pytest.approx(1 - r2, rel=1e-5)
    assert "answer: " in str(task.sample("test", 0))


@pytest.mark.parametrize(("graph", "count"), list(zip(GRAPHS, (1, 12, 3, 4, 1), strict=True)))
def test_numberings(graph: str, count: int) -> None:
    made = numberings(graph, 4)
    assert len(made) == len({tuple(matrix.flatten().tolist()) for matrix in made}) == count
    assert torch.equal(made, made.mT)
    builders = {
        "none": nx.empty_graph(4),
        "chain": nx.path_graph(4),
        "ring": nx.cycle_graph(4),
        "star": nx.star_graph(3),
        "complete": nx.complete_graph(4),
    }
    assert all(nx.is_isomorphic(nx.from_numpy_array(m.numpy()), builders[graph]) for m in made)


def test_classes_are_equally_likely_and_no_moment_tells_them(looks_uniform) -> None:
    task = Waves(length=6, noise=0.5)
    fields, batch = task.instances("train", 0, 10000), task.batch("train", 0, 10000)
    labels = batch.targets[:, -1]
    assert looks_uniform(labels, 5)
    assert looks_uniform(fields["graphs"][labels == 1] - 1, 12)
    assert (batch.targets[:, :-1] == IGNORE).all()
    for label in range(5):
        now = batch.inputs[labels == label, 3]
        covariance = now.T @ now / len(now)
        torch.testing.assert_close(covariance, 1.25 * torch.eye(4), atol=0.17, rtol=0)


def test_the_posterior_is_that_of_gaussian_processes() -> None:
    task = Waves(length=4, noise=0.6, coupling=1.1)
    series = task.instances("test", 0, 30)["series"]
    posterior = task.posterior(series).numpy()
    places = list(itertools.product(range(4), range(4)))  # time, channel
    densities = []
    for graph in GRAPHS:
        each = []
        for adjacency in numberings(graph, 4).numpy():
            K = np.eye(4) + 1.1 * (np.diag(adjacency.sum(0)) - adjacency)
            squares, U = np.linalg.eigh(K)

            def cosine(gap: int, U=U, squares=squares) -> np.ndarray:
                return U @ np.diag(np.cos(np.sqrt(squares) * gap)) @ U.T

            covariance = np.array([[cosine(t - s)[i, j] for s, j in places] for t, i in places])
            covariance += 0.36 * np.eye(16)
            x = series.flatten(1).numpy()
            exponent = np.einsum("na,ab,nb->n", x, np.linalg.inv(covariance), x)
            each.append(np.exp(-exponent / 2) / math.sqrt(np.linalg.det(covariance)))
        densities.append(np.mean(each, axis=0))
    expected = np.stack(densities, -1)
    np.testing.assert_allclose(posterior, expected / expected.sum(-1, keepdims=True), atol=1e-9)


def test_the_posterior_scores_its_own_ceiling() -> None:
    task = Waves(length=8, noise=0.8)
    ceiling = task.ceiling("test")
    fields = task.instances("test", 0, 4096)
    right = task.posterior(fields["series"]).argmax(-1) == task.class_of[fields["graphs"]]
    assert right.double().mean().item() == pytest.approx(ceiling.value, abs=0.04)
    assert 0.3 < ceiling.value < 0.95
    assert any(f"answer: {name}" in str(task.sample("test", 0)) for name in GRAPHS)


@pytest.mark.parametrize("task", [Oscillators(length=8), Waves(length=8)], ids=["next", "class"])
def test_splits_share_no_series(task: Oscillators | Waves) -> None:
    seen = [set(map(tuple, task.batch(s, 0, 1500).inputs.flatten(1).tolist())) for s in task.splits]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 4500


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Oscillators, {"length": 4}, "'length' must be a whole number >= 5, got 4"),
        (Oscillators, {"coupling": 3.0}, r"below \(pi\^2 - 1\) / channels = 2.96"),
        (Oscillators, {"coupling": -0.1}, "'coupling' must be from 0"),
        (Waves, {"channels": 3}, "'channels' must be a whole number >= 4, got 3"),
        (Waves, {"channels": 6}, "'channels' must be 4 or 5, got 6"),
        (Waves, {"coupling": 0}, "'coupling' must be above 0"),
        (Waves, {"noise": 0.0}, "'noise' must be a finite number above 0, got 0.0"),
    ],
)
def test_bad_options_are_refused(make: type, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)
