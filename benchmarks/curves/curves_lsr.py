"""How many new memories does the log-sum-ReLU energy make between the stored ones?

E = -log sum_n relu(1 - beta/2 |x_n - xi|^2)/beta is a sum of parabolas under the logarithm. Where
exactly the patterns of a set B reach, its only minimum is the mean of B. So every minimum is found
by going through all subsets: the mean of B is a minimum if the patterns within the radius
sqrt(2/beta) of it are B and no others. A pattern alone is a stored memory that is preserved; a
larger set is a new one (Hoover et al. 2025, arXiv:2506.10801).

Patterns are uniform in the unit cube; the curves are means over draws.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from curves import Data, run
from torch import Tensor

SIZES = ((2, 8), (4, 10), (8, 12))


def subsets(count: int) -> Tensor:
    """All non-empty subsets of `count` things, (2^count - 1, count) of 0 and 1."""
    every = list(itertools.product((0.0, 1.0), repeat=count))[1:]
    return torch.tensor(every, dtype=torch.float64)


def reaches(patterns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For every subset: its size, how far its mean is from its farthest member, and from the
    nearest pattern outside (squared)."""
    chosen = subsets(len(patterns))
    size = chosen.sum(1)
    means = chosen @ patterns / size[:, None]
    squares = torch.cdist(means, patterns, compute_mode="donot_use_mm_for_euclid_dist").square()
    inner = torch.where(chosen > 0, squares, 0.0).amax(1)
    outer = torch.where(chosen > 0, torch.inf, squares).amin(1)
    return size, inner, outer


def minima(patterns: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """For each beta the number of new minima, and of patterns that are minima."""
    size, inner, outer = reaches(patterns)
    squares = (2 / betas)[:, None]
    rests = (inner < squares) & (outer >= squares)
    return (rests & (size > 1)).sum(1), (rests & (size == 1)).sum(1)


def measure(quick: bool) -> Data:
    """New and preserved memories by beta; quick: one size, few draws."""
    draws, sizes = (3, SIZES[:2]) if quick else (50, SIZES)
    fractions = torch.linspace(0.15, 1.4, 26 if quick else 126, dtype=torch.float64)
    curves = []
    for dim, count in sizes:
        new = torch.zeros(draws, len(fractions))
        remaining = torch.zeros(draws, len(fractions))
        betas = 12 / (fractions**2 * dim)  # radius over the root mean square distance, sqrt(D/6)
        for seed in range(draws):
            generator = torch.Generator().manual_seed(seed)
            patterns = torch.rand(count, dim, generator=generator, dtype=torch.float64)
            new[seed], alone = minima(patterns, betas)
            remaining[seed] = alone / count
        best = int(new.mean(0).argmax())
        curves.append(
            {
                "dim": dim,
                "patterns": count,
                "beta": [round(float(b), 4) for b in betas],
                "new": [round(float(v), 3) for v in new.mean(0)],
                "kept": [round(float(v), 3) for v in remaining.mean(0)],
                "kept_at_the_peak": round(float(remaining.mean(0)[best]), 3),
                "most": [int(v) for v in new.amax(1)],
            }
        )
    return {"panels": len(sizes), "draws": draws, "curves": curves}


def draw(axes: Any, data: Data) -> None:
    for axis, curve in zip(axes, data["curves"], strict=True):
        axis.semilogx(curve["beta"], curve["new"], label="new memories")
        axis.semilogx(
            curve["beta"],
            [v * curve["patterns"] for v in curve["kept"]],
            label="stored memories preserved",
        )
        axis.set(xlabel="beta", ylabel="minima (mean over draws)")
        axis.set_title(f"D = {curve['dim']}, {curve['patterns']} patterns", fontsize=10)
    axes[-1].legend(fontsize=8)


if __name__ == "__main__":
    run("lsr", __doc__, measure, draw)
