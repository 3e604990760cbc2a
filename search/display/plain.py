"""The plain display of a running search: one line for every finished run."""

from __future__ import annotations

import sys
from typing import TextIO

from attenergy.registry.printable import printable
from attenergy.search.display.live import settings_of, took
from attenergy.search.display.state import ProgressState
from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener


class PlainListener(Listener):
    """One line for every finished run, written at once; for logs and pipes."""

    def __init__(self, state: ProgressState, stream: TextIO | None = None) -> None:
        self.state, self.stream = state, stream

    def phase(self, name: str, done: int, total: int) -> None:
        """Say how much there is to do."""
        self.state.phase(name, done, total)
        known = f": {done} of {total} done" if total > 0 else ""  # else a clock ends it
        self._write(f"{self.state.title}{known}")

    def forecast(self, total: int, left: float) -> None:
        """Nothing is written."""
        self.state.forecast(total, left)

    def started(self, config: RunConfig) -> None:
        """Nothing is written."""
        self.state.started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Nothing is written."""
        self.state.progress(key, step, steps, loss)

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Nothing of its own: a message says it."""
        self.state.continued(key, step, curve)

    def finished(self, record: RunRecord) -> None:
        """Write the run's line."""
        state = self.state
        state.finished(record)
        place = f"{state.done:>{len(str(state.total))}}/{state.total}"
        about = formats.settings(settings_of(record.config))
        tail = f", {left}" if (left := state.time_left()) else ""
        self._write(
            f"[{place}] {record.config.variant} {about} seed={record.config.seed}: "
            f"{state.outcome(record)} ({took(record)}{tail}); {state.standing()}"
        )

    def message(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def _write(self, text: str) -> None:
        print(printable(text), file=self.stream or sys.stderr, flush=True)
