"""What is used of Optuna that it does not promise to keep: all of it stands here."""

from __future__ import annotations

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """The key of a trial in its storage."""
    return trial._trial_id


def stale_trial_ids(storage: RDBStorage, study: optuna.Study) -> list[int]:
    """Keys of the running trials whose last heartbeat is longer ago than the storage allows."""
    return storage._get_stale_trial_ids(study._study_id)
