from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attenergy.search.results.leaderboard import Leaderboard, leaderboard


@dataclass
class OneTask:
    """As much of a task as a page reads."""

    metric: str = "accuracy"
    name: str = "known"
    headline: str = "test"
    splits: tuple[str, ...] = ("train", "valid", "test", "ood")
    chance: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.125})

    def ceiling(self, split: str) -> None:
        return None


@dataclass
class OneStudy:
    """A study made of records by hand."""

    folder: Path
    records: Sequence[Any]
    plan: Any = None
    task: OneTask = field(default_factory=OneTask)
    baseline: str = "softmax"

    def leaderboard(self) -> Leaderboard:
        return leaderboard(self.records, self.task, baseline=self.baseline)  # type: ignore[arg-type]


@pytest.fixture
def one_study() -> type[OneStudy]:
    return OneStudy
