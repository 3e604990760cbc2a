from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from attenergy.registry import (
    EnergySpec,
    MixerSpec,
    ModelSpec,
    Registry,
    TaskSpec,
    TrainingSpec,
    load_registry,
)
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose

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


class Watcher(Listener):
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int, int]] = []
        self.configs: list[RunConfig] = []
        self.steps: list[tuple[str, int, int]] = []
        self.points: list[tuple[str, dict[str, float]]] = []
        self.records: list[RunRecord] = []
        self.continuations: list[tuple[str, int, list[dict[str, float]]]] = []
        self.messages: list[str] = []

    def phase(self, name: str, done: int, total: int) -> None:
        self.phases.append((name, done, total))

    def started(self, config: RunConfig) -> None:
        self.configs.append(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        self.steps.append((key, step, steps))

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        self.points.append((key, point))

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        self.continuations.append((key, step, curve))

    def finished(self, record: RunRecord) -> None:
        self.records.append(record)

    def message(self, text: str) -> None:
        self.messages.append(text)


Curve = Callable[[RunConfig], list[float]]


class Scripted:
    """An executor that plays a curve for each run instead of training, evenly over its steps."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._config: RunConfig | None = None
        self._purpose: Purpose = "trial"
        self._stops: dict[str, str] = {}

    @property
    def free(self) -> int:
        return int(self._config is None)

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        self._config, self._purpose = config, purpose

    def stop(self, key: str, reason: str) -> None:
        self._stops[key] = reason

    def wait(self, listener: Listener) -> RunRecord:
        assert self._config is not None
        config, self._config = self._config, None
        key, scores, points = config.run_key(), self._curve(config), []
        reason = ""
        for number, score in enumerate(scores, start=1):
            points.append(
                {"step": config.training.steps * number // len(scores), "accuracy": score}
            )
            listener.evaluated(key, points[-1])
            reason = self._stops.pop(key, "")
            if reason and number < len(scores):
                break
        status = "pruned" if reason and len(points) < len(scores) else "complete"
        valid = {"accuracy": points[-1]["accuracy"], "loss": 1 - points[-1]["accuracy"]}
        return RunRecord(
            key=key,
            config_hash=config.config_hash(),
            config=config,
            status=status,  # type: ignore[arg-type]
            reason=reason if status == "pruned" else "",
            metrics={"valid": valid},
            curve=points,
            cost={"forward_flops": 1000.0 * config.model.heads, "train_seconds": 2.0},
            purpose=self._purpose,
        )

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Curve], None]:
    """Let searches play curves instead of training."""

    def patch(curve: Curve) -> None:
        monkeypatch.setattr(
            "attenergy.search.study.run.make_executor", lambda resources, folder: Scripted(curve)
        )

    return patch


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let Optuna say nothing of the studies that a test makes by itself."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("registry") / "tiny.yaml"
    path.write_text(TINY)
    return load_registry(path, plugins=False)


@pytest.fixture
def registry(loaded: Registry) -> Registry:
    """A copy that a test may change."""
    spaces = {name: dict(ranges) for name, ranges in loaded.spaces.items()}
    copies = {n: dict(getattr(loaded, n)) for n in ("energies", "mixers", "tasks", "bundles")}
    return replace(loaded, spaces=spaces, **copies)


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
            "final_budget": "none",
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


RecordMaker = Callable[..., RunRecord]


@dataclass
class Ceiling:
    value: float
    error: float
    instances: int


@dataclass
class KnownTask:
    """A task of which a leaderboard needs only what is said here."""

    name: str = "Known"
    metric: str = "accuracy"
    splits: tuple[str, ...] = ("train", "valid", "test", "ood")
    chance: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.125})
    ceilings: dict[str, Ceiling] = field(
        default_factory=lambda: {"valid": Ceiling(0.93, 0.0, 1), "test": Ceiling(0.928, 0.0012, 4)}
    )

    def ceiling(self, split: str) -> Ceiling | None:
        return self.ceilings.get(split)


@pytest.fixture
def known_task() -> KnownTask:
    return KnownTask()


@pytest.fixture
def make_record() -> RecordMaker:
    """Maker of records by hand: scores are (valid, test, ood)."""

    def make(
        variant: str,
        scores: tuple[float, ...] = (),
        *,
        seed: int = 0,
        purpose: str = "trial",
        rate: float = 3e-3,
        steps: int = 100,
        status: str = "complete",
        reason: str = "",
        task: str = "known",
        **settings: Any,
    ) -> RunRecord:
        mixer = MixerSpec.model_validate({"title": variant, "class": "HypernetworkAttention"})
        energy = EnergySpec(title=variant, formula="0.5*|xi|^2 - lse(beta * X @ xi + h)/beta")
        training = TrainingSpec(steps=steps, warmup=10, learning_rate=rate)
        spec = TaskSpec.model_validate(
            {"title": "Known", "class": "Raven", "model": {}, "training": training.model_dump()}
        )
        config = RunConfig(
            variant=variant,
            layer=mixer if variant in ("softmax", "hyla", "linear") else energy,
            settings=settings,
            task=task,
            task_spec=spec,
            model=ModelSpec(),
            training=training,
            seed=seed,
        )
        splits = zip(("valid", "test", "ood"), scores, strict=False)
        return RunRecord(
            key=config.run_key(),
            config_hash=config.config_hash(),
            config=config,
            status=status,  # type: ignore[arg-type]
            reason=reason,
            metrics={split: {"accuracy": score} for split, score in splits},
            cost={"parameters": 12345, "forward_flops": 1.2e6, "ms_per_step": 9.87, "seconds": 12},
            versions={"torch": "2.13.0", "attenergy": "0.1.0"},
            purpose=purpose,  # type: ignore[arg-type]
        )

    return make


# Small enough that a run takes a tenth of a second.
TINY_FIX = {"valid_instances": 64, "test_instances": 64, "heads": 1}
TINY_TASK = {"vocabulary": 16, "pairs": 4}


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a real search of three trials; read it only."""
    from attenergy.search.study.run import run_search

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    plan = SearchPlan(
        study="tiny",
        folder=str(folder),
        task="stacked-recall",
        task_options=TINY_TASK,
        variants=("lse", "rbm", "softmax"),
        trials=3,
        workers=0,
        finalists=1,
        seeds=2,
        final_budget="none",
        train_steps=4,
        fix=TINY_FIX,
    )
    torch.set_num_threads(1)  # bits of a run depend on them
    run_search(plan, load_registry(), Listener())
    return folder
