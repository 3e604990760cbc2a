"""Runs that can be broken off."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training import checkpoint
from attenergy.search.training.checkpoint import Saver
from attenergy.search.training.train import train

STEPS = 7  # with an evaluation every three


class Run:
    """A run with a checkpoint after every step, which can be broken off."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.checkpoints = Checkpoints(folder / "checkpoints", seconds=1e-9)
        self.events: list[tuple[Any, ...]] = []

    @property
    def path(self) -> Path:
        return self.checkpoints.path(self.config.run_key())

    @property
    def messages(self) -> list[str]:
        return [event[1] for event in self.events if event[0] == "message"]

    def train(self, name: str, *, until: int | None = None) -> RunRecord:
        def report(step: int, steps: int, loss: float) -> None:
            if until is not None and step > until:
                raise KeyboardInterrupt

        def note(*event: Any) -> None:
            self.events.append(event)

        saver = Saver(self.checkpoints, self.config, note)
        return train(self.config, report=report, weights=self.folder / name, saver=saver)

    def stop_after(self, step: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.train("lost", until=step)

    def digest(self, name: str) -> str:
        return sha256((self.folder / name).read_bytes()).hexdigest()


@pytest.fixture
def make_run(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    monkeypatch.setattr(checkpoint, "_RATIO", 0)

    def make(variant: str = "softmax", **training: Any) -> Run:
        fields = {"steps": STEPS, "evaluate_every": 3, "dropout": 0.2, **training}
        plan = ComparePlan(
            name="tiny", folder="unused", task="tiny", variants=(variant,), fix=fields
        )
        return Run(configure(plan, registry, variant), tmp_path)

    return make
