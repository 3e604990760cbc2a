"""A comparison under a budget in time: what fits, and a first round of seeds that does."""

from __future__ import annotations

from collections.abc import Callable

from attenergy.search.budgets.calibration import measured_steps
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.forecast import what_fits_a_comparison
from attenergy.search.budgets.pace import Pace
from attenergy.search.budgets.session import FinalsPlan, TimedSession
from attenergy.search.budgets.timed import Timed
from attenergy.search.engines.base import Executor
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results import formats
from attenergy.search.results.finals import Finals
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore


def begin(
    plan: ComparePlan,
    reference: RunConfig,
    tuning: int,
    budget: TimeBudget,
    executor: Executor,
    listener: Listener,
) -> Timed:
    """Find out what fits, say so, and shorten the runs of a new comparison if nothing else fits.

    Args:
        plan: of the comparison.
        reference: a run of its first variant.
        tuning: runs that come before the seeds.
        budget: the time.
        executor: does the runs.
        listener: is told what fits.

    Raises:
        ValueError: the time is too short for two seeds of everybody.
    """
    budget.started()
    store = RunStore(plan.folder)
    steps = reference.training.steps
    final = FinalBudget.read(plan.final_budget)
    finals = FinalsPlan(len(plan.variants), plan.seeds, final, fixed=True)
    pace = Pace(budget.clock, store.all())
    session = TimedSession(budget, pace, executor.free, finals)
    fitting = measured_steps(
        session,
        reference,
        executor,
        store,
        listener,
        trials=tuning,
        may_shorten=plan.steps is None,
    )
    if pace.known and not pace.trial:
        pace.expect_like(reference)
    text = what_fits_a_comparison(session, fitting, tuning) if pace.known else ""
    if text:
        listener.message(text)
    return Timed.of(session, plan, text, steps, fitting)


def finals_that_fit(
    timed: Timed, seeds: int, make: Callable[[int], Finals], store: RunStore, listener: Listener
) -> Finals:
    """Finals with as many first seeds as fit, at least one.

    Args:
        timed: the session.
        seeds: first seeds of the plan.
        make: makes finals with so many.
        store: of the runs that are recorded.
        listener: is told where they are fewer.
    """
    for number in range(seeds, 0, -1):
        finals = make(number)
        missing = [c for c in finals.first_round if store.get(c.run_key()) is None]
        if timed.session.fits(missing):
            break
    if number < seeds:
        listener.message(f"{formats.counted(number, 'first seed')} each is what the time allows")
    return finals
