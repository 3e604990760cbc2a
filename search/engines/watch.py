"""How a driver watches its workers: are they alive, and does no run take more than it may?"""

from __future__ import annotations

from pathlib import Path

from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.limits import Limits, silent, stuck, timed_out, too_much_memory

_FLOOR = 600.0  # s without a training step that every run may take
_UNKNOWN = 3600.0  # s, as long as no run has finished
_TIMES = 10.0  # as long as the longest run that has finished
_LONGEST_PASS = 1.0  # s; what is longer between two looks is a pause of whoever looks


class Learned:
    """How long a run may go without a training step, where nobody has said how long it may take.

    Ten times as long as the longest finished run took, scaled to its number of steps, and 10
    minutes at least; an hour as long as no run has finished.
    """

    def __init__(self) -> None:
        self._rate = 0.0  # seconds for one step
        self._any = False

    def finished(self, record: RunRecord) -> None:
        """Learn from a run that came to its end."""
        if record.status == "complete":
            self._any = True
            steps = max(1, record.config.last_step)
            self._rate = max(self._rate, record.cost.get("seconds", 0.0) / steps)

    def allowed(self, config: RunConfig) -> float:
        """Seconds without a step that a run may take."""
        if not self._any:
            return _UNKNOWN
        return max(_FLOOR, _TIMES * self._rate * max(1, config.last_step))


class Watch:
    """Follows one worker from the driver; the driver's own pauses do not count.

    A worker that is merely short of processor time is not taken for silent where its use of the
    processor can be read (Linux, this machine): it must have used none.

    Args:
        limits: of the runs.
        what: names the worker in a reason.
    """

    def __init__(self, limits: Limits, what: str) -> None:
        self._limits, self._what = limits, what
        self._silent = self._age = self._still = 0.0
        self._busy: float | None = None

    def begin(self, seconds: float = 0.0) -> None:
        """A run begins, or goes on after so many seconds that it took elsewhere."""
        self._age, self._still = seconds, 0.0

    def sign_of_life(self) -> None:
        """The worker gave a sign of life."""
        self._silent, self._busy = 0.0, None

    def progressed(self) -> None:
        """The run has come further."""
        self._still = 0.0
        self.sign_of_life()

    def add_time(self, seconds: float) -> None:
        """So much time has gone by since the last look."""
        step = min(seconds, _LONGEST_PASS)
        self._silent, self._age, self._still = (
            self._silent + step,
            self._age + step,
            self._still + step,
        )

    def death(self, pid: int | None, *, ready: bool = True) -> str:
        """Why the worker counts as dead; empty if it does not.

        Args:
            pid: of its process on this machine.
            ready: whether it has started; starting may take three times as long.
        """
        limit = self._limits.silence * (1 if ready else 3)
        if self._silent > limit / 2 and self._busy is None:
            self._busy = processor_seconds(pid)
        if self._silent <= limit:
            return ""
        busy = processor_seconds(pid)
        if busy is not None and self._busy is not None and busy > self._busy:
            self._silent, self._busy = limit / 2, busy  # slow, but alive
            return ""
        return silent(self._what, self._silent)

    def excess(self, used: float, allowed: float) -> str:
        """Of what the run has taken too much; empty if of nothing.

        A run sees to its seconds itself, and keeps what it has; only if it does not is it killed.

        Args:
            used: bytes that its process uses.
            allowed: seconds that it may go without a step.
        """
        limits = self._limits
        if limits.memory is not None and limits.too_large(used):
            return too_much_memory(used, limits.memory)
        if limits.seconds is not None:
            grace = 2.0 + 0.05 * limits.seconds
            return timed_out(limits.seconds) if self._age > limits.seconds + grace else ""
        return stuck(self._still) if self._still > allowed else ""


def processor_seconds(pid: int | None) -> float | None:
    """Processor time that a process of this machine has used; None if that is not known."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return float(after[11]) + float(after[12])
    except (OSError, IndexError):
        return None
