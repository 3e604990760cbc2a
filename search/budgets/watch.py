"""The listener of a session under a budget in time: learns the pace, writes what was done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attenergy.registry import AttenergyError
from attenergy.search.budgets.session import LEAST_TRIALS, TimedSession
from attenergy.search.budgets.sessions import Session, Sessions, write_session
from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener

_BETWEEN_WRITES = 10.0  # seconds
TRIALS_PHASE = "trials"
#: Runs are waited for if with them, and the report, the command is likely to end by so much of the
#: time; others are put aside.
LATEST = 1.05
TOO_LONG = "the time of the trials was over, and with its rest the finals would have had none"


class TimeOver(AttenergyError, RuntimeError):
    """The time of the command is over, and runs are under way that would take too long yet.

    They are left as a killed driver leaves them: recorded as nothing, with their checkpoints.
    """

    topic = "budget"

    def __init__(self, runs: int) -> None:
        super().__init__(f"the time is over, with {formats.counted(runs, 'run')} under way")


class BudgetListener(ForwardingListener):
    """Forwards every event, learns how long runs take, and ends trials that take too long.

    Args:
        inner: receives everything, and now and then how much time is left.
        session: under the budget.
        stop: called with the key of a run that is to end, and the reason.
        folder: of the study, where `budget.json` is.
        before: its sessions so far.
        entry: this one.
    """

    def __init__(
        self,
        inner: Listener,
        session: TimedSession,
        stop: Callable[[str, str], None],
        folder: Path,
        before: Sessions,
        entry: Session,
    ) -> None:
        super().__init__(inner)
        self._session, self._stop = session, stop
        self._folder, self._before, self.entry = folder, before, entry
        self._phase, self._done, self._total = "", 0, 0
        self._shares: dict[str, float] = {}  # of running runs, how much is done
        self._begun: dict[str, tuple[float, float]] = {}  # moment, and share that was done by then
        self._steps: dict[str, int] = {}
        self._trials_complete = 0
        self._written = -_BETWEEN_WRITES

    def phase(self, name: str, done: int, total: int) -> None:
        """Count from here."""
        self._phase, self._done, self._total = name, done, total
        super().phase(name, done, total)
        self._tell()

    def started(self, config: RunConfig) -> None:
        """The clock of a run begins."""
        key = config.run_key()
        self._session.pace.begin(config)
        self._steps[key] = config.last_step
        self._shares[key], self._begun[key] = 0.0, (self._session.budget.elapsed, 0.0)
        super().started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """See how far a run has come, and whether it can be waited for.

        Raises:
            TimeOver: it cannot.
        """
        if key in self._shares and steps:
            self._shares[key] = min(1.0, step / steps)
        super().progress(key, step, steps, loss)
        budget = self._session.budget
        if budget.elapsed > budget.runs_end:  # what comes after the runs takes time, too
            report = budget.seconds - budget.runs_end
            latest = LATEST * budget.seconds - report - budget.elapsed
            if any(self._left(run) > latest for run in self._shares):
                self._put_aside()

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Count its time from here."""
        if key in self._begun and (steps := self._steps.get(key)):
            share = min(1.0, step / steps)
            self._shares[key], self._begun[key] = share, (self._session.budget.elapsed, share)
        super().continued(key, step, curve)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """End a trial that would leave the finals no time, if there is another one to judge."""
        super().evaluated(key, point)
        left = self._left(key)
        if self._phase != TRIALS_PHASE or math.isinf(left):
            return
        if self._trials_complete >= LEAST_TRIALS and self._session.too_long(left):
            self._stop(key, TOO_LONG)

    def finished(self, record: RunRecord) -> None:
        """Learn from it."""
        self._session.pace.end(record)
        self._shares.pop(record.key, None)
        self._steps.pop(record.key, None)
        self._begun.pop(record.key, None)
        self._done += 1
        trial = record.purpose == "trial"
        self._trials_complete += trial and record.status == "complete"
        survives = self._session.pauses is not None and self._phase != TRIALS_PHASE
        self._count("finals" if not trial else "survivors" if survives else "trials")
        super().finished(record)
        self._tell()
        if self._session.budget.elapsed - self._written >= _BETWEEN_WRITES:
            self.write()

    def _count(self, name: str) -> None:
        self.entry = self.entry.model_copy(update={name: getattr(self.entry, name) + 1})

    def write(self, ended: str = "") -> None:
        """Write the session down.

        Args:
            ended: why it has ended, if it has.
        """
        self._written = spent = self._session.budget.elapsed
        self.entry = self.entry.model_copy(update={"spent": max(0.0, spent), "ended": ended})
        write_session(self._folder, self._before, self.entry)

    def _left(self, key: str) -> float:
        """Seconds that a run will take yet at its own pace; without end before that is known."""
        share, (begun, before) = self._shares.get(key, 0.0), self._begun.get(key, (0.0, 1.0))
        if share <= before:
            return math.inf
        return (1 - share) / (share - before) * (self._session.budget.elapsed - begun)

    def _put_aside(self) -> None:
        runs = len(self._shares)
        self.entry = self.entry.model_copy(update={"aside": runs})
        raise TimeOver(runs)

    def _tell(self) -> None:
        total = self._total
        if self._phase == TRIALS_PHASE and self._session.pace.known:
            total = self._session.expected_trials(self._done, len(self._shares))
        self.forecast(total, self._session.budget.left)


@contextmanager
def written_down(listener: BudgetListener) -> Iterator[None]:
    """Write a session when it begins and when it ends, however that is."""
    listener.write()
    try:
        yield
    except KeyboardInterrupt:
        listener.write("interrupted")
        raise
    except BaseException as error:
        listener.write(f"ended by {type(error).__name__}")
        raise
    listener.write("complete")
    listener.message(listener.entry.sentence)
