"""A few real training steps of the baseline in every process, to know the pace of the machine."""

from __future__ import annotations

from contextlib import suppress

from attenergy.search.budgets.forecast import fitting_steps
from attenergy.search.budgets.session import TimedSession
from attenergy.search.engines.base import Executor
from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore

#: Seconds of training of every short run, but not more than a share of the whole time.
SECONDS, SHARE = 2.0, 0.01
_MOST = 16  # short runs, however large a cluster
_SEED = 2**20  # of the first, above those of trials and finals
_WARM_UP = 2  # steps, and instances of every split, before anything is measured


def measured_steps(
    session: TimedSession,
    reference: RunConfig,
    executor: Executor,
    store: RunStore,
    listener: Listener,
    *,
    trials: int,
    final_steps: int | None = None,
    may_shorten: bool = True,
) -> int:
    """Measure the pace of a new study; return the training steps with which the least fits.

    These are the reference's, or fewer. A study with records tells its pace itself, and its steps
    do not change.

    Args:
        session: receives the pace.
        reference: a run of the baseline.
        executor: does the short runs.
        store: of the study.
        listener: is told what is done.
        trials: before the finals, at the least.
        final_steps: of the finalists, if they are not those of the trials.
        may_shorten: whether runs may have fewer steps than the reference.

    Raises:
        ValueError: not even the least fits.
    """
    steps, budget, pace = reference.training.steps, session.budget, session.pace
    if pace.known:
        return steps
    records = short_runs(reference, executor, store, listener, budget.seconds)
    if not pace.calibrate(records, session.trial(reference)):
        listener.message(f"{reference.variant} gave no result from which to tell what fits")
        return steps
    may_shorten = may_shorten and reference.seconds is None
    fitting = fitting_steps(session, reference, final_steps, trials, may_shorten=may_shorten)
    if fitting != steps:
        each = formats.rough_time(pace.expected(reference))
        listener.message(
            f"budget {budget.text}: runs of {steps} steps (about {each} each) are too long for it; "
            f"they are shortened to {fitting} (--steps says otherwise)"
        )
        pace.expect_like(session.trial(reference.with_steps(fitting)))
    return fitting


def short_runs(
    reference: RunConfig, executor: Executor, store: RunStore, listener: Listener, seconds: float
) -> list[RunRecord]:
    """Train the reference for moments, once in every process, and evaluate it; nothing is recorded.

    Args:
        reference: a run of the baseline.
        executor: does the work.
        store: of the study's folder, where no weights are left.
        listener: is told why it waits.
        seconds: of the whole budget.
    """
    slots = min(executor.free, _MOST)
    length = min(SECONDS, SHARE * seconds)
    where = f" in each of {slots} processes" if slots > 1 else ""
    listener.message(f"measuring the pace: {reference.variant}, for moments{where}")
    training = reference.training
    # The first steps of a process are slow, and say nothing of the others.
    fewest = {"valid_instances": _WARM_UP, "test_instances": _WARM_UP}
    first = reference.with_steps(_WARM_UP).model_copy(update={"seconds": None})
    first = first.model_copy(update={"training": first.training.model_copy(update=fewest)})
    if training.steps:
        rare = training.model_copy(update={"evaluate_every": training.steps})
        reference = reference.model_copy(update={"training": rare, "seconds": length})
    records: list[RunRecord] = []
    for number, config in enumerate((first, reference)):
        for slot in range(slots):
            seed = _SEED + number * slots + slot
            executor.submit(config.model_copy(update={"seed": seed}), "trial")
        records = [executor.wait(Listener()) for _ in range(slots)]
        for record in records:
            if record.weights:
                store.weights_path(record.key).unlink(missing_ok=True)
    with suppress(OSError):  # nothing is left of a study that is refused
        store.weights_path("").parent.rmdir()
    return records
