"""An energy layer inside a plain PyTorch model, trained for a few steps on random data.

Run it with `python examples/own_model.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import attenergy


class Classifier(nn.Module):
    """Tokens to one of five classes; the attention is whatever energy is named."""

    def __init__(self, energy: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.attend = attenergy.EnergyAttention(32, 4, energy)
        self.out = nn.Linear(32, 5)

    def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
        """(B, L) tokens and (B, L) padding, True where there is a token, to (B, 5)."""
        x = self.embed(tokens)
        x = x + self.attend(x, mask=padding[:, None, None, :])
        logits: Tensor = self.out((x * padding[..., None]).sum(1))
        return logits


def main() -> None:
    """Train one model per energy and print the loss."""
    torch.manual_seed(0)
    tokens, targets = torch.randint(100, (64, 12)), torch.randint(5, (64,))
    padding = torch.arange(12) < torch.randint(4, 13, (64, 1))
    for energy in attenergy.load_registry().energies:
        model = Classifier(energy)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(50):
            loss = nn.functional.cross_entropy(model(tokens, padding), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"{energy:26} loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
