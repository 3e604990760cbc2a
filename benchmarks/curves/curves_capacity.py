"""How many random binary patterns do dense associative memories hold?

Left: the classical network with N = 500 spins. States start at a pattern and all spins are updated
at once until nothing changes; the overlap with the pattern falls off a cliff near alpha = K/N =
0.138 (Amit, Gutfreund and Sompolinsky 1985, doi:10.1103/PhysRevLett.55.1530), the softer the fewer
spins there are. Right: share of patterns that no update of a single spin changes, for polynomial
energies of degree n with N = 64 spins, against K in units of the capacity
K_th = N^(n-1)/(2 (2n-3)!! log N) (Krotov and Hopfield 2016, arXiv:1606.01164); and for the
exponential energy with K = 200000 (Demircigil et al. 2017, arXiv:1702.01929).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from curves import Data, mean_and_error, run
from torch import Tensor

from attenergy.attention import AssociativeMemory
from attenergy.registry import EnergySpec

LOADS = (0.05, 0.10, 0.12, 0.13, 0.14, 0.15, 0.16, 0.18, 0.20)
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)


def polynomial(degree: int) -> EnergySpec:
    """The energy -sum_n (x_n.xi)^degree/D^(degree-1); its scale changes nothing."""
    formula = f"-sum_n((X @ xi / sqrt(count_d()))^{degree})"
    return EnergySpec(title=f"degree {degree}", formula=formula, domain="spin")


def exponential() -> EnergySpec:
    """The energy -log sum_n exp(x_n.xi): its order of states is that of -sum_n exp(x_n.xi)."""
    return EnergySpec(title="exponential", formula="-lse(X @ xi)", domain="spin")


def signs(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator).mul(2).sub(1).float()


def overlap(spins: int, load: float, seed: int) -> float:
    """Mean overlap with the pattern where parallel updates from it come to rest."""
    patterns = signs(round(load * spins), spins, generator=torch.Generator().manual_seed(seed))
    memory = AssociativeMemory(polynomial(2)).store(patterns)
    recalled = memory.recall(patterns, mode="parallel", steps=100)
    return float((recalled.state * patterns).mean())


def stable(spec: EnergySpec, spins: int, count: int, tested: int, seed: int) -> float:
    """Share of (at most `tested`) patterns that an update of all spins leaves as they are."""
    patterns = signs(count, spins, generator=torch.Generator().manual_seed(seed))
    memory = AssociativeMemory(spec).store(patterns)
    recalled = memory.recall(patterns[:tested], mode="parallel", steps=1)
    return float(recalled.converged.float().mean())


def capacity(spins: int, degree: int) -> float:
    """K_th = N^(n-1)/(2 (2n-3)!! log N)."""
    return spins ** (degree - 1) / (2 * math.prod(range(1, 2 * degree - 2, 2)) * math.log(spins))


def measure(quick: bool) -> Data:
    """Both curves; quick: fewer spins, patterns and draws."""
    spins, draws, tested = (200, 3, 20) if quick else (500, 10, 64)
    classical = []
    for load in LOADS[::4] if quick else LOADS:
        values = torch.tensor([overlap(spins, load, seed) for seed in range(draws)])
        mean, error = mean_and_error(values)
        classical.append({"alpha": load, "overlap": mean, "error": error})
    width, degrees = (32, (2, 3)) if quick else (64, (2, 3, 4))
    dense = []
    for degree in degrees:
        for ratio in RATIOS:
            count = max(1, round(ratio * capacity(width, degree)))
            seeds = range(max(draws, 200 // count))
            values = torch.tensor(
                [stable(polynomial(degree), width, count, tested, seed) for seed in seeds]
            )
            mean, error = mean_and_error(values)
            entry = {"degree": degree, "ratio": ratio, "patterns": count}
            dense.append({**entry, "stable": mean, "error": error})
    many, few = (5_000, 8) if quick else (200_000, 128)
    share = stable(exponential(), 64, many, few, 0)
    return {
        "panels": 2,
        "spins": spins,
        "draws": draws,
        "classical": classical,
        "width": width,
        "dense": dense,
        "exponential": {"patterns": many, "tested": few, "stable": share},
    }


def draw(axes: Any, data: Data) -> None:
    left, right = axes
    rows = data["classical"]
    left.errorbar(
        [r["alpha"] for r in rows],
        [r["overlap"] for r in rows],
        [r["error"] for r in rows],
        marker="o",
        capsize=3,
    )
    left.axvline(0.138, color="grey", linestyle="--")
    left.annotate("0.138", (0.14, 0.45), color="grey")
    left.set(xlabel="load K/N", ylabel="overlap with the pattern", ylim=(0.4, 1.02))
    left.set_title(f"classical network, N = {data['spins']}", fontsize=10)
    for degree in sorted({r["degree"] for r in data["dense"]}):
        rows = [r for r in data["dense"] if r["degree"] == degree]
        right.errorbar(
            [r["ratio"] for r in rows],
            [r["stable"] for r in rows],
            [r["error"] for r in rows],
            marker="o",
            capsize=3,
            label=f"degree {degree}",
        )
    right.set_xscale("log", base=2)
    right.axvline(1.0, color="grey", linestyle="--")
    right.set(xlabel="patterns K / capacity K_th", ylabel="share of stable patterns")
    last = data["exponential"]
    right.set_title(
        f"N = {data['width']}; exponential, K = {last['patterns']}: {last['stable']:.2f}",
        fontsize=10,
    )
    right.legend()


if __name__ == "__main__":
    run("capacity", __doc__, measure, draw)
