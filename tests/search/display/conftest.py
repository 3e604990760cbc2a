from __future__ import annotations

from collections.abc import Callable

import pytest

from attenergy.search.display.state import ProgressState


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Callable[[], float]) -> ProgressState:
    state = ProgressState("accuracy", clock=clock)
    state.phase("trials", 2, 10)
    return state
