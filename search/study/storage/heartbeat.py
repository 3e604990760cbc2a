"""Heartbeats of the trials that this driver has, for others that work on the same study."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from attenergy.search.planning.plan import SearchPlan
from attenergy.search.study.storage.database import close, with_heartbeat

#: User attribute of a trial that has given a sign of life; one that runs without has lost its
#: driver before the first.
ALIVE = "alive"


class Heart:
    """Knows the trials of this driver, and keeps them alive where other drivers look.

    Args:
        storage: the study's, with a heartbeat; None if there are no other drivers.
    """

    def __init__(self, storage: RDBStorage | None = None) -> None:
        self._storage = storage
        self._trials: set[int] = set()
        self._dropped: set[int] = set()
        self._end = threading.Event()

    def watch(self, trial: optuna.Trial) -> None:
        """Send heartbeats for a trial, the first at once; if that fails, there will be none."""
        if self._storage is not None:
            self._dropped.add(trial._trial_id)
            self._storage.record_heartbeat(trial._trial_id)
            trial.set_user_attr(ALIVE, True)
            self._dropped.remove(trial._trial_id)
        self._trials.add(trial._trial_id)

    def forget(self, trial: optuna.Trial) -> None:
        """Give no more of them."""
        self._trials.discard(trial._trial_id)

    def others(self, study: optuna.Study) -> list[FrozenTrial]:
        """Running trials that are not this driver's."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if trial._trial_id not in self._trials]

    def silent(self, study: optuna.Study) -> list[FrozenTrial]:
        """Those of them of which nothing has been heard for too long."""
        theirs = self.others(study)
        if not theirs or self._storage is None:
            return []
        stale = self._dropped.union(self._storage._get_stale_trial_ids(study._study_id))
        return [t for t in theirs if t._trial_id in stale or ALIVE not in t.user_attrs]

    def beat(self) -> None:
        """Send heartbeats until the end."""
        if self._storage is None:
            return
        interval = self._storage.get_heartbeat_interval()
        try:
            while not self._end.wait(interval):
                for number in list(self._trials):
                    with suppress(SQLAlchemyError, StorageInternalError):
                        # The next may come through; if none does, the driver hears of it itself.
                        self._storage.record_heartbeat(number)
        finally:
            self._storage.remove_session()  # this thread's own

    def stop(self) -> None:
        """End `beat`."""
        self._end.set()


@contextmanager
def beating(plan: SearchPlan) -> Iterator[Heart]:
    """A heart that beats in a thread of its own, if the plan joins others."""
    if not plan.join:
        yield Heart()
        return
    storage = with_heartbeat(plan)
    heart = Heart(storage)
    thread = threading.Thread(target=heart.beat, name="heart", daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        heart.stop()
        thread.join()
        close(storage)
