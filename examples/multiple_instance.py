"""Does a bag hold one of a few secret patterns? Pooling by an energy beside mean and maximum.

Run it with `python examples/multiple_instance.py [STEPS SEEDS]`.

A bag has sixteen patterns of eight bits; half of the bags hold one of eight secret patterns, and
only the class of the whole bag is told. `EnergyPooling` has one learned query that relaxes on the
patterns of the bag, so its weights also say which pattern decided, which nobody told it.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import attenergy

WIDTH = 32
POOLS = ["mean", "maximum", "lse", "lse, 3 steps", "sparsemax"]


class BagClassifier(nn.Module):
    """Patterns (B, n, bits) to logits (B, 2): each pattern by itself, then one vector per bag."""

    def __init__(self, bits: int, pool: str) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(bits, 64), nn.GELU(), nn.Linear(64, WIDTH), nn.LayerNorm(WIDTH)
        )
        self.plain = {"mean": torch.mean, "maximum": torch.amax}.get(pool)
        if self.plain is None:
            energy, *more = pool.split(", ")
            self.pool = attenergy.EnergyPooling(WIDTH, 4, energy, steps=3 if more else 1)
        self.out = nn.Linear(WIDTH, 2)

    def forward(self, bags: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and the weight of every pattern (B, n) where there are weights."""
        x = self.embed(bags)
        if self.plain is not None:
            return self.out(self.plain(x, 1)), None
        pooled, weights = self.pool(x, need_weights=True)  # (B, 1, E), (B, H, 1, n)
        return self.out(pooled.squeeze(1)), weights.mean((1, 2))


def main(steps: int = 600, seeds: int = 2) -> dict[str, list[float]]:
    """Return the accuracy of each pooling on bags that were never seen, one number per seed."""
    task = attenergy.make_task("mil")
    test = task.batch("test", 0, 2048)
    bags, labels = test.inputs[:, :-1], test.targets[:, -1]  # the last token is an empty query
    numbers = (bags.long() * 2 ** torch.arange(7, -1, -1)).sum(-1)
    secret = torch.isin(numbers, task.signal_patterns)
    print("chance         0.500; of the largest weight 0.062")
    scores: dict[str, list[float]] = {pool: [] for pool in POOLS}
    for pool in POOLS:
        pointed = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = BagClassifier(bags.shape[-1], pool)
            optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
            for step in range(steps):
                batch = task.batch("train", 64 * step, 64)
                logits, _ = model(batch.inputs[:, :-1])
                loss = nn.functional.cross_entropy(logits, batch.targets[:, -1])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                logits, weights = model.eval()(bags)
            scores[pool].append((logits.argmax(-1) == labels).float().mean().item())
            if weights is not None:  # does the largest weight lie on the secret pattern?
                hits = secret.gather(1, weights.argmax(-1, keepdim=True))[labels == 1]
                pointed.append(hits.float().mean().item())
        line = f"{pool:14} " + " ".join(f"{score:.3f}" for score in scores[pool])
        shares = " ".join(f"{share:.3f}" for share in pointed)
        print(line + (f"; largest weight on the secret pattern: {shares}" if shares else ""))
    return scores


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
