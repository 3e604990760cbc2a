"""Does a noisy continuous pattern come back, with softmax or with sparse weights?

N patterns on the sphere of radius sqrt(D), queries with Gaussian noise on every component. Left:
share of queries that one step brings within a tenth of a pattern's length of the right pattern.
Right: share that are exact to 1e-6 after five steps. Sparse weights retrieve exactly, because they
give all weight to one pattern as soon as its score leads by a margin (Hu et al. 2023,
arXiv:2309.12673); softmax keeps an error that shrinks exponentially with beta (Ramsauer et al.
2020, arXiv:2008.02217).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from curves import Data, run
from torch import Tensor

from attenergy.attention import AssociativeMemory
from attenergy.registry import EnergySpec

BETAS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
CONJUGATES = {
    "softmax": "lse(beta * X @ xi)",
    "entmax 1.5": "entmax_conj(beta * X @ xi, 1.5)",
    "sparsemax": "sparsemax_conj(beta * X @ xi)",
}


def entry(conjugate: str) -> EnergySpec:
    """E = 1/2 |xi|^2 - conjugate(beta X xi)/beta."""
    data = {
        "title": conjugate,
        "formula": f"0.5*|xi|^2 - {conjugate}/beta",
        "parameters": {"beta": {"init": 1.0, "constraint": "positive", "learnable": "no"}},
        "quadratic": 1.0,
    }
    return EnergySpec.model_validate(data)


def problem(dim: int, patterns: int, queries: int, noise: float) -> tuple[Tensor, Tensor]:
    """Patterns (N, D) on the sphere, and noisy copies of the first ones."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(patterns, dim, generator=generator, dtype=torch.float64)
    X = math.sqrt(dim) * torch.nn.functional.normalize(drawn, dim=-1)
    shift = torch.randn(queries, dim, generator=generator, dtype=torch.float64)
    return X, X[:queries] + noise * shift


def errors(conjugate: str, beta: float, X: Tensor, queries: Tensor, steps: int) -> Tensor:
    """Distance of every query from its pattern after some steps."""
    memory = AssociativeMemory(entry(conjugate), beta=beta).store(X)
    recalled = memory.recall(queries, steps=steps, tolerance=0.0).state
    distance: Tensor = torch.linalg.vector_norm(recalled - X[: len(queries)], dim=-1)
    return distance


def measure(quick: bool) -> Data:
    """Shares by beta for each kind of weights; quick: fewer patterns."""
    dim, patterns, queries = (20, 200, 100) if quick else (20, 1000, 1000)
    curves = []
    for noise in (0.5, 1.0):
        X, states = problem(dim, patterns, queries, noise)
        for name, conjugate in CONJUGATES.items():
            once = [errors(conjugate, b, X, states, 1) for b in BETAS]
            often = [errors(conjugate, b, X, states, 5) for b in BETAS]
            curves.append(
                {
                    "noise": noise,
                    "weights": name,
                    "close_after_one": [_share(e, 0.1 * math.sqrt(dim)) for e in once],
                    "close_after_five": [_share(e, 0.1 * math.sqrt(dim)) for e in often],
                    "exact_after_one": [_share(e, 1e-6) for e in once],
                    "exact_after_five": [_share(e, 1e-6) for e in often],
                }
            )
    sizes = {"dim": dim, "patterns": patterns, "queries": queries}
    return {"panels": 2, **sizes, "betas": list(BETAS), "curves": curves}


def _share(error: Tensor, limit: float) -> float:
    return round(float((error < limit).double().mean()), 4)


def draw(axes: Any, data: Data) -> None:
    colours = dict(zip(CONJUGATES, ("tab:blue", "tab:green", "tab:red"), strict=True))
    for curve in data["curves"]:
        style = {"color": colours[curve["weights"]], "marker": "o", "markersize": 4}
        style["linestyle"] = "-" if curve["noise"] == 0.5 else ":"
        label = f"{curve['weights']}, noise {curve['noise']}"
        axes[0].plot(data["betas"], curve["close_after_one"], label=label, **style)
        axes[1].plot(data["betas"], curve["exact_after_five"], **style)
    for axis, title in zip(axes, ("close after 1 step", "exact after 5 steps"), strict=True):
        axis.set_xscale("log", base=2)
        axis.set(xlabel="beta", ylabel="share of queries", ylim=(-0.03, 1.03))
        axis.set_title(f"{title}, D = {data['dim']}, N = {data['patterns']}", fontsize=10)
    axes[0].legend(fontsize=7)


if __name__ == "__main__":
    run("retrieval", __doc__, measure, draw)
