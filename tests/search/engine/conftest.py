from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from attenergy.registry import Registry, load_registry
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.plan import SearchPlan
from attenergy.search.space import Space

TINY = """
version: 1
tasks:
  tiny:
    title: One feature, one small layer
    class: Raven
    options: {features: 1, values: 4, grid: 3, rules: 8, ood_fraction: 0.25, permute: false}
    model: {layers: 1, width: 16, heads: 2, mlp: 0}
    training: {steps: 12, batch_size: 8, learning_rate: 3e-3, warmup: 2, evaluate_every: 6,
               valid_instances: 32, test_instances: 32}
    space: tiny
spaces:
  tiny:
    heads: {choices: [2, 4]}
    learning_rate: {low: 1e-3, high: 1e-2, log: true}
  few:
    heads: {choices: [2, 4]}
"""

PlanMaker = Callable[..., SearchPlan]
ConfigMaker = Callable[..., RunConfig]


class Watcher:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int, int]] = []
        self.configs: list[RunConfig] = []
        self.steps: list[tuple[str, int, int]] = []
        self.records: list[RunRecord] = []
        self.messages: list[str] = []

    def phase(self, name: str, done: int, total: int) -> None:
        self.phases.append((name, done, total))

    def started(self, config: RunConfig) -> None:
        self.configs.append(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        self.steps.append((key, step, steps))

    def finished(self, record: RunRecord) -> None:
        self.records.append(record)

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def registry(tiny_file: Path) -> Registry:
    return load_registry(tiny_file, plugins=False)


@pytest.fixture
def make_plan(tmp_path: Path) -> PlanMaker:
    def make(**changes: Any) -> SearchPlan:
        plan = {
            "study": "tiny",
            "folder": str(tmp_path / "runs"),
            "task": "tiny",
            "variants": ("softmax", "linear", "hyla"),
            "trials": 4,
            "workers": 0,
            "finalists": 0,
            "seeds": 1,
        }
        return SearchPlan.model_validate({**plan, **changes})

    return make


@pytest.fixture
def make_config(registry: Registry, make_plan: PlanMaker) -> ConfigMaker:
    """Maker of runs of the tiny task: any field of its training or model can be named."""

    def make(variant: str = "softmax", seed: int = 0, **training: Any) -> RunConfig:
        space = Space(registry, make_plan(variants=(variant,), baseline=variant))
        trial = optuna.trial.FixedTrial({"variant": variant, "heads": 2, "learning_rate": 3e-3})
        config = space.suggest(trial)
        changed = config.training.model_copy(update=training)
        return config.model_copy(update={"training": changed, "seed": seed})

    return make
