"""What is used of Optuna that it does not promise to keep: all of it stands here."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, TrialState

_ONE_BY_ONE = 16  # trials that are read one after another rather than together


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """The key of a trial in its storage."""
    return trial._trial_id


def set_constraints(
    storage: RDBStorage, trial: optuna.Trial | FrozenTrial, constraints: Mapping[str, float]
) -> None:
    """As `optuna.Trial.set_constraint`, for a running trial that another driver may have made."""
    for name, value in constraints.items():
        storage.set_trial_system_attr(trial_id(trial), f"{_CONSTRAINTS_KEY}:{name}", value)


def stale_trial_ids(storage: RDBStorage, study: optuna.Study) -> list[int]:
    """Keys of the running trials whose last heartbeat is longer ago than the storage allows."""
    return storage._get_stale_trial_ids(study._study_id)


def study_id(study: optuna.Study) -> int:
    """The key of a study in its storage."""
    return study._study_id


def trials_in(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    """The trials in some states; the study's own cache would first read all that there are."""
    storage = getattr(study._storage, "_backend", study._storage)
    trials: list[FrozenTrial] = storage.get_all_trials(study._study_id, False, states)
    return trials


class ShownStudy(optuna.Study):
    """A study whose sampler sees the trials that it is shown, and which reads no others.

    Attributes:
        shown: what samplers see; None for all trials.
        waiting: keys of the trials that are to be asked for first, in this order; None for those
            that wait in the storage.

    Args:
        study: the same study, with its sampler.
        storage: where it is.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage) -> None:
        super().__init__(study.study_name, storage, study.sampler, study.pruner)
        self.shown: list[FrozenTrial] | None = None
        self.waiting: list[int] | None = None

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        if self.shown is None:
            return super()._get_trials(deepcopy, states, use_cache)
        trials = [trial for trial in self.shown if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _pop_waiting_trial_id(self) -> int | None:
        if self.waiting is None:
            return super()._pop_waiting_trial_id()
        for key in self.waiting:
            with suppress(UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(key, TrialState.RUNNING):
                    self._learn(self._storage.get_trial(key))
                    return key
        return None

    def _learn(self, trial: FrozenTrial) -> None:
        # What its storage's cache knows of a trial that it has made itself.
        cache = self._storage
        if isinstance(cache, _CachedStorage):
            with cache._lock:
                cache._studies.setdefault(self._study_id, _StudyInfo())
                cache._add_trials_to_cache(self._study_id, [trial])


def read_trials(storage: RDBStorage, study: int, keys: set[int]) -> list[FrozenTrial]:
    """The trials with these keys, whole."""
    if len(keys) <= _ONE_BY_ONE:  # else the database looks at every trial of the study
        return [storage.get_trial(key) for key in sorted(keys)]
    last = max(keys)  # what comes after is not wanted, and is little or nothing
    trials = storage._get_trials(study, None, keys, last)
    return [trial for trial in trials if trial._trial_id in keys]
