"""How far are mean-field and TAP magnetisations of a spin glass from the exact ones?

Sherrington-Kirkpatrick couplings J_ij ~ N(0, 1/n) and fields b_i ~ N(0, field^2). The energies
`ising_mean_field` and `tap` are relaxed from m = 0; their patterns are chosen so that the Hebb rule
gives J. The exact means come from all 2^n configurations.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import torch
from curves import Data, run
from torch import Tensor

from attenergy.attention import relax
from attenergy.energies import make_energy
from attenergy.energies.spins.ising import patterns_with_couplings
from attenergy.registry import Registry

BETAS = (0.2, 0.4, 0.6, 0.8)
VARIANTS = ("ising_mean_field", "tap")


def spin_glasses(count: int, draws: int, field: float) -> tuple[Tensor, Tensor]:
    """Couplings (draws, n, n) and fields (draws, n); a draw does not depend on their number."""
    couplings, fields = [], []
    for seed in range(draws):
        generator = torch.Generator().manual_seed(seed)
        normal = partial(torch.randn, dtype=torch.float64, generator=generator)
        upper = normal((count, count)).triu(1) / math.sqrt(count)
        couplings.append(upper + upper.mT)
        fields.append(field * normal((count,)))
    return torch.stack(couplings), torch.stack(fields)


def exact_means(couplings: Tensor, fields: Tensor, beta: float) -> Tensor:
    """Means of spins +-1 by enumeration, (draws, n)."""
    rows = list(itertools.product((-1.0, 1.0), repeat=fields.shape[-1]))
    spins = torch.tensor(rows, dtype=torch.float64)
    exponents = beta * (0.5 * ((spins @ couplings) * spins).sum(-1) + fields @ spins.mT)
    return torch.softmax(exponents, -1) @ spins


def relaxed_means(
    name: str, couplings: Tensor, fields: Tensor, beta: float, registry: Registry | None
) -> Tensor:
    """Where an energy with these couplings and fields comes to rest from 0, (draws, n)."""
    count = fields.shape[-1]
    energy = make_energy(name, dim=count, registry=registry, beta=beta).double()
    X = torch.stack([patterns_with_couplings(J) for J in couplings])
    h = count * torch.linalg.solve(X.mT, fields).unsqueeze(-2)
    with torch.no_grad():
        start = torch.zeros_like(fields).unsqueeze(-2)
        return relax(energy, start, X, field=h, steps=400, step_size=0.25).state.squeeze(-2)


def curve(
    count: int = 12, draws: int = 20, field: float = 0.5, registry: Registry | None = None
) -> Data:
    """Mean |m - m_exact| over spins and draws, for every beta."""
    couplings, fields = spin_glasses(count, draws, field)
    errors: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for beta in BETAS:
        exact = exact_means(couplings, fields, beta)
        for name in VARIANTS:
            means = relaxed_means(name, couplings, fields, beta, registry)
            errors[name].append(round(float((means - exact).abs().mean()), 5))
    return {"spins": count, "draws": draws, "field": field, "beta": list(BETAS), "error": errors}


def measure(quick: bool) -> Data:
    """The curve; quick: few spins and draws."""
    return curve(8, 5) if quick else curve()


def draw(axes: Any, data: Data) -> None:
    for name, label in zip(VARIANTS, ("mean field", "TAP"), strict=True):
        axes[0].semilogy(data["beta"], data["error"][name], "o-", label=label)
    axes[0].set(
        xlabel="inverse temperature beta",
        ylabel="mean |m - m exact|",
        title=f"spin glass of {data['spins']} spins",
    )
    axes[0].legend()


if __name__ == "__main__":
    run("tap", __doc__, measure, draw)
