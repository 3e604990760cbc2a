"""One session under a budget in time: what may still begin, and what is likely to fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from attenergy.search.budgets.clock import FINALS, FINALS_AFTER_PAUSES, REPORT, TimeBudget
from attenergy.search.budgets.pace import Pace
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import SearchPlan
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
        length: of a run, in whole runs of trials.
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


@dataclass(frozen=True)
class PausePlan:
    """Trials that pause, and the best of them that go on to their ends.

    Attributes:
        share: of its steps, after which a trial pauses.
        survivors: share of the trials that go on.
        least: of them that go on in any case.
    """

    share: float
    survivors: float
    least: int

    @classmethod
    def of(cls, plan: SearchPlan, reference: RunConfig) -> PausePlan | None:
        """That of a plan; None if its trials are whole.

        Args:
            plan: of a search.
            reference: a whole run of its baseline.
        """
        paused = reference.paused(plan.pause) if plan.pause else reference
        if paused.pause is None:
            return None
        share = paused.pause / reference.training.steps
        return cls(share, plan.survivors, plan.finalists + 1)

    def seconds(self, trials: int, each: float, slots: int) -> float:
        """About how long it takes to train the best of so many trials to their ends.

        Args:
            trials: that paused.
            each: seconds that one of them took.
            slots: runs at a time.
        """
        runs = min(trials, max(self.least, math.ceil(self.survivors * trials)))
        return math.ceil(runs / slots) * each * (1 / self.share - 1)


class TimedSession:
    """What may begin in the time that is left.

    A trial begins if it is likely to end in the time of the trials, a round of finals if all of it
    is likely to end before the report, and a run of a round that has begun if it is likely to end
    in the time of the whole command. Of what has begun, nothing is ended for the sake of the time
    but trials that would leave the finals none. Where trials pause, their time is also that in
    which the best of them go on.

    Args:
        budget: the time, and the clock.
        pace: of the runs.
        slots: runs at a time.
        finals: that time is kept for.
        limit: trials in all, if there is another limit than the time.
        pauses: of the trials, if they pause.
        recorded: trials of earlier sessions, the best of which have gone on.
    """

    def __init__(
        self,
        budget: TimeBudget,
        pace: Pace,
        slots: int,
        finals: FinalsPlan = NO_FINALS,
        limit: int | None = None,
        pauses: PausePlan | None = None,
        recorded: int = 0,
    ) -> None:
        self.budget, self.pace, self.slots, self.finals = budget, pace, max(1, slots), finals
        self._limit, self.pauses, self._recorded = limit, pauses, recorded
        self._block = budget.runs_end  # seconds that trials and finals divide between them

    def trial(self, config: RunConfig) -> RunConfig:
        """A run as a trial: its beginning where trials pause."""
        return config if self.pauses is None else config.paused(self.pauses.share)

    def next_block(self, recorded: int = 0) -> None:
        """Divide what is left between trials and finals once more.

        Args:
            recorded: trials until now, the best of which have gone on.
        """
        self._block = self.budget.runs_end - self.budget.elapsed
        self._recorded = recorded

    @property
    def trials_end(self) -> float:
        """When the last trial is to have ended, in seconds from the beginning."""
        finals = FINALS if self.pauses is None else FINALS_AFTER_PAUSES
        share = self._block * finals / (1 - REPORT)
        wanted = self.finals.budget.amount if self.finals.budget.measure == "seconds" else math.inf
        if math.isfinite(self.finals.most):
            wanted = self.final_seconds(math.ceil(self.finals.most))
        return self.budget.runs_end - max(min(share, wanted), self._least_finals)

    @property
    def final_run(self) -> float:
        """About how long a run of finals takes."""
        whole = 1.0 if self.pauses is None else 1 / self.pauses.share
        return whole * self.finals.length * self.pace.trial

    def final_seconds(self, runs: int) -> float:
        """About how long so many runs of finals take."""
        return math.ceil(runs / self.slots) * self.final_run

    @property
    def _least_finals(self) -> float:
        return self.final_seconds(self.finals.least)

    def begins_trial(self, trials: int) -> bool:
        """Whether another trial is to begin, as far as the time goes.

        Args:
            trials: that have ended or are under way; the first two may use the time of the finals.
        """
        end, each = self.trials_end, self.pace.trial
        if trials < LEAST_TRIALS:
            end = self.budget.runs_end - self._least_finals
        if self.pauses is not None:
            end -= self.pauses.seconds(trials + 1 - self._recorded, each, self.slots)
        return self.budget.elapsed + each <= end

    def begins_survivor(self, config: RunConfig) -> bool:
        """Whether a run that has paused is to go on; the finals need some time after it."""
        share = 0.0 if self.pauses is None else self.pauses.share
        end = self.budget.elapsed + (1 - share) * self.pace.expected(config)
        return end <= self.budget.runs_end - self._least_finals

    def expected_trials(self, ended: int, running: int) -> int:
        """How many trials there will be, as far as one can tell."""
        left, more = max(0.0, self.trials_end - self.budget.elapsed), 0
        if each := self.pace.trial:
            if self.pauses is not None:
                each *= 1 + self.pauses.survivors * (1 / self.pauses.share - 1)
            more = max(0, math.floor(left * self.slots / each - running / 2))
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
