"""The state of a running search, from its events: counts, pace, the best so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener

_LAST = 5  # finished runs that stay on the screen
_LEAST_SHARE = 0.05  # share of a run that has to be done before its pace says anything


@dataclass
class Running:
    """A run that was handed to a worker, and how far it has come."""

    config: RunConfig
    step: int = 0
    steps: int = 0
    loss: float | None = None
    since: float | None = None  # when its first progress came
    before: float = 0.0  # share that was done before it went on from a checkpoint

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0

    def left(self, now: float) -> float:
        """Seconds to its end at its own pace; 0 before that is known."""
        done = self.share - self.before
        if self.since is None or done < _LEAST_SHARE:
            return 0.0
        return (1 - self.share) * (now - self.since) / done


class ProgressState(Listener):
    """The state of a search, updated by its events; every display shows it.

    Args:
        metric: the metric whose validation value is shown.
        baseline: the variant that the best is compared with.
        clock: seconds, for tests.
        task: its name, for the lines that say where the search stands.
        chance: what guessing scores, to hold scores against.
    """

    def __init__(
        self,
        metric: str,
        baseline: str = "softmax",
        clock: Callable[[], float] = time.monotonic,
        *,
        task: str = "",
        chance: float | None = None,
    ) -> None:
        self.metric, self.baseline, self.clock = metric, baseline, clock
        self.task, self.chance = task, chance
        self.name, self.done, self.total = "", 0, 0
        self.running: dict[str, Running] = {}
        self.best: RunRecord | None = None
        self.best_baseline: RunRecord | None = None
        self.last: deque[RunRecord] = deque(maxlen=_LAST)
        self.lost, self.pruned = 0, 0
        self._since, self._here = clock(), 0
        self._first: float | None = None
        self._end: float | None = None  # of a budget in time

    def phase(self, name: str, done: int, total: int) -> None:
        """Begin a phase; the clock and the counts start anew."""
        self.name, self.done, self.total = name, done, total
        self.lost, self.pruned = 0, 0
        self._since, self._here = self.clock(), 0
        self._first = None

    def forecast(self, total: int, left: float) -> None:
        """Take over how many runs the phase is likely to have, and when everything is to end."""
        self.total, self._end = total, self.clock() + left

    def started(self, config: RunConfig) -> None:
        """Add a running line."""
        self.running[config.run_key()] = Running(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Move a running line on; unknown keys are passed over."""
        run = self.running.get(key)
        if run is None:
            return
        if run.since is None or step < run.step:  # it begins, perhaps anew on another worker
            run.since, run.before = self.clock(), run.before if run.since is None else 0.0
        run.step, run.steps, run.loss = step, steps, loss
        if self._first is None:
            early = run.share < _LEAST_SHARE and not self._here
            self._first = run.since if early else self._since

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Know that a run had come so far before; unknown keys are passed over."""
        run = self.running.get(key)
        if run is not None:
            steps = run.config.last_step
            run.step = run.steps = 0
            run.since, run.before = None, min(1.0, step / steps) if steps else 0.0

    def finished(self, record: RunRecord) -> None:
        """Count a run, and remember it if it is the best so far.

        A run that never started here was made by another driver of the same study: it brings the
        search as much nearer to its end as one of our own.
        """
        self.running.pop(record.key, None)
        self.last.append(record)
        self.done += 1
        self._here += 1
        if record.status == "pruned":
            self.pruned += 1
        elif record.status != "complete":
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
        longest = self.best.config.last_step if self.best is not None else 0
        steps = record.config.last_step
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
        """Seconds to the end of the phase at the pace so far, running runs counted in part.

        The pace is counted from the first progress of the phase, so that the start of the workers
        does not belong to it. No phase ends before the slowest running run does.
        """
        now = self.clock()
        running = list(self.running.values())
        partial = sum(run.share for run in running)
        work = self._here + sum(max(0.0, run.share - run.before) for run in running)
        since = self._since if self._first is None else self._first
        if work < _LEAST_SHARE or now <= since:
            return None
        pace = (now - since) / work
        slowest = max((run.left(now) for run in running), default=0.0)
        return max(0.0, (self.total - self.done - partial) * pace, slowest)

    def time_left(self) -> str:
        """`12:05 of the budget left`, or `12:05 left` of the phase; empty if neither is known."""
        if self._end is not None:
            return f"{formats.duration(max(0.0, self._end - self.clock()))} of the budget left"
        left = self.left()
        return f"{formats.duration(left)} left" if left else ""

    def rate(self) -> float | None:
        """Finished runs per minute."""
        return 60 * self._here / self.elapsed() if self._here and self.elapsed() > 0 else None

    def outcome(self, record: RunRecord) -> str:
        """`valid 0.512`, or why there is none."""
        value = self.value(record)
        if value is not None:
            return f"valid {value:.3f}"
        reason = self.reason(record)
        return f"{record.status}: {reason}" if reason else record.status

    def reason(self, record: RunRecord) -> str:
        """Why a run ended as it did, in one line; empty if nothing is known."""
        return (record.reason.strip().splitlines() or [""])[-1]

    @property
    def title(self) -> str:
        """`raven-small, trials`: the task and the phase."""
        return f"{self.task}, {self.name}" if self.task and self.name else self.name

    def counts(self) -> list[str]:
        """`2 pruned`, `1 lost`: the runs of this phase without a score, if there are any."""
        numbers = ((self.lost, "lost"), (self.pruned, "pruned"))
        return [f"{number} {word}" for number, word in numbers if number]

    def standing(self) -> str:
        """The best so far beside the best of the baseline, and what chance gives."""
        best, base = self.value(self.best), self.value(self.best_baseline)
        if self.best is None or best is None:
            return "best so far: none yet"
        text = f"best so far: {self.best.config.variant} {best:.3f}"
        if self.best.config.variant == self.baseline:
            facts = ["the baseline"]
        elif base is None:
            facts = [f"baseline {self.baseline}: not yet"]
        else:
            facts = [f"baseline {self.baseline} {base:.3f}, {best - base:+.3f}"]
        facts += [] if self.chance is None else [f"chance {self.chance:.3f}"]
        return f"{text} ({'; '.join(facts)})"
