"""An energy of your own in five forms: entry, formula, function, class, and one that is made.

Run it with `python examples/own_energy.py`; docs/own_energy.md explains.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

import attenergy
from attenergy.registry import EnergySpec

FORMULA = "0.5*|xi|^2 - lse(beta * X @ xi)/beta"


def pull(xi: Tensor, X: Tensor, beta: float = 4.0) -> Tensor:
    """E of one state xi [D] and the patterns X [N, D] that it sees."""
    return 0.5 * xi @ xi - torch.logsumexp(beta * (X @ xi), 0) / beta


class Pull(attenergy.Energy):
    """The same for whole batches: xi (..., L, D), X (..., S, D), mask (..., L, S)."""

    entry: ClassVar = {"parameters": {"beta": {"init": 4.0, "constraint": "positive"}}}
    reads_field = False

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """E, (..., L)."""
        beta = self.values()["beta"]
        drive = beta * (xi @ X.mT)
        drive = drive if mask is None else drive.masked_fill(~mask, -torch.inf)
        return 0.5 * (xi * xi).sum(-1) - (drive.logsumexp(-1, keepdim=True) / beta).squeeze(-1)


def main() -> dict[str, Tensor]:
    """Recall the same noisy patterns with all of them."""
    torch.manual_seed(0)
    patterns = torch.nn.functional.normalize(torch.randn(20, 16), dim=-1)
    noisy = patterns + 0.1 * torch.randn(20, 16)
    entry = EnergySpec(title="Pull", formula=FORMULA, parameters={"beta": {"init": 4.0}})
    forms = {"name": ("lse", 4.0), "formula": (FORMULA, 4.0), "entry": (entry, None),
             "function": (pull, None), "class": (Pull, None),
             "made": (attenergy.make_energy(Pull, dim=16), None)}  # fmt: skip
    states = {}
    for form, (energy, beta) in forms.items():
        settings = {} if beta is None else {"beta": beta}
        memory = attenergy.AssociativeMemory(energy, **settings).store(patterns)
        states[form] = memory.recall(noisy, steps=2).state
        print(f"{form:8} moved by {(states[form] - noisy).norm():.4f}")
    layer = attenergy.EnergyAttention(32, 2, pull, steps=2)  # or as a layer, trained like any other
    layer(torch.randn(1, 5, 32)).sum().backward()
    return states


if __name__ == "__main__":
    main()
