"""The displays of a running discovery, which counts candidates instead of runs."""

from __future__ import annotations

import math
from typing import TextIO

from attenergy.search.display.live import LiveListener
from attenergy.search.display.plain import PlainListener
from attenergy.search.display.progress import SafeListener, shows_plain
from attenergy.search.display.state import ProgressState
from attenergy.search.runs.config import RunRecord

_BETWEEN_LINES = 5.0  # seconds


class DiscoveryState(ProgressState):
    """The state of a running discovery: candidates that have ended, and where it stands."""

    text = ""

    def standing_is(self, done: int, total: int, text: str) -> None:
        """Take over how far it has come."""
        self._here += done - self.done
        self.done, self.total, self.text = done, total, text

    def forecast(self, total: int, left: float) -> None:
        """Take over when the evolution is to end."""
        self._end = self.clock() + left

    def finished(self, record: RunRecord) -> None:
        """Show a run as one of the last; what is counted are candidates."""
        self.running.pop(record.key, None)
        self.last.append(record)

    def value(self, record: RunRecord | None) -> float | None:
        """The first validation metric of a finished run, which may be on any rung."""
        if record is None or record.status != "complete":
            return None
        return next(iter(record.metrics.get("valid", {}).values()), None)

    def standing(self) -> str:
        """The best of every arm, and what was rejected."""
        return self.text or "no candidate yet"


class PlainDiscoveryListener(PlainListener):
    """A line now and then for where a discovery stands; for logs and pipes."""

    def __init__(self, state: DiscoveryState, stream: TextIO | None = None) -> None:
        super().__init__(state, stream)
        self._discovery, self._written = state, -math.inf

    def reached(self, done: int, total: int, text: str) -> None:
        """Write it, unless it was written a moment ago."""
        state = self._discovery
        state.standing_is(done, total, text)
        now = state.clock()
        if now - self._written < _BETWEEN_LINES and done < total:
            return
        self._written = now
        tail = f" ({left})" if (left := state.time_left()) else ""
        place = f"{done}/{total}" if total > 0 else f"{done}"
        self._write(f"[{place}]{tail} {text}")

    def finished(self, record: RunRecord) -> None:
        """Nothing is written: a candidate has many runs."""
        self.state.finished(record)


class LiveDiscoveryListener(LiveListener):
    """A display that redraws itself in place while a discovery runs."""

    def __init__(self, state: DiscoveryState) -> None:
        super().__init__(state)
        self._discovery = state

    def reached(self, done: int, total: int, text: str) -> None:
        """Change the bar, and the words below it."""
        self._discovery.standing_is(done, total, text)


def make_discovery_listener(plain: bool | None, task: str) -> SafeListener:
    """The display of a discovery, as `make_listener` chooses it.

    Args:
        plain: force plain lines (True) or the live display (False); None chooses.
        task: what stands at the beginning of its title.
    """
    state = DiscoveryState("", task=task)
    plainly = shows_plain(plain)
    return SafeListener(PlainDiscoveryListener(state) if plainly else LiveDiscoveryListener(state))
