"""Linear regression in context with a model of your own, beside what is known exactly.

Run it with `python examples/in_context.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

import attenergy


class Regressor(nn.Module):
    """Pairs (x, y) and queries x to a number at each; the layer is of whatever energy is named."""

    def __init__(self, energy: str, size: int, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(size, width)
        self.attend = attenergy.EnergyAttention(width, 4, energy)
        self.out = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, size) tokens to (B, L, 1) answers."""
        x = self.embed(tokens)
        answers: Tensor = self.out(x + self.attend(x))
        return answers


def main(steps: int = 600, energies: Sequence[str] = ("lse", "l2_lse", "rbm")) -> dict[str, float]:
    """Return the r2 of each energy's model on sequences with weights of their own."""
    task = attenergy.make_task("in-context-regression-small")
    for name, reference in task.references("test").items():
        print(f"{name:14} r2 {reference.value:.3f}  (exact)")
    scores = {}
    for energy in energies:
        torch.manual_seed(0)
        model = Regressor(energy, task.inputs.size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            batch = task.batch("train", 64 * step, 64)
            loss = task.loss(model(batch.inputs), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        scores[energy] = task.evaluate(lambda b, m=model: m(b.inputs), "test", 1024)["r2"]
        print(f"{energy:14} r2 {scores[energy]:.3f}")
    return scores


if __name__ == "__main__":
    main()
