"""What a trained model does: energies and attention weights of every block, head and step.

Trains a small transformer of energies on stacked recall, then records one forward pass. The same
works for any module that holds layers of the toolkit: `attenergy.trace(model, *inputs)`.
"""

from __future__ import annotations

import argparse

import torch

import attenergy
from attenergy.attention import Transformer


def main() -> None:
    """Train, trace, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="of training")
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    task = attenergy.make_task("stacked-recall", vocabulary=32, pairs=4)
    model = Transformer(
        outputs=task.outputs.size, layers=2, width=32, heads=4, mlp=64, positions="relative",
        make_layer=lambda: attenergy.EnergyAttention(32, 4, energy="lse", steps=2),
        kind=task.inputs.kind, size=task.inputs.size, length=task.inputs.length,
        channels=task.inputs.channels, causal=True,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = task.batch("train", 64 * step, 64)
        loss = task.loss(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = task.batch("test", 0, 64)
    seen = attenergy.trace(model.eval(), batch.inputs)
    print(f"accuracy {task.metrics(seen.out, batch.targets)['accuracy'].mean():.3f}\n{seen}")
    for layer in seen:
        drop = (layer.energies[0] - layer.energies[-1]).mean((0, 2))  # (T, B, H, L) -> (H)
        sharp = layer.weights[-1].max(-1).values.mean((0, 2))  # (T, B, H, L, S) -> (H)
        for head in range(len(drop)):
            print(f"{layer.name} head {head}: energy falls by {drop[head]:.3f}, "
                  f"largest weight {sharp[head]:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
