"""What other drivers of a study have done, and what the dead among them left undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.heartbeat import ALIVE
from attenergy.search.study.attributes import ENQUEUED, HASH, RECORD, RETRIED, RUN, Setup, tell


def gather(study: optuna.Study, store: RunStore) -> list[RunRecord]:
    """Take the records that other drivers wrote into the folder or the storage; return them."""
    news = store.refresh()
    for trial in study.get_trials(deepcopy=False):
        line = trial.user_attrs.get(RECORD)
        if line is not None and store.get(trial.user_attrs[RUN]) is None:
            record = RunRecord.model_validate_json(line)
            store.append(record)
            news.append(record)
    return news


def lost(study: optuna.Study, setup: Setup) -> list[FrozenTrial]:
    """Running trials whose driver is dead: all others' if nobody is there, else the silent ones."""
    if setup.lock.alone:
        return setup.heartbeat.of_others(study)
    return setup.heartbeat.stale(study)


def take_over(trials: Iterable[FrozenTrial], study: optuna.Study, setup: Setup) -> None:
    """End the trials that a dead driver left running: by their record, or by another try."""
    for trial in trials:
        record = setup.store.get(trial.user_attrs.get(RUN, ""))
        if record is not None:
            tell(study, trial, record, setup)
            continue
        params = {**trial.user_attrs.get(ENQUEUED, {}), **trial.params}
        kept = {n: v for n, v in trial.user_attrs.items() if n not in {RUN, HASH, ALIVE}}
        if params:
            attributes = {**kept, ENQUEUED: params}
            repeat(trial, study, setup, params, attributes, f"trial {trial.number}")
        else:
            _given_up(trial, setup)


def repeat(
    trial: FrozenTrial,
    study: optuna.Study,
    setup: Setup,
    params: Mapping[str, Any],
    attributes: Mapping[str, Any],
    name: str,
) -> None:
    """Let another try of a running trial wait, and end the trial as failed.

    Nothing new waits if something does already: then a recovery was cut short here.
    """
    again = not _repeats(trial, study)
    if again:
        study.enqueue_trial(dict(params), user_attrs={**attributes, RETRIED: trial.number})
    if _given_up(trial, setup) and again:
        setup.listener.message(f"{name} was interrupted; it is run again")
    elif again:  # another driver has done the same: one of the two is taken back, unless it began
        for second in _repeats(trial, study)[-1:]:
            _given_up(second, setup)


def _repeats(trial: FrozenTrial, study: optuna.Study) -> list[FrozenTrial]:
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [other for other in waiting if other.user_attrs.get(RETRIED) == trial.number]


def _given_up(trial: FrozenTrial, setup: Setup) -> bool:
    """End a trial as failed; False if another driver has ended it a moment ago.

    Turns keep drivers apart, but a turn is lost with its connection.
    """
    try:
        return setup.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
