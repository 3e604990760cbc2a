"""Known answers: layers and energies that do regression in context, by hand-set weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from attenergy.attention import make_mixer, relax
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec
from attenergy.tasks import Batch, InContextRegression
from attenergy.tasks.in_context.predictors import gradient_weights, ridge_weights

RATE = 0.05
DIM, PAIRS = 3, 7


@pytest.fixture(scope="module")
def task() -> InContextRegression:
    return InContextRegression(dim=DIM, pairs=PAIRS, queries=4, noise=0.3)


@pytest.fixture(scope="module")
def batch(task: InContextRegression) -> Batch:
    batch = task.batch("test", 0, 16)
    return Batch(batch.inputs.double(), batch.targets.double())


def parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    tokens = batch.inputs
    return tokens[:, :PAIRS, :DIM], tokens[:, :PAIRS, DIM], tokens[:, PAIRS:, :DIM]


def linear_layer(rate: float) -> torch.nn.Module:
    """Linear attention with queries and keys x, values y, and the rate in the output."""
    size = DIM + 2
    layer = make_mixer("linear", embed_dim=size, num_heads=1).double()
    reads_x = torch.diag(torch.tensor([1.0] * DIM + [0.0, 0.0]))
    reads_y = torch.zeros(size, size)
    reads_y[DIM, DIM] = 1.0
    with torch.no_grad():
        maps = layer.projections
        for each, matrix in (
            (maps.query, reads_x),
            (maps.key, reads_x),
            (maps.value, reads_y),
            (maps.out, rate * size**0.5 * reads_y),  # scores are divided by sqrt(size)
        ):
            each.weight.copy_(matrix)
            each.bias.zero_()
    return layer


def test_one_layer_of_linear_attention_is_one_step_of_gradient_descent(
    task: InContextRegression, batch: Batch
) -> None:
    points, y, queries = parts(batch)
    w = RATE * torch.einsum("bi,bid->bd", y, points)  # the gradient of |y - Xw|^2 / 2 at w = 0
    read = linear_layer(RATE)(batch.inputs)[:, PAIRS:, DIM]
    torch.testing.assert_close(read, torch.einsum("bqd,bd->bq", queries, w))
    torch.testing.assert_close(
        read, (gradient_weights(points, queries, RATE) @ y[..., None])[..., 0]
    )


def test_the_best_linear_layer_scores_the_reference(task: InContextRegression) -> None:
    reference = task.references("test")["gradient_step"]
    rate = reference.value / PAIRS  # r2 = n c at the best rate c
    layer = linear_layer(rate)
    scores = task.evaluate(lambda b: layer(b.inputs.double())[..., DIM : DIM + 1], "test", 4096)
    assert scores["r2"] == pytest.approx(reference.value, abs=0.02)


def test_one_step_down_a_quadratic_memory_is_one_step_of_gradient_descent(batch: Batch) -> None:
    """E = |xi|^2/2 - beta/2 sum_n (z_n'xi)^2 over z = (x, y), from xi = (x_query, 0)."""
    points, y, queries = parts(batch)
    energy = make_energy("rbm", dim=DIM + 1, prior="gaussian", beta=RATE).double()
    patterns = torch.cat([points, y[..., None]], -1)
    start = torch.nn.functional.pad(queries, (0, 1))
    state = relax(energy, start, patterns, steps=1, step_size=1.0).state
    expected = (gradient_weights(points, queries, RATE) @ y[..., None])[..., 0]
    torch.testing.assert_close(state[..., DIM], expected)


@pytest.fixture(scope="module")
def regression_energy() -> EnergySpec:
    """The state is w, the patterns are the x, the field is -y."""
    formula = "0.5*penalty*|xi|^2 + 0.5*sum_n((X @ xi + h)^2)"
    parameters = {"penalty": {"init": 0.4, "constraint": "positive"}}
    return EnergySpec.model_validate(
        {"title": "Ridge regression", "formula": formula, "parameters": parameters}
    )


def test_steps_down_the_loss_are_gradient_descent_and_end_in_ridge_regression(
    regression_energy: EnergySpec, batch: Batch
) -> None:
    energy = make_energy(regression_energy, dim=DIM).double()
    points, y, queries = parts(batch)
    start = torch.zeros(len(y), 1, DIM, dtype=torch.float64)
    field = -y[:, None]

    def steps(number: int, size: float) -> Tensor:
        path = relax(energy, start, points, field=field, steps=number, step_size=size)
        return path.state[:, 0].detach()

    w = np.zeros((len(y), DIM))
    for _ in range(3):
        missed = np.einsum("bid,bd->bi", points, w) - y.numpy()
        w = w - RATE * (np.einsum("bid,bi->bd", points, missed) + 0.4 * w)
    np.testing.assert_allclose(steps(3, RATE), w, atol=1e-12)
    ridge = (ridge_weights(points, queries, 0.4) @ y[..., None])[..., 0]
    torch.testing.assert_close(torch.einsum("bqd,bd->bq", queries, steps(400, RATE)), ridge)
