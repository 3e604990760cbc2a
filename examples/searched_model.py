"""A model of one's own in a search: exported, and loaded by another process with equal predictions.

Run it with `python examples/searched_model.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import attenergy


class Classifier(nn.Module):
    """Tokens to the class of the sequence: attention, then the last position beside the mean."""

    def __init__(self, attention: nn.Module, task: attenergy.tasks.Task) -> None:
        super().__init__()
        self.embed = nn.Embedding(task.inputs.size, 32)
        self.attention = attention
        self.out = nn.Linear(64, task.outputs.size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Ids (B, L) to logits (B, C)."""
        x = self.embed(tokens)
        x = x + self.attention(x)
        logits: Tensor = self.out(torch.cat([x[:, -1], x.mean(1)], -1))
        return logits


def build(make_layer: Callable[..., nn.Module], task: attenergy.tasks.Task) -> nn.Module:
    """What `--model searched_model:build` names."""
    return Classifier(make_layer(32, 4, rotary=True), task)


PREDICT = """
import sys, torch, attenergy
model = attenergy.load(sys.argv[1], part="model", plugins=["searched_model"]).eval()
print(model(torch.arange(20).reshape(1, 20) % 6).tolist())
"""


def main() -> None:
    """Search, export, load here and there."""
    here, command = Path(__file__).parent, str(Path(sys.executable).with_name("attenergy"))
    with tempfile.TemporaryDirectory() as folder:
        words = ["search", "--task", "latch", "--model", "searched_model:build", "--plain"]
        words += ["--energies", "lse,softmax", "--trials", "4", "--finalists", "1", "--seeds", "2"]
        words += ["--steps", "40", "--final-budget", "none"]  # a first look; the defaults say more
        subprocess.run([command, *words, "--folder", folder], cwd=here, check=True)
        exported = Path(folder) / "latch" / "exported"
        model = attenergy.load(exported, part="model", plugins=["searched_model"]).eval()
        print("here ", model(torch.arange(20).reshape(1, 20) % 6).tolist())
        other = subprocess.check_output([sys.executable, "-c", PREDICT, exported], cwd=here)
        print("there", other.decode().strip())


if __name__ == "__main__":
    main()
