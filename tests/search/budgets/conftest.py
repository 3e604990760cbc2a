"""A clock that goes by itself, and an executor whose runs take as long as a test says."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose
from tests.search.conftest import Watcher

Seconds = Callable[[RunConfig, float], float]
_LOOKS = 4  # evaluations of every run


@dataclass
class Clock:
    """Seconds, which pass when the executor says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class PlantedExecutor:
    """Runs that take as long as planted, so many at a time, on a clock of their own.

    One that pauses takes its share of that, and the whole run then the rest.

    Attributes:
        seconds: (run, moment) -> seconds that the whole run takes.
        score: of a run.
        start: seconds that the first runs wait for their process.
    """

    clock: Clock
    seconds: Seconds
    slots: int = 2
    score: Callable[[RunConfig], float] = lambda config: 0.5
    start: float = 0.0
    runs: list[RunRecord] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, int, RunConfig, Purpose, float]] = []
        self._order = count()
        self._running = 0

    @property
    def free(self) -> int:
        return self.slots - self._running

    def submit(self, config: RunConfig, purpose: Purpose) -> None:
        assert self.free
        self._running += 1
        took = self.seconds(config, self.clock.now) * (1 - self._before(config))
        took *= config.last_step / max(1, config.training.steps) if config.pause else 1
        if config.seconds is not None:  # a short run
            train = max(config.seconds, self._per_step(config))
            took = self.start + train + 0.1 * took
        elif config.seed >= 2**20:  # the first of a process
            took = 0.5
        begin = self.clock.now
        for look in range(1, _LOOKS + 1):
            event = (begin + took * look / _LOOKS, next(self._order), look, config, purpose, took)
            heapq.heappush(self._events, event)

    def restart(self) -> None:
        """Forget what is under way, as the executor of another process does."""
        self._running, self._events = 0, []

    def stop(self, key: str, reason: str) -> None:
        self.stopped[key] = reason

    def wait(self, listener: Listener) -> RunRecord:
        while True:
            moment, _, look, config, purpose, took = heapq.heappop(self._events)
            key, steps = config.run_key(), config.last_step
            self.clock.now = max(self.clock.now, moment)
            listener.progress(key, steps * look // _LOOKS, steps, 1.0)
            listener.evaluated(key, {"step": steps * look // _LOOKS, "accuracy": 0.5})
            if look < _LOOKS and key not in self.stopped:
                continue
            self._events = [event for event in self._events if event[3] is not config]
            heapq.heapify(self._events)
            self._running -= 1
            record = self._record(config, purpose, took * look / _LOOKS, look)
            self.runs.append(record)
            return record

    def _record(self, config: RunConfig, purpose: Purpose, took: float, look: int) -> RunRecord:
        steps = config.last_step * look // _LOOKS
        before = self._before(config)
        took = took / (1 - before)  # with what the beginning of the run took
        train, step = 0.9 * took, self._per_step(config)
        if config.seconds is not None:  # whole steps
            train = step * math.ceil(config.seconds / step)
        return RunRecord(
            key=config.run_key(),
            config_hash=config.config_hash(),
            config=config,
            status="complete" if look == _LOOKS else "pruned",
            reason=self.stopped.get(config.run_key(), ""),
            metrics={"valid": {"accuracy": self.score(config), "loss": 0.1}},
            curve=[{"step": steps, "accuracy": 0.5}],
            cost={
                "seconds": took,
                "train_seconds": train,
                "ms_per_step": 1000 * step,
                "forward_flops": 1.0,
            },
            purpose=purpose,
            continued=(round(before * config.training.steps),) if before else (),
        )

    def _before(self, config: RunConfig) -> float:
        """The share of the run that was done when it paused."""
        paused = [r.config for r in self.runs if r.config.pause and r.config.whole() == config]
        return max((c.last_step / c.training.steps for c in paused), default=0.0)

    def _per_step(self, config: RunConfig) -> float:
        return 0.9 * self.seconds(config, self.clock.now) / max(1, config.training.steps)

    def __enter__(self) -> PlantedExecutor:
        return self

    def __exit__(self, *_: object) -> None: ...


class ForecastWatcher(Watcher):
    """One that keeps what it hears of the future, too."""

    def __init__(self) -> None:
        super().__init__()
        self.forecasts: list[tuple[str, int]] = []

    def forecast(self, total: int, left: float) -> None:
        self.forecasts.append((self.phases[-1][0], total))


@pytest.fixture
def watcher() -> ForecastWatcher:
    return ForecastWatcher()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def planted(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlantedExecutor]:
    """Let searches and comparisons have an executor whose runs take as long as planted."""

    def make(seconds: Seconds | float, **options: Any) -> PlantedExecutor:
        took = seconds if callable(seconds) else lambda config, moment: float(seconds)
        executor = PlantedExecutor(clock, took, **options)
        for module in ("study.run", "comparison.compare"):
            monkeypatch.setattr(
                f"attenergy.search.{module}.make_executor", lambda resources, folder: executor
            )
        return executor

    return make
