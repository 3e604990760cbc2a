"""The time that a command may take, and where its minutes go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from attenergy.search.planning.search_budget import seconds_of
from attenergy.search.results import formats

#: Where the minutes of a search go, as shares of the whole; finals that need less leave theirs to
#: the trials, which have the rest. A comparison has no trials: its tuning and its seeds have both.
FINALS, REPORT = 0.40, 0.05
#: Of the finals, where trials pause: the search then knows more of the best by the time.
FINALS_AFTER_PAUSES = 0.20
#: Seconds for the report, however long a search is.
REPORT_AT_MOST = 60.0
#: The report takes about as long as the start of the command did, which tells how busy the machine
#: is; this share of the time at most.
START_AT_MOST = 0.15


def process_began() -> float:
    """Moment of `time.monotonic` at which this process was started; now where that is not known."""
    now = time.monotonic()
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        started = ticks / os.sysconf("SC_CLK_TCK")
        return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):  # no Linux
        return now


class TimeBudget:
    """Time that a command may take, from its start to its last line.

    Args:
        seconds: in all.
        text: as it was written (`30m`).
        begin: moment on the clock at which the command began; None for now.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        seconds: float,
        text: str = "",
        begin: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.text, self.clock = seconds, text or f"{seconds:g}s", clock
        self._begin = clock() if begin is None else begin
        self._start = 0.0
        self._whole = self.text

    @classmethod
    def of(cls, budget: str | None, begin: float | None = None) -> TimeBudget | None:
        """The time of a plan's budget; None where it has none.

        Args:
            budget: of the plan, `30m`.
            begin: moment of `time.monotonic` at which the command began.
        """
        seconds = seconds_of(budget)
        return None if seconds is None else cls(seconds, budget or "", begin)

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return self.clock() - self._begin

    @property
    def left(self) -> float:
        """Seconds to the end; negative after it."""
        return self.seconds - self.elapsed

    @property
    def runs_end(self) -> float:
        """When the last run is to have ended, in seconds from the beginning."""
        report = min(REPORT * self.seconds, REPORT_AT_MOST)
        return self.seconds - max(report, min(self._start, START_AT_MOST * self.seconds))

    def started(self) -> None:
        """The command has started all its processes, and the first run may begin."""
        self._start = max(self._start, self.elapsed)

    def part(self, share: float) -> TimeBudget:
        """A share of what is left, from now on, for one of several comparisons."""
        seconds = max(0.0, self.left) * share
        text = f"{formats.duration(seconds)} of {self._whole}"
        part = TimeBudget(seconds, text, clock=self.clock)
        part._start, part._whole = self._start, self._whole
        return part

    def since(self, elapsed: float, seconds: float) -> TimeBudget:
        """The time of another driver's budget, which began so long ago."""
        return TimeBudget(seconds, "", self.clock() - elapsed, self.clock)
