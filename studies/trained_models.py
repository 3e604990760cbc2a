"""What trained models hold: the rule in their latent codes, and layers that they can do without.

    python studies/trained_models.py

Trains the runs of the part `deep` (softmax attention and HYLA in four blocks on raven-small) that
have no line in `results/trained_models.jsonl` yet, one after the other, and adds a line for each:
its scores, what linear decoders read of held-out rules from the code of each layer beside their
controls, and the accuracy without the attention layers, or the MLPs, that turn their inputs least.
A run that is broken off is made again; about three minutes each on one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import raven
import torch
from safetensors.torch import load_file

from attenergy.analysis import latent_code_of_task, redundancy
from attenergy.registry import load_registry
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.records import RunStore
from attenergy.search.training.evaluation import evaluate
from attenergy.search.training.model import build_model
from attenergy.search.training.train import train
from attenergy.tasks import Task, make_task

OUT = raven.HERE / "results" / "trained_models.jsonl"
PART = "deep"
INSTANCES = 2048  # on which a model without some layers is judged
PERMUTATIONS = 20


def lines(path: Path = OUT) -> list[dict[str, Any]]:
    """What was measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def trained(config: RunConfig, folder: Path) -> tuple[torch.nn.Module, Task, dict[str, Any]]:
    """The model after its training, its task, and the scores of the run."""
    record = train(config, purpose="compare", weights=folder / "weights.safetensors")
    if record.status != "complete":
        raise SystemExit(f"{raven.line_of(record)}")
    task = make_task(config.task_spec, seed=config.seed, split_seed=config.split_seed)
    model = build_model(config, task)
    model.load_state_dict(load_file(record.weights))
    RunStore(raven.RECORDS / PART).append(record.model_copy(update={"weights": ""}))
    scores = {split: values["accuracy"] for split, values in record.metrics.items()}
    return model.eval(), task, {"accuracy": scores, "versions": record.versions}


def codes(model: torch.nn.Module, task: Task) -> list[dict[str, Any]]:
    """What the code of each layer tells of the rule, on held-out combinations, and the controls."""
    result = latent_code_of_task(model, task, permutations=PERMUTATIONS)
    (rule,) = [each for each in result.decodings if each.label == "rule"]
    return [
        {
            "layer": each.layer,
            "seen": round(each.fresh.value, 4),
            "held_out": round(each.judged.value, 4),
            "permuted": round(max(each.permuted), 4),
            "scrambled": round(each.scrambled.value, 4),
            "majority": round(rule.majority.value, 4),
        }
        for each in rule.layers
    ]


def dropped(model: torch.nn.Module, task: Task) -> dict[str, Any]:
    """Accuracy of the whole model, and without one, two, ... attention layers, or MLPs."""

    def accuracy(judged: torch.nn.Module) -> Mapping[str, float]:
        return evaluate(judged, task, "test", INSTANCES)

    inputs = [task.batch("test", 0, 128).inputs]
    accuracies: dict[str, Any] = {}
    for kind in ("attention", "mlp"):
        result = redundancy(model, inputs, evaluate=accuracy, drop=kind, random_orders=2)
        accuracies["whole"] = round(result.worth.full, 4)
        accuracies[kind] = [round(step.value, 4) for step in result.steps]
    return accuracies


def main(path: Path = OUT) -> None:
    """Train and measure what is missing."""
    registry = load_registry(plugins=False)
    configs = raven.parts(registry)[PART].configs(PART, registry)
    done = {line["key"] for line in lines(path)}
    for config in (c for c in configs if c.run_key() not in done):
        with tempfile.TemporaryDirectory() as folder:
            model, task, about = trained(config, Path(folder))
        line = {"key": config.run_key(), "variant": config.variant, "seed": config.seed, **about}
        line |= {"rule": codes(model, task), "without": dropped(model, task)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(config.variant, config.seed, about["accuracy"], flush=True)


if __name__ == "__main__":
    sys.exit(main())
