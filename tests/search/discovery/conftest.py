from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
import torch

from attenergy.energies.language import FUNCTIONS, Function, call, elementwise
from attenergy.energies.language.table import forget_results
from attenergy.registry import Registry, load_registry
from attenergy.registry.plugins import Plugin
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.write import write_discovery
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose

DiscoverPlanMaker = Callable[..., DiscoverPlan]
Forget = Callable[[], None]
#: What a plug-in that is there might register.
ROOT = Function(
    "root",
    1,
    elementwise,
    "sqrt(1 + z^2)",
    torch=lambda z: torch.sqrt(1 + z * z),
    derivative=lambda z: z / call("root", z),
    tame=True,
)


def made_up(config: RunConfig) -> RunRecord:
    """A record with a score that follows from the configuration alone."""
    key = config.run_key()
    score = int(hashlib.sha256(key.encode()).hexdigest()[:4], 16) / 0xFFFF
    metric = {"denoising": "explained", "latch": "accuracy"}[config.task]
    return RunRecord(
        key=key,
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        metrics={"valid": {metric: score}},
        cost={"forward_flops": 1000.0 * float(config.settings.get("steps", 1)), "seconds": 1.0},
    )


class Instant:
    """An executor of so many slots whose runs end at once, the latest first."""

    def __init__(self, slots: int, runs: list[str]) -> None:
        self.slots, self.runs = slots, runs
        self.waiting: list[RunConfig] = []

    @property
    def free(self) -> int:
        return self.slots - len(self.waiting)

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        assert self.free
        self.waiting.append(config)

    def wait(self, listener: Listener) -> RunRecord:
        config = self.waiting.pop()
        self.runs.append(config.run_key())
        return made_up(config)

    def stop(self, key: str, reason: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def built_in() -> Registry:
    return load_registry(plugins=False)


def make_instant(patch: pytest.MonkeyPatch) -> list[str]:
    """Let evolutions make records up instead of running anything; the keys of what they "ran"."""
    runs: list[str] = []

    def make(plan: DiscoverPlan, folder: Path) -> Instant:
        return Instant(max(1, plan.workers), runs)

    patch.setattr("attenergy.search.discovery.run.make_executor", make)
    patch.setattr("attenergy.search.discovery.conclusion.make_executor", make)
    return runs


def leave_pages_out(patch: pytest.MonkeyPatch) -> None:
    """Let discoveries write no pages and look at no laws, which takes seconds."""

    def write(discovery: Discovery, folder: Path, *_: Any, with_page: bool) -> None:
        write_discovery(discovery, folder, with_page=False)

    room = "attenergy.search.discovery"
    patch.setattr(f"{room}.outcome.write_discovery", write)
    patch.setattr(f"{room}.outcome.with_nearest", lambda discovery, _: discovery)
    patch.setattr(f"{room}.conclusion.laws_of", lambda _: ())


def plan_of(place: Path, **changes: Any) -> DiscoverPlan:
    """A plan of a few candidates on the task without training."""
    plan = {
        "study": "tiny",
        "folder": str(place / "tiny"),
        "tasks": ("denoising",),
        "candidates": 5,
        "seed_energies": ("lse", "sparsemax"),
        "finalists": 0,
        "workers": 0,
    }
    return DiscoverPlan.model_validate({**plan, **changes})


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return make_instant(monkeypatch)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_pages_out(monkeypatch)


@pytest.fixture
def make_discovery(tmp_path: Path) -> DiscoverPlanMaker:
    return partial(plan_of, tmp_path)


@pytest.fixture
def rootfun() -> Iterator[Forget]:
    """The plug-in `rootfun`, which registers `root`; what is given takes it away again."""

    def forget() -> None:
        FUNCTIONS.pop("root", None)
        FUNCTIONS.owners.pop("root", None)
        forget_results()

    FUNCTIONS["root"], FUNCTIONS.owners["root"] = ROOT, Plugin("rootfun", "rootfun")
    yield forget
    forget()
