"""What other drivers of a study have done, and what those that ended have left undone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.runs.config import RunRecord
from attenergy.search.storage.heartbeat import ALIVE
from attenergy.search.storage.optuna_private import study_id, trial_id, trials_in
from attenergy.search.storage.trial_index import attribute_values
from attenergy.search.study.attributes import (
    BEYOND,
    CONFIG,
    ENQUEUED,
    HASH,
    RECORD,
    RETRIED,
    RUN,
)
from attenergy.search.study.context import SearchContext
from attenergy.search.study.recording import tell_record


def collect_records(study: optuna.Study, context: SearchContext) -> list[RunRecord]:
    """Take the records that other drivers wrote into the folder or the storage; return them."""
    store, where = context.store, (context.storage, study_id(study))
    records = store.refresh()
    published = attribute_values(*where, RECORD, ())
    if published:
        runs = attribute_values(*where, RUN)
        unknown = [key for key in published if store.get(runs[key]) is None]
        lines = attribute_values(*where, RECORD, unknown)
        for key in unknown:
            record = RunRecord.model_validate_json(lines[key])
            if store.get(record.key) is None:  # an interrupted trial and its second try
                store.append(record)
                records.append(record)
    return records


def stale_trials(study: optuna.Study, context: SearchContext) -> list[FrozenTrial]:
    """Running trials whose driver has ended: all of others if alone, else those without signs."""
    if context.lock.alone:
        return context.heartbeat.of_others(study)
    return context.heartbeat.stale(study)


def recover_stale(
    trials: Iterable[FrozenTrial], study: optuna.Study, context: SearchContext
) -> None:
    """End trials that another driver left running: by their record, or by another try."""
    for trial in trials:
        record = context.store.get(trial.user_attrs.get(RUN, ""))
        if record is not None:
            tell_record(study, trial, record, context)
            continue
        attempt = _second_try(trial)
        if attempt is None:  # it ended before it was asked anything
            fail_trial(trial, context)
        else:
            _repeat(trial, study, context, *attempt)


def fail_trial(trial: FrozenTrial, context: SearchContext) -> bool:
    """End a trial as failed; False if another driver has ended it a moment ago.

    Drivers exclude each other here, but their lock is lost with its connection.
    """
    try:
        return context.storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False


def _second_try(trial: FrozenTrial) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Parameters and user attributes of another try; None if there is nothing to be tried."""
    attributes = {name: value for name, value in trial.user_attrs.items() if name != ALIVE}
    if CONFIG in attributes:  # a finalist: its run does not change
        return {}, attributes
    params = {**attributes.get(ENQUEUED, {}), **trial.params}
    if not params:
        return None
    attributes.pop(RUN, None)
    attributes.pop(HASH, None)
    attributes.pop(BEYOND, None)
    return params, {**attributes, ENQUEUED: params}


def _repeat(
    trial: FrozenTrial,
    study: optuna.Study,
    context: SearchContext,
    params: dict[str, Any],
    attributes: dict[str, Any],
) -> None:
    """Let another try of a running trial wait, and end the trial as failed.

    If one waits already, a recovery was cut short here, and no other is added.
    """
    adds = not _waiting_tries(trial, study)
    if adds:
        study.enqueue_trial(params, user_attrs={**attributes, RETRIED: trial.number})
    if fail_trial(trial, context) and adds:
        name = f"run {attributes[RUN]}" if CONFIG in attributes else f"trial {trial.number}"
        context.listener.message(f"{name} was interrupted; it is run again")
    elif adds:  # another driver has done the same: one of the two is taken back, unless it began
        for second in _waiting_tries(trial, study)[-1:]:
            fail_trial(second, context)


def _waiting_tries(trial: FrozenTrial, study: optuna.Study) -> list[FrozenTrial]:
    waiting = trials_in(study, TrialState.WAITING)
    return [other for other in waiting if other.user_attrs.get(RETRIED) == trial.number]
