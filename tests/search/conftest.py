from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import (
    EnergySpec,
    MixerSpec,
    ModelSpec,
    TaskSpec,
    TrainingSpec,
    load_registry,
)
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Silent
from attenergy.search.plan import SearchPlan

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
    from attenergy.search.study import run_search

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
        train_steps=4,
        fix=TINY_FIX,
    )
    run_search(plan, load_registry(), Silent())
    return folder
