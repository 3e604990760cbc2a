"""Your energy, your model, your table: searched, exported, and loaded by another process.

Run it with `python examples/all_yours.py`; it takes `pip install attenergy[data]`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import attenergy

ENERGIES = """
version: 1
energies:
  nearest:
    title: How far the nearest patterns are
    formula: -lse(-0.5*beta * sqdist(X, xi) + h)/beta
    parameters:
      beta: {init: 1.0, constraint: positive, search: {low: 0.1, high: 10, log: true}}
"""
PREDICT = "import all_yours, json, sys; print(all_yours.answers(*map(json.loads, sys.argv[1:])))"


class Model(nn.Module):
    """Vectors (B, L, F) to logits (B, L, C), through the layers of a run."""

    def __init__(self, layers: list[nn.Module], task: attenergy.tasks.Task, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(task.inputs.size, width)
        self.place = nn.Parameter(0.1 * torch.randn(task.inputs.length, width))
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(width, task.outputs.size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Called with the task's inputs."""
        x = self.embed(inputs) + self.place[: inputs.shape[1]]
        for layer in self.layers:
            x = x + layer(x)
        logits: Tensor = self.out(x)
        return logits


def build(make_layer: Callable[..., nn.Module], task: attenergy.tasks.Task, width: int) -> Model:
    """What `--model all_yours:build` names: two layers, equal or those of a stack."""
    return Model([make_layer(), make_layer()], task, width)


def answers(exported: str, task: str, options: Mapping[str, str]) -> list[object]:
    """What an exported model says of the first four test instances."""
    model = attenergy.load(exported, part="model", plugins=["all_yours"]).eval()
    inputs = attenergy.make_task(task, **options).batch("test", 0, 4).inputs
    said: list[object] = model(inputs).tolist()
    return said


def main(steps: int = 60) -> None:
    """One search on the table and one on digits; the stack of each answers here and there."""
    here, command = Path(__file__).parent, str(Path(sys.executable).with_name("attenergy"))
    with TemporaryDirectory() as folder:
        energies, table = Path(folder, "mine.yaml"), Path(folder, "houses.csv")
        energies.write_text(ENERGIES, encoding="utf-8")
        draw = random.Random(0)
        sizes = [(draw.gauss(100, 30), draw.choice(["sea", "town"])) for _ in range(300)]
        rows = [f"{size:.1f},{place},{size > 110 or place == 'sea'}\n" for size, place in sizes]
        table.write_text("size,place,dear\n" + "".join(rows), encoding="utf-8")
        for task, options in (("table", {"path": str(table), "target": "dear"}), ("digits", {})):
            words = ["search", "--task", task, "--registry", str(energies), "--folder", folder]
            words += ["--energies", "softmax,nearest,lse/nearest", "--model", "all_yours:build"]
            words += ["--trials", "3", "--finalists", "0", "--steps", str(steps), "--workers", "2"]
            words += [f"--set={name}={value}" for name, value in options.items()]
            subprocess.run([command, *words, "--no-export", "--plain"], cwd=here, check=True)
            study, exported = str(Path(folder, task)), str(Path(folder, f"{task}-stack"))
            words = ["export", study, "--trial", "lse/nearest", "-o", exported]
            subprocess.run([command, "--plugin", "all_yours", *words], cwd=here, check=True)
            print("here ", answers(exported, task, options))
            given = [json.dumps(value) for value in (exported, task, options)]
            other = subprocess.check_output([sys.executable, "-c", PREDICT, *given], cwd=here)
            print("there", other.decode().strip())


if __name__ == "__main__":
    main()
