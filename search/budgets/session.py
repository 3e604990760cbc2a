"""One session under a budget in time: what may still begin, and what is likely to fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from attenergy.search.budgets.clock import FINALS, TRIALS, TimeBudget
from attenergy.search.budgets.pace import Pace
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.runs.config import RunConfig

#: The least that says anything: the baseline and one variant, over two seeds.
LEAST_TRIALS, LEAST_CONTENDERS, LEAST_SEEDS = 2, 2, 2


@dataclass(frozen=True)
class FinalsPlan:
    """What is known of the finals before there are any.

    Attributes:
        contenders: the baseline included; 0 for no finals.
        seeds: of each in the first round.
        budget: of the race.
        length: of a run, in runs of trials.
        fixed: whether no contender can be left out.
    """

    contenders: int
    seeds: int
    budget: FinalBudget
    length: float = 1.0
    fixed: bool = False

    @property
    def least(self) -> int:
        """Runs below which finals say nothing."""
        contenders = self.contenders if self.fixed else min(self.contenders, LEAST_CONTENDERS)
        return contenders * min(self.seeds, LEAST_SEEDS)

    @property
    def most(self) -> float:
        """Runs that they take at most; without end where time is all that limits them."""
        amount, measure = self.budget.amount, self.budget.measure
        wanted = {"runs": amount, "seeds": amount * self.contenders, "none": 0.0}
        return max(self.contenders * self.seeds, wanted.get(measure, math.inf))


NO_FINALS = FinalsPlan(0, 0, FinalBudget("none"))


class TimedSession:
    """What may begin in the time that is left.

    A trial begins if it is likely to end in the time of the trials, a round of finals if all of it
    is likely to end before the report, and a run of a round that has begun if it is likely to end
    in the time of the whole command. Of what has begun, nothing is ended for the sake of the time
    but trials that would leave the finals none.

    Args:
        budget: the time, and the clock.
        pace: of the runs.
        slots: runs at a time.
        finals: that time is kept for.
        limit: trials in all, if there is another limit than the time.
    """

    def __init__(
        self,
        budget: TimeBudget,
        pace: Pace,
        slots: int,
        finals: FinalsPlan = NO_FINALS,
        limit: int | None = None,
    ) -> None:
        self.budget, self.pace, self.slots, self.finals = budget, pace, max(1, slots), finals
        self._limit = limit
        self._block = budget.runs_end  # seconds that trials and finals divide between them

    def next_block(self) -> None:
        """Divide what is left between trials and finals once more."""
        self._block = self.budget.runs_end - self.budget.elapsed

    @property
    def trials_end(self) -> float:
        """When the last trial is to have ended, in seconds from the beginning."""
        share = self._block * FINALS / (TRIALS + FINALS)
        wanted = self.finals.budget.amount if self.finals.budget.measure == "seconds" else math.inf
        if math.isfinite(self.finals.most):
            wanted = self.final_seconds(math.ceil(self.finals.most))
        return self.budget.runs_end - max(min(share, wanted), self._least_finals)

    def final_seconds(self, runs: int) -> float:
        """About how long so many runs of finals take."""
        return math.ceil(runs / self.slots) * self.finals.length * self.pace.trial

    @property
    def _least_finals(self) -> float:
        return self.final_seconds(self.finals.least)

    def begins_trial(self, trials: int) -> bool:
        """Whether another trial is to begin, as far as the time goes.

        Args:
            trials: that have ended or are under way; the first two may use the time of the finals.
        """
        end = self.trials_end
        if trials < LEAST_TRIALS:
            end = self.budget.runs_end - self._least_finals
        return self.budget.elapsed + self.pace.trial <= end

    def expected_trials(self, ended: int, running: int) -> int:
        """How many trials there will be, as far as one can tell."""
        left, more = max(0.0, self.trials_end - self.budget.elapsed), 0
        if self.pace.trial:
            more = max(0, math.floor(left * self.slots / self.pace.trial - running / 2))
        total = max(1, ended + running + more)
        return total if self._limit is None else max(ended, min(total, self._limit))

    def too_long(self, left: float) -> bool:
        """Whether a trial that takes so many seconds more would leave no time for finals."""
        elapsed = self.budget.elapsed
        last = self.budget.runs_end - self._least_finals
        return elapsed > self.trials_end and elapsed + left > last

    def begins_run(self, config: RunConfig) -> bool:
        """Whether a run of a phase that has begun is to begin."""
        return self.pace.expected(config) <= self.budget.left

    def fits(self, configs: Sequence[RunConfig]) -> bool:
        """Whether these runs are likely to end before the report, all slots being free."""
        end = self.budget.elapsed + self.pace.together(configs, self.slots)
        return end <= self.budget.runs_end

    def affordable(self, configs: Sequence[RunConfig]) -> int:
        """How many runs like these are likely to end before the report."""
        left = self.budget.runs_end - self.budget.elapsed
        mean = fmean(self.pace.expected(config) for config in configs)
        return max(0, math.floor(left / max(mean, 1e-3)) * self.slots)
