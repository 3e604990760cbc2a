"""A search under a budget in time: what fits, who shares the time, and finals that fit."""

from __future__ import annotations

import time
from collections.abc import Callable

import optuna

from attenergy.search.budgets.calibration import measured_steps
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.forecast import what_fits
from attenergy.search.budgets.pace import Pace
from attenergy.search.budgets.session import (
    LEAST_TRIALS,
    FinalsPlan,
    PausePlan,
    TimedSession,
)
from attenergy.search.budgets.timed import Timed
from attenergy.search.engines.base import Executor
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.results import formats
from attenergy.search.results.finals import Finals
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.study_lock import StudyLock

#: User attribute of a study whose drivers share a time: when it began, and its seconds.
_SHARED = "time_budget"
#: A search whose finals are decided goes on with trials while so much of its time is left.
_WORTH_GOING_ON = 0.10


class TimedSearch(Timed):
    """One session of a search under a budget in time."""

    def share(self, study: optuna.Study, lock: StudyLock, listener: Listener) -> None:
        """Let drivers that join have one time, that of the first of them.

        A time that is over is begun anew by whoever comes then.
        """
        session, moment = self.session, time.time()
        with lock.exclusive():
            begun, seconds = study.user_attrs.get(_SHARED, (0.0, 0.0))
            shared = session.budget.since(max(0.0, moment - begun), seconds)
            if shared.elapsed >= shared.runs_end:
                begun = moment - session.budget.elapsed
                study.set_user_attr(_SHARED, (begun, session.budget.seconds))
                return
        session.budget = shared
        session.next_block()
        left = formats.duration(max(0.0, shared.left))
        listener.message(f"other drivers began before: {left} of their time is left for all")

    def goes_on(self, plan: SearchPlan, ended: int) -> bool:
        """Whether time is left for other trials after the finals; it is then divided anew.

        Args:
            plan: of the search.
            ended: trials that have.
        """
        budget, most = self.session.budget, plan.trials
        if plan.join or not plan.finalists or (most is not None and ended >= most):
            return False
        if budget.left < _WORTH_GOING_ON * budget.seconds:
            return False
        self.session.next_block(ended)
        return self.session.begins_trial(max(ended, LEAST_TRIALS))

    def finals_that_fit(
        self,
        plan: SearchPlan,
        make: Callable[[int, int], Finals],
        store: RunStore,
        listener: Listener,
    ) -> Finals | None:
        """Finals whose first round fits, of as many contenders and seeds as do; None if none do.

        Seeds are dearer than contenders: these are left out first. Drivers that join have the same
        finals, those of the plan.

        Args:
            plan: of the search.
            make: makes them, of so many finalists with so many first seeds.
            store: of the runs that are recorded.
            listener: is told where they are smaller than planned.
        """
        if plan.join:
            return make(plan.finalists, plan.seeds)
        for seeds in range(plan.seeds, 0, -1):
            for finalists in range(plan.finalists, 0, -1):
                finals = make(finalists, seeds)
                runs = [c for c in finals.first_round if store.get(c.run_key()) is None]
                if self.session.fits(runs):
                    if (finalists, seeds) != (plan.finalists, plan.seeds):
                        others = len(finals.first_round) // seeds - 1
                        listener.message(_smaller(plan, others, seeds))
                    return finals
        listener.message("no time is left for finals: give more with --resume --budget")
        return None


def begin(
    plan: SearchPlan,
    space: Space,
    equal: EqualTraining,
    budget: TimeBudget,
    executor: Executor,
    listener: Listener,
) -> TimedSearch:
    """Find out what fits, say so, and shorten the runs of a new search if nothing else fits.

    Args:
        plan: of the search.
        space: that is searched.
        equal: gives every run its length.
        budget: the time.
        executor: does the runs.
        listener: is told what fits.

    Raises:
        ValueError: the time is too short for anything that says something.
    """
    budget.started()
    store = RunStore(plan.folder)
    records, reference = store.all(), equal.fit(space.reference())
    steps = reference.training.steps
    finals = FinalsPlan(
        contenders=min(plan.finalists, len(space.variants) - 1 or 1) + 1 if plan.finalists else 0,
        seeds=plan.seeds,
        budget=FinalBudget.read(plan.final_budget),
        length=(plan.final_steps or steps) / steps if steps else 1.0,
    )
    pauses = PausePlan.of(plan, reference)
    pace = Pace(budget.clock, records, pauses=pauses is not None)
    trials = sum(r.purpose == "trial" and pace.pauses == bool(r.config.pause) for r in records)
    session = TimedSession(budget, pace, executor.free, finals, plan.trials, pauses, trials)
    fitting = measured_steps(
        session,
        reference,
        executor,
        store,
        listener,
        trials=min(LEAST_TRIALS, len(space.variants), plan.trials or LEAST_TRIALS),
        final_steps=plan.final_steps,
        may_shorten=plan.train_steps is None and not plan.join,
    )
    if fitting != steps:
        session.pauses = PausePlan.of(plan, reference.with_steps(fitting))
        pace.pauses = session.pauses is not None
        if pace.known:
            pace.expect_like(session.trial(reference.with_steps(fitting)))
    text = what_fits(session, fitting, trials) if pace.known else ""
    if text:
        listener.message(text)
    if pace.known and not trials and session.expected_trials(0, 0) < len(space.variants):
        listener.message(
            f"these are fewer than the {len(space.variants)} variants: the last of them are not "
            "tried; give more time, or name fewer with --energies"
        )
    return TimedSearch.of(session, plan, text, steps, fitting)


def _smaller(plan: SearchPlan, others: int, seeds: int) -> str:
    """That finals are smaller than planned, and how small."""
    sizes = (
        f"{formats.counted(finalists, 'finalist')}, {formats.counted(each, 'seed')} each"
        for finalists, each in ((others, seeds), (plan.finalists, plan.seeds))
    )
    return "the time allows finals of the baseline and {}; planned were {}".format(*sizes)
