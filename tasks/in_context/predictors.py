"""Linear regression by formula: the answers that in-context regression is judged by.

Pairs (x_i, y_i), y = w'x + noise, and queries to be answered. Every predictor here is a weight for
each query and pair, `(..., m, n)`, that depends on the x alone: its answers are weights @ y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Predictor = Callable[[Tensor, Tensor], Tensor]  # points (..., n, d), queries (..., m, d) -> weights


def ridge_weights(points: Tensor, queries: Tensor, penalty: float) -> Tensor:
    """Q (X'X + penalty I)^(-1) X', (..., m, n): the minimum of |y - Xw|^2 + penalty |w|^2.

    It is the posterior mean where w ~ N(0, t^2 I), the noise is N(0, s^2) and penalty = s^2/t^2:
    no other predictor has a smaller mean squared error. A penalty of 0 gives least squares.

    Args:
        points: X (..., n, d), n >= 0.
        queries: Q (..., m, d).
        penalty: >= 0.
    """
    if penalty == 0:
        return least_squares_weights(points, queries)
    n, d = points.shape[-2:]
    if n < d:  # the same by the smaller system, (XX' + penalty I)
        gram = points @ points.mT + penalty * torch.eye(n, dtype=points.dtype)
        dual: Tensor = torch.linalg.solve(gram, points @ queries.mT)
        return dual.mT
    gram = points.mT @ points + penalty * torch.eye(d, dtype=points.dtype)
    primal: Tensor = torch.linalg.solve(gram, queries.mT)
    return primal.mT @ points.mT


def least_squares_weights(points: Tensor, queries: Tensor) -> Tensor:
    """Q X^+, (..., m, n): of all w with the least |y - Xw|^2 the shortest."""
    inverse: Tensor = torch.linalg.pinv(points)
    return queries @ inverse


def gradient_weights(points: Tensor, queries: Tensor, rate: float, steps: int = 1) -> Tensor:
    """Weights (..., m, n) of gradient descent on |y - Xw|^2 / 2 from w = 0.

    One step is rate * Q X': linear attention whose queries and keys are the x and whose values are
    the y. Steps k give the series rate * Q sum_(j < k) (I - rate X'X)^j X'.
    """
    shrink = torch.eye(points.shape[-1], dtype=points.dtype) - rate * points.mT @ points
    ahead, weights = queries, rate * queries @ points.mT
    for _ in range(steps - 1):
        ahead = ahead @ shrink
        weights = weights + rate * ahead @ points.mT
    return weights


def best_rate(dim: int, counts: Sequence[int], noise: float, scale: float) -> float:
    """The rate of least mean squared error for one step of gradient descent.

    With x ~ N(0, I), w ~ N(0, scale^2/d I) and noise N(0, noise^2) the error after n pairs is
    scale^2 (1 - 2 n c + n (n + d + 1) c^2) + noise^2 n d c^2 for a rate c. Its mean over queries
    that see n = `counts` pairs is a parabola, with the minimum at
    c = sum n / sum n (n + d + 1 + d noise^2/scale^2). For a single n the `r2` is then n c.

    Source: after von Oswald et al. 2023, arXiv:2212.07677.
    """
    more = dim + 1 + dim * (noise / scale) ** 2
    return sum(counts) / sum(n * (n + more) for n in counts)


def expected_error(
    weights: Tensor, points: Tensor, queries: Tensor, noise: float, scale: float
) -> Tensor:
    """Mean of (weights @ y - w'x)^2 over w ~ N(0, scale^2/d I) and the noise, (..., m).

    It is scale^2/d |x - X'a|^2 + noise^2 |a|^2 for the row a of the weights of the query x.
    """
    missed = queries - weights @ points
    variance = scale**2 / points.shape[-1]
    return variance * missed.square().sum(-1) + noise**2 * weights.square().sum(-1)
