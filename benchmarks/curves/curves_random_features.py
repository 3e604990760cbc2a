"""How fast do random features approach the energy that they stand for?

The energy of the entry `random_features` keeps Y numbers instead of the patterns and estimates
-lse(-beta/2 |x_n - xi|^2)/beta. Its error falls as 1/sqrt(Y): a line of slope -1/2 in the picture
(Hoover et al. 2024, arXiv:2410.24153).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from curves import Data, mean_and_error, run
from torch import Tensor

from attenergy.energies import make_energy
from attenergy.registry import Registry, load_registry


def mean_error(registry: Registry, features: int, seed: int, X: Tensor, states: Tensor) -> float:
    """Mean distance between both energies over the states."""
    dim, beta = X.shape[1], 1.0
    energy = make_energy(
        "random_features", dim=dim, registry=registry, beta=beta, features=features, seed=seed
    ).to(X)
    square = (X.unsqueeze(0) - states.unsqueeze(1)).square().sum(-1)
    exact = -torch.logsumexp(-0.5 * beta * square, -1) / beta
    with torch.no_grad():
        return float((energy(states, X) - exact).abs().mean())


def measure(quick: bool) -> Data:
    """Errors by number of features; quick: few features and draws."""
    sizes = (64, 256, 1024) if quick else (128, 512, 2048, 8192, 32768)
    draws = 5 if quick else 10
    registry = load_registry()
    generator = torch.Generator().manual_seed(0)
    X = 0.5 * torch.randn(20, 6, generator=generator, dtype=torch.float64)
    states = X + 0.3 * torch.randn(20, 6, generator=generator, dtype=torch.float64)
    rows = []
    for size in sizes:
        values = [mean_error(registry, size, seed, X, states) for seed in range(draws)]
        mean, spread = mean_and_error(torch.tensor(values))
        rows.append({"features": size, "error": mean, "standard_error": spread})
    return {"draws": draws, "patterns": len(X), "rows": rows, "slope": round(slope(rows), 3)}


def slope(rows: list[dict[str, float]]) -> float:
    """The exponent of the features in the error, by least squares of the logarithms."""
    x = torch.tensor([math.log(r["features"]) for r in rows], dtype=torch.float64)
    y = torch.tensor([math.log(r["error"]) for r in rows], dtype=torch.float64)
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x @ x))


def draw(axes: Any, data: Data) -> None:
    rows = data["rows"]
    features = [r["features"] for r in rows]
    axes[0].errorbar(
        features,
        [r["error"] for r in rows],
        [r["standard_error"] for r in rows],
        marker="o",
        capsize=3,
        label=f"measured, slope {data['slope']}",
    )
    first = rows[0]["error"] * features[0] ** 0.5
    axes[0].plot(features, [first / f**0.5 for f in features], "k:", label="slope -1/2")
    axes[0].set(xscale="log", yscale="log", xlabel="features Y", ylabel="mean error of the energy")
    axes[0].legend()


if __name__ == "__main__":
    run("random_features", __doc__, measure, draw)
