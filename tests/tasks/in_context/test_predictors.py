"""The formulas of linear regression against numpy, quadrature and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from attenergy.tasks.in_context.predictors import (
    best_rate,
    expected_error,
    gradient_weights,
    least_squares_weights,
    ridge_weights,
)

SHAPES = [(3, 5), (5, 5), (9, 4), (1, 1), (0, 3)]  # pairs and coordinates


def problem(pairs: int, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(10 * pairs + dim)
    sizes = ((pairs, dim), (pairs,), (4, dim))
    X, y, Q = (torch.randn(size, generator=made, dtype=torch.float64) for size in sizes)
    return X, y, Q


@pytest.mark.parametrize(("pairs", "dim"), SHAPES)
def test_ridge_is_least_squares_of_the_augmented_system(pairs: int, dim: int) -> None:
    X, y, Q = problem(pairs, dim)
    taller = np.concatenate([X.numpy(), math.sqrt(0.7) * np.eye(dim)])
    w = np.linalg.lstsq(taller, np.concatenate([y.numpy(), np.zeros(dim)]), rcond=None)[0]
    np.testing.assert_allclose(ridge_weights(X, Q, 0.7) @ y, Q.numpy() @ w, atol=1e-12)


@pytest.mark.parametrize(("pairs", "dim"), SHAPES)
def test_without_noise_ridge_is_the_shortest_least_squares_solution(pairs: int, dim: int) -> None:
    X, y, Q = problem(pairs, dim)
    w = np.linalg.lstsq(X.numpy(), y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(least_squares_weights(X, Q) @ y, Q.numpy() @ w, atol=1e-11)
    assert torch.equal(ridge_weights(X, Q, 0), least_squares_weights(X, Q))
    near = [(ridge_weights(X, Q, p) @ y - Q @ torch.from_numpy(w)).norm() for p in (1e-6, 1e-8)]
    assert near[1] <= near[0] / 50 + 1e-12


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradient_descent_step_by_step(steps: int) -> None:
    X, y, Q = problem(6, 3)
    w = np.zeros(3)
    for _ in range(steps):
        w = w + 0.05 * X.numpy().T @ (y.numpy() - X.numpy() @ w)
    np.testing.assert_allclose(gradient_weights(X, Q, 0.05, steps) @ y, Q.numpy() @ w, atol=1e-12)
    many = gradient_weights(X, Q, 0.05, 5000) @ y
    torch.testing.assert_close(many, least_squares_weights(X, Q) @ y)


def test_the_posterior_mean_and_its_error_by_quadrature() -> None:
    """One coordinate: the posterior of w on a fine grid."""
    noise, scale = 0.4, 1.3
    X, y, Q = problem(3, 1)
    w = np.linspace(-12, 12, 200_001)
    fits = sum((b - a * w) ** 2 for a, b in zip(X[:, 0].numpy(), y.numpy(), strict=True))
    density = np.exp(-(w**2) / (2 * scale**2) - fits / (2 * noise**2))
    density /= density.sum()
    mean = (w * density).sum()
    variance = ((w - mean) ** 2 * density).sum()
    weights = ridge_weights(X, Q, (noise / scale) ** 2)
    np.testing.assert_allclose(weights @ y, Q[:, 0].numpy() * mean, rtol=1e-9)
    error = expected_error(weights, X, Q, noise, scale)  # of this rule it depends on no y
    np.testing.assert_allclose(error, Q[:, 0].numpy() ** 2 * variance, rtol=1e-9)


def test_the_expected_error_of_any_weights_by_sampling() -> None:
    X, _, Q = problem(4, 3)
    weights = gradient_weights(X, Q, 0.1)
    w = np.random.default_rng(0).normal(0, 0.9 / math.sqrt(3), (400_000, 3))
    y = w @ X.numpy().T + np.random.default_rng(1).normal(0, 0.5, (400_000, 4))
    missed = y @ weights.numpy().T - w @ Q.numpy().T
    sampled = (missed**2).mean(0)
    error = expected_error(weights, X, Q, 0.5, 0.9).numpy()
    np.testing.assert_allclose(error, sampled, rtol=0.02)


def test_the_best_rate_is_the_minimum_of_the_mean_error() -> None:
    made = torch.Generator().manual_seed(0)
    X = torch.randn(20_000, 6, 2, generator=made, dtype=torch.float64)
    Q = torch.randn(20_000, 1, 2, generator=made, dtype=torch.float64)
    best = best_rate(2, (6,), 0.5, 0.8)

    def error(rate: float) -> float:
        return expected_error(gradient_weights(X, Q, rate), X, Q, 0.5, 0.8).mean().item()

    assert error(best) == pytest.approx(0.8**2 * (1 - 6 * best), rel=0.03)
    below, at, above = (error(best * factor) for factor in (0.8, 1.0, 1.2))
    assert at < below
    assert at < above
    assert below == pytest.approx(above, rel=0.03)  # a parabola, and its minimum halfway
