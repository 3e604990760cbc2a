"""A population has the losses of its members alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.registry import load_registry
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.predict import predict
from attenergy.tasks import make_task

FOLDER = Path(__file__).resolve().parents[2] / "studies"
REGISTRY = load_registry(plugins=False)
STEPS = 12


@pytest.fixture(scope="module")
def stacked() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        import stacked
    finally:
        sys.path.remove(str(FOLDER))
    return stacked


def config(variant: str, seed: int, **fix: Any) -> RunConfig:
    fixed = {
        **{"layers": 2, "width": 16, "heads": 2, "mlp": 16, "batch_size": 4, "warmup": 2},
        **{"steps": STEPS, "evaluate_every": STEPS, "weight_decay": 0.1, "learning_rate": 1e-2},
        **fix,
    }
    plan = ComparePlan(name="x", folder="x", task="raven-small", variants=(variant,), fix=fixed)
    return configure(plan, REGISTRY, variant).model_copy(update={"seed": seed})


def alone(run: RunConfig, dtype: torch.dtype) -> list[float]:
    """The losses of a run by itself, as `train` takes its steps."""
    task = make_task(run.task_spec, seed=run.seed, split_seed=run.split_seed)
    torch.manual_seed(run.seed)
    model, training = build_model(run, task).to(dtype), run.training
    optimizers, losses = make_optimizers(model, training), []
    for step in range(training.steps):
        optimizers.schedule(step, warmup=training.warmup, total=training.steps)
        batch = task.batch("train", step * training.batch_size, training.batch_size)
        inputs = type(batch)(batch.inputs.to(dtype), batch.targets, rules=batch.rules)
        loss = task.loss(predict(model, inputs, task.scored_positions), batch.targets)
        optimizers.zero_grad()
        loss.backward()
        optimizers.step()
        losses.append(loss.item())
    return losses


def together(stacked: Any, runs: list[RunConfig], dtype: torch.dtype) -> torch.Tensor:
    training = runs[0].training
    tasks = {r.seed: make_task(r.task_spec, seed=r.seed, split_seed=r.split_seed) for r in runs}
    instances = stacked.TrainingSet(tasks, training.steps * training.batch_size)
    for seed, start in instances.pieces():
        instances.draw(seed, start)
    population = stacked.Population(runs, torch.device("cpu"), instances, dtype)
    population.run(5)
    population.run(100)
    assert population.done == training.steps
    logits = population.answers(population.task.batch("valid", 0, 10).inputs, size=4)
    assert logits.shape == (len(runs), 10, 2, 8)
    return population.losses


@pytest.mark.parametrize("variant", ["lse", "hyla", "rbm", "softmax"])
def test_adamw_and_different_seeds_and_rates(stacked: Any, variant: str) -> None:
    each = ({"seed": 1}, {"seed": 2}, {"seed": 1, "learning_rate": 3e-3, "weight_decay": 0.3})
    runs = [config(variant, optimizer="adamw", **options) for options in each]
    losses = together(stacked, runs, torch.float64)
    want = torch.tensor([alone(run, torch.float64) for run in runs], dtype=torch.float64).T
    torch.testing.assert_close(losses, want, rtol=1e-9, atol=1e-9)


@pytest.mark.long
def test_muon_beside_adamw(stacked: Any) -> None:
    """Muon takes its steps in bfloat16, whose rounding depends on the order of a sum."""
    each = ({"optimizer": "muon"}, {"optimizer": "adamw"}, {"optimizer": "muon", "seed": 2})
    rates = ({}, {}, {"muon_learning_rate": 0.01, "weight_decay": 0.0})
    runs = [config("lse", **{"seed": 1, **a, **b}) for a, b in zip(each, rates, strict=True)]
    losses = together(stacked, runs, torch.float64)
    want = torch.tensor([alone(run, torch.float64) for run in runs], dtype=torch.float64).T
    torch.testing.assert_close(losses, want, rtol=5e-3, atol=0)
    torch.testing.assert_close(losses[:, 1], want[:, 1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", ["lse", "elliptical", "ising_mean_field", "causal_tokens"])
def test_answers_are_those_of_the_models(stacked: Any, variant: str) -> None:
    """Without a graph of derivatives, which some energies' own gradients are made of."""
    runs = [config(variant, seed) for seed in (1, 2)]
    tasks = {r.seed: make_task(r.task_spec, seed=r.seed, split_seed=r.split_seed) for r in runs}
    instances = stacked.TrainingSet(tasks, STEPS * 4)
    population = stacked.Population(runs, torch.device("cpu"), instances)
    batch = population.task.batch("valid", 0, 6)
    for run, got in zip(runs, population.answers(batch.inputs, size=4), strict=True):
        torch.manual_seed(run.seed)
        model = build_model(run, population.task)
        want = predict(model, batch, population.rows)[:, population.rows]
        torch.testing.assert_close(got, want.detach(), rtol=1e-4, atol=1e-4)


def test_what_is_no_population_is_refused(stacked: Any) -> None:
    for other in ({"width": 32}, {"dropout": 0.1}, {"warmup": 3}):
        with pytest.raises(stacked.Unstackable):
            together(stacked, [config("lse", 1), config("lse", 2, **other)], torch.float32)
