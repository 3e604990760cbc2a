"""What may still begin in the time of an evolution."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from statistics import fmean

from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.discovery.ladder.rungs import Ladder, Rung
from attenergy.search.runs.config import RunConfig, RunRecord

#: Of the time, where finals are to follow; they have the rest.
EVOLUTION = 0.65
#: Latest runs of a rung by which the next one is judged.
_LATEST = 12


class EvolutionTime:
    """The time of an evolution, and how long runs of its rungs take.

    Args:
        budget: of everything; None where no clock decides anything.
        share: of what is left of it now, for the evolution.
        ladder: the rungs.
        records: of earlier sessions.
    """

    def __init__(
        self,
        budget: TimeBudget | None,
        share: float,
        ladder: Ladder,
        records: Iterable[RunRecord] = (),
    ) -> None:
        self._budget, self._share, self._ladder = budget, share, ladder
        self._seconds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_LATEST))
        self._begun = 0.0 if budget is None else budget.elapsed
        for record in records:
            self.learn(record)

    @property
    def end(self) -> float | None:
        """When the evolution is to end, in seconds from the beginning; None without a clock."""
        if self._budget is None:
            return None
        return self._begun + self._share * (self._budget.runs_end - self._begun)

    @property
    def left(self) -> float | None:
        """Seconds to that end; None without a clock."""
        if self._budget is None or self.end is None:
            return None
        return self.end - self._budget.elapsed

    @property
    def budget_left(self) -> float | None:
        """Seconds to the end of everything; None without a clock."""
        return None if self._budget is None else self._budget.left

    def learn(self, record: RunRecord) -> None:
        """Take in how long a run took."""
        rung = self._rung_of(record.config)
        if rung is not None and (seconds := record.cost.get("seconds", 0.0)) > 0:
            self._seconds[rung.name].append(seconds)

    def fits(self, rung: Rung) -> bool:
        """Whether a run on a rung is likely to end in time."""
        left = self.left
        if left is None:
            return True
        seconds = self._seconds.get(rung.name)
        return left > (fmean(seconds) if seconds else 0.0)

    def fits_run(self, config: RunConfig) -> bool:
        """Whether a run is likely to end in time."""
        rung = self._rung_of(config)
        return rung is None or self.fits(rung)

    def expected(self, begun: int) -> int | None:
        """How many candidates there may be in all; None without a clock, or before that is known.

        Args:
            begun: candidates of this session.
        """
        if self._budget is None or self.left is None or begun == 0:
            return None
        spent = self._budget.elapsed - self._begun
        return round(begun * max(0.0, self.left) / spent) if spent > 0 else None

    def _rung_of(self, config: RunConfig) -> Rung | None:
        where = (config.task, config.training.steps)
        return next((r for r in self._ladder.rungs if (r.task, r.steps) == where), None)
