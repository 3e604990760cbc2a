"""What fits into a time, said before anything is run; or that nothing does."""

from __future__ import annotations

import math
from collections.abc import Callable

from attenergy.registry import ArgumentError
from attenergy.search.budgets.pace import OTHERS
from attenergy.search.budgets.session import TimedSession
from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig

#: Runs may be shortened to this share of the task's training steps to fit at all, not further.
SHORTEST = 0.25


def what_fits(session: TimedSession, steps: int, recorded: int) -> str:
    """One line on a search: how many trials, of how many steps, and seeds of finals.

    Args:
        session: with the pace as far as it is known.
        steps: training steps of a trial.
        recorded: trials of earlier sessions.
    """
    new = formats.counted(session.expected_trials(recorded, 0) - recorded, "trial")
    more = " more" if recorded else ""
    if session.pauses is None:
        text = f"about {new}{more}{_of_steps(steps)} ({_each(session, session.pace.trial)})"
    else:
        first = round(session.pauses.share * steps)
        text = f"about {new}{more} of {first} of {formats.counted(steps, 'step')} "
        text += f"({_each(session, session.pace.trial)}), the best of which go on"
    finals, length = session.finals, session.final_run
    if finals.contenders and length:
        runs = math.floor((session.budget.runs_end - session.trials_end) / length) * session.slots
        seeds = max(1, int(min(runs, finals.most) // finals.contenders))
        others = formats.counted(finals.contenders - 1, "finalist")
        text += f", then about {formats.counted(seeds, 'seed')} of the baseline and of {others}"
    return f"budget {session.budget.text}: {text}"


def what_fits_a_comparison(session: TimedSession, steps: int, tuning: int) -> str:
    """One line on a comparison: how many runs are tried first, and seeds of every variant.

    Args:
        session: with the pace as far as it is known.
        steps: training steps of a run.
        tuning: runs that come before the seeds.
    """
    run, finals = session.pace.trial, session.finals
    left = session.budget.runs_end - session.budget.elapsed
    runs = math.floor(left / max(run, 1e-3)) * session.slots - tuning
    seeds = max(1, int(min(runs, finals.most) // finals.contenders))
    first = f"{formats.counted(tuning, 'run')} to choose settings, then " if tuning else ""
    text = f"{first}about {formats.counted(seeds, 'seed')} for each of {finals.contenders} variants"
    return f"budget {session.budget.text}: {text}{_of_steps(steps)} ({_each(session, run)})"


def fitting_steps(
    session: TimedSession,
    reference: RunConfig,
    final_steps: int | None,
    trials: int,
    *,
    may_shorten: bool,
) -> int:
    """Training steps with which the least that says anything fits: the reference's, or fewer.

    Args:
        session: with a pace that is known.
        reference: a run of the baseline.
        final_steps: of the finalists, if they are not those of the trials.
        trials: before the finals, at the least.
        may_shorten: whether there may be fewer, down to a quarter.

    Raises:
        ValueError: the least does not fit.
    """

    def needed(steps: int) -> float:
        trial, final = reference.with_steps(steps), reference.with_steps(final_steps or steps)
        rounds = math.ceil(trials / session.slots), math.ceil(session.finals.least / session.slots)
        expected = session.pace.expected
        return OTHERS * (rounds[0] * expected(trial) + rounds[1] * expected(final))

    most = reference.training.steps
    least = max(1, math.ceil(SHORTEST * most)) if most and may_shorten else most
    left = session.budget.runs_end - session.budget.elapsed
    if needed(most) <= left:
        return most
    if needed(least) > left:
        raise _too_small(session, reference, least, (session.budget.elapsed, needed(least)))
    return _largest(least, most, lambda steps: needed(steps) <= left)


def _largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest number that fits, of two digits if it is a large one."""
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def _too_small(
    session: TimedSession, reference: RunConfig, steps: int, spent: tuple[float, float]
) -> ArgumentError:
    budget, before = session.budget, reference.training.steps
    run = formats.rough_time(max(1.0, session.pace.expected(reference)))
    enough = 1.1 * sum(spent) * budget.seconds / budget.runs_end
    least = f", even with {steps} instead of {before} steps" if steps != before else ""
    what = "the baseline, one other variant, and two seeds of both"
    if session.finals.fixed:
        what = f"two seeds of {session.finals.contenders} variants"
    elif not session.finals.contenders:
        what = "the baseline and one other variant"
    return ArgumentError(
        f"budget {budget.text}: too little for the least that says anything, {what}: a run of "
        f"{reference.variant} takes about {run}, so that is about "
        f"{formats.rough_time(enough)}{least}. "
        f"Give more time (--budget {_as_option(enough)}), or fewer --steps",
        topic="budget",
    )


def _as_option(seconds: float) -> str:
    """A time as --budget takes it, rounded up: `45s`, `3m`, `14h`."""
    unit, length = next(
        ((u, n) for u, n, limit in (("s", 1, 60), ("m", 60, 100)) if seconds / n < limit),
        ("h", 3600),
    )
    return f"{math.ceil(seconds / length)}{unit}"


def _of_steps(steps: int) -> str:
    return f" of {formats.counted(steps, 'step')}" if steps else ""


def _each(session: TimedSession, seconds: float) -> str:
    return f"{formats.rough_time(max(1.0, seconds))} each, {session.slots} at a time"
