"""What other drivers of a study have done, and what the dead among them left undone."""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.config import RunRecord
from attenergy.search.heart import ALIVE
from attenergy.search.records import RunStore
from attenergy.search.trials import ENQUEUED, HASH, RECORD, RETRIED, RUN, Setup, tell


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
    if setup.presence.alone:
        return setup.heart.others(study)
    return setup.heart.silent(study)


def take_over(trials: Iterable[FrozenTrial], study: optuna.Study, setup: Setup) -> None:
    """End the trials that a dead driver left running: by their record, or by another try."""
    trials = list(trials)
    if not trials:
        return
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    retried = {trial.user_attrs.get(RETRIED) for trial in waiting}
    for trial in trials:
        record = setup.store.get(trial.user_attrs.get(RUN, ""))
        if record is not None:
            tell(study, trial, record, setup)
            continue
        params = {**trial.user_attrs.get(ENQUEUED, {}), **trial.params}
        kept = {n: v for n, v in trial.user_attrs.items() if n not in {RUN, HASH, ALIVE}}
        again = bool(params) and trial.number not in retried  # else a recovery was cut short here
        if again:
            attributes = {**kept, ENQUEUED: params, RETRIED: trial.number}
            study.enqueue_trial(params, user_attrs=attributes)
        if given_up(trial, setup) and again:
            setup.listener.message(f"trial {trial.number} was interrupted; it is run again")
        elif again:
            withdraw(trial, study, setup)


def given_up(trial: FrozenTrial, setup: Setup) -> bool:
    """End a running trial as failed; False if another driver has ended it a moment ago.

    Turns keep drivers apart, but a turn is lost with its connection.
    """
    try:
        return setup.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False


def withdraw(trial: FrozenTrial, study: optuna.Study, setup: Setup) -> None:
    """Take back the second of two repeats of a trial, unless it has begun."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    repeats = [other for other in waiting if other.user_attrs.get(RETRIED) == trial.number]
    for repeat in repeats[-1:]:
        given_up(repeat, setup)
