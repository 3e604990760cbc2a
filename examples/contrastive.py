"""An energy learns scikit-learn's digits by contrastive divergence, and draws digits of its own.

Run it with `python examples/contrastive.py [UPDATES]`; it needs scikit-learn (extra `data`).

An image of 8x8 pixels is a state of 64 spins; the stored patterns are the weights of as many hidden
units. The chains go on from update to update; at the end they are samples of the model.
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor

import attenergy


def show(states: Tensor) -> str:
    """Images side by side, as text."""
    rows = states.reshape(-1, 8, 8).movedim(1, 0)
    return "\n".join("  ".join("".join(" #"[int(p > 0)] for p in r) for r in row) for row in rows)


def main(updates: int = 300) -> float:
    """Train, print samples, and return how often chains and data agree in neighbouring pixels."""
    torch.manual_seed(0)
    images = torch.tensor(load_digits().data, dtype=torch.float32)
    data = torch.where(images > 7, 1.0, -1.0)
    energy = attenergy.make_energy("binary_rbm", dim=64, beta=1.0)
    X = torch.nn.Parameter(0.05 * torch.randn(48, 64))
    optimizer = torch.optim.Adam([X, *energy.parameters()], lr=0.02)
    chains = data[torch.randperm(len(data))[:100]]
    for update in range(updates):
        batch = data[torch.randint(len(data), (100,))]
        loss, chains, turned = attenergy.contrastive_divergence(energy, batch, X, chains=chains)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % 50 == 0:
            print(f"update {update:4}: {turned:.0%} of the pixels turn in a sweep")
    print(show(chains[:8]))
    pairs = [s.T @ s / len(s) for s in (data, chains)]
    return float(torch.corrcoef(torch.stack([p.flatten() for p in pairs]))[0, 1])


if __name__ == "__main__":
    likeness = main(*map(int, sys.argv[1:2]))
    print(f"correlations of pixels, samples against data: {likeness:.2f}")
