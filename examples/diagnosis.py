"""Why a layer does not learn: the laws on trained models, one healthy and one whose beta is large.

Trains the same small transformer twice on stacked recall, once as the registry has it and once
with a beta by which the weights are saturated from the start, and prints what `diagnose` advises.
"""

from __future__ import annotations

import argparse
import copy

import torch

import attenergy
from attenergy.analysis import Diagnosis, diagnose
from attenergy.attention import Transformer

MODELS = {"healthy": {}, "saturated": {"beta": 100.0, "steps": 3}}


def main(steps: int = 400, save: str = "") -> dict[str, tuple[float, Diagnosis]]:
    """Train and diagnose; returns accuracy and diagnosis of both.

    Args:
        steps: of training.
        save: folder for the diagnosis of each; nothing is written if empty.
    """
    results = {}
    for name, settings in MODELS.items():
        accuracy, result = train_and_diagnose(steps, settings)
        results[name] = accuracy, result
        print(f"{name}: accuracy {accuracy:.3f}. {result.sentence}")
        for line in result.advice:
            print(f"  {line.text}")
        if save:
            result.save(f"{save}/{name}")
    return results


def train_and_diagnose(steps: int, settings: dict[str, float]) -> tuple[float, Diagnosis]:
    """One model."""
    torch.manual_seed(0)
    task = attenergy.make_task("stacked-recall", vocabulary=32, pairs=4)
    model = Transformer(
        outputs=task.outputs.size, layers=2, width=32, heads=4, mlp=64, positions="relative",
        make_layer=lambda: attenergy.EnergyAttention(32, 4, energy="lse", **settings),
        kind=task.inputs.kind, size=task.inputs.size, length=task.inputs.length,
        channels=task.inputs.channels,
    )  # fmt: skip
    untrained = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = task.batch("train", 64 * step, 64)
        loss = task.loss(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = task.batch("test", 0, 64)
    with torch.no_grad():
        answers = model.eval()(batch.inputs)
    accuracy = float(task.metrics(answers, batch.targets)["accuracy"].mean())
    return accuracy, diagnose(model, batch.inputs, untrained=untrained)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--save", default="", help="folder for pictures, tables and JSON")
    main(**vars(parser.parse_args()))
