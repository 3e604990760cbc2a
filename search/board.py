"""The state of a running search, told by its events: counts, pace, the best so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from attenergy.search.config import RunConfig, RunRecord

_LAST = 5  # finished runs that stay on the screen


class Board:
    """The state of a search as told by its events; every display shows it.

    Args:
        metric: the metric whose validation value is shown.
        baseline: the variant that the best is compared with.
        clock: seconds, for tests.
    """

    def __init__(
        self, metric: str, baseline: str = "softmax", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.metric, self.baseline, self.clock = metric, baseline, clock
        self.name, self.done, self.total = "", 0, 0
        self.running: dict[str, tuple[RunConfig, int, int, float | None]] = {}
        self.best: RunRecord | None = None
        self.best_baseline: RunRecord | None = None
        self.last: deque[RunRecord] = deque(maxlen=_LAST)
        self.lost = 0
        self._since, self._here = clock(), 0

    def phase(self, name: str, done: int, total: int) -> None:
        """Begin a phase; the clock starts anew."""
        self.name, self.done, self.total = name, done, total
        self._since, self._here = self.clock(), 0

    def started(self, config: RunConfig) -> None:
        """Add a running line."""
        self.running[config.run_key()] = (config, 0, 0, None)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Move a running line on; unknown keys are passed over."""
        if key in self.running:
            self.running[key] = (self.running[key][0], step, steps, loss)

    def finished(self, record: RunRecord) -> None:
        """Count a run and keep it if it is the best so far."""
        self.running.pop(record.key, None)
        self.last.append(record)
        self.done += 1
        self._here += 1
        if record.status not in ("complete", "pruned"):
            self.lost += 1
        self.remember(record)

    def remember(self, record: RunRecord) -> None:
        """Let a run, also one of an earlier session, compete for the best so far.

        Only runs trained for equally long are compared: the first that is trained longer, a
        finalist, begins the contest anew.
        """
        value = self.value(record)
        if value is None:
            return
        longest = self.best.config.training.steps if self.best is not None else 0
        steps = record.config.training.steps
        if steps < longest:
            return
        if steps > longest:
            self.best = self.best_baseline = None
        if value > (self.value(self.best) or float("-inf")):
            self.best = record
        is_baseline = record.config.variant == self.baseline
        if is_baseline and value > (self.value(self.best_baseline) or float("-inf")):
            self.best_baseline = record

    def value(self, record: RunRecord | None) -> float | None:
        """The validation score of a finished run."""
        if record is None or record.status != "complete":
            return None
        return record.metrics.get("valid", {}).get(self.metric)

    def elapsed(self) -> float:
        """Seconds since the phase began."""
        return self.clock() - self._since

    def left(self) -> float | None:
        """Seconds to the end of the phase at the pace so far, running runs counted in part."""
        partial = sum(step / steps for _, step, steps, _ in self.running.values() if steps)
        work = self._here + partial
        if work <= 0 or self.elapsed() <= 0:
            return None
        return max(0.0, self.total - self.done - partial) * self.elapsed() / work

    def rate(self) -> float | None:
        """Finished runs per minute."""
        return 60 * self._here / self.elapsed() if self._here and self.elapsed() > 0 else None

    def outcome(self, record: RunRecord) -> str:
        """`valid 0.512`, or why there is none."""
        value = self.value(record)
        if value is not None:
            return f"valid {value:.3f}"
        reason = record.reason.splitlines()[-1] if record.reason else ""
        return f"{record.status}: {reason}" if reason else record.status

    def standing(self) -> str:
        """The best so far beside the best of the baseline."""
        best, base = self.value(self.best), self.value(self.best_baseline)
        if self.best is None or best is None:
            return "best so far: none yet"
        text = f"best so far: {self.best.config.variant} {best:.3f}"
        if self.best.config.variant == self.baseline:
            return f"{text} (the baseline)"
        if base is None:
            return f"{text} (baseline {self.baseline}: not yet)"
        return f"{text} (baseline {self.baseline} {base:.3f}, {best - base:+.3f})"
