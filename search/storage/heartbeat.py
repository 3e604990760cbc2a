"""Heartbeats of the trials that this driver runs, for other drivers of the same study."""

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
from attenergy.search.storage.database import close, with_heartbeat
from attenergy.search.storage.optuna_private import stale_trial_ids, trial_id, trials_in

#: User attribute of a trial that has had a heartbeat; a running trial without it has lost its
#: driver before the first.
ALIVE = "alive"


class Heartbeat:
    """Sends heartbeats for the trials of this driver, and knows which others have none.

    Args:
        storage: the study's, opened with a heartbeat; None if there are no other drivers.
    """

    def __init__(self, storage: RDBStorage | None = None) -> None:
        self._storage = storage
        self._trials: set[int] = set()
        self._dropped: set[int] = set()
        self._end = threading.Event()

    def add(self, trial: optuna.Trial) -> None:
        """Send heartbeats for a trial, the first at once; if that fails, there will be none."""
        if self._storage is not None:
            self._dropped.add(trial_id(trial))
            self._storage.record_heartbeat(trial_id(trial))
            trial.set_user_attr(ALIVE, True)
            self._dropped.remove(trial_id(trial))
        self._trials.add(trial_id(trial))

    def remove(self, trial: optuna.Trial) -> None:
        """Send no more heartbeats for a trial."""
        self._trials.discard(trial_id(trial))

    def of_others(self, study: optuna.Study) -> list[FrozenTrial]:
        """Running trials that are not this driver's."""
        running = trials_in(study, TrialState.RUNNING)
        return [trial for trial in running if trial_id(trial) not in self._trials]

    def stale(self, study: optuna.Study) -> list[FrozenTrial]:
        """Running trials of other drivers whose last heartbeat is too long ago."""
        others = self.of_others(study)
        if not others or self._storage is None:
            return []
        stale = self._dropped.union(stale_trial_ids(self._storage, study))
        return [t for t in others if trial_id(t) in stale or ALIVE not in t.user_attrs]

    def run(self) -> None:
        """Send heartbeats until `stop` is called."""
        if self._storage is None:
            return
        interval = self._storage.get_heartbeat_interval()
        try:
            while not self._end.wait(interval):
                for number in list(self._trials):
                    with suppress(SQLAlchemyError, StorageInternalError):
                        # The next may arrive; a storage that is away the driver notices itself.
                        self._storage.record_heartbeat(number)
        finally:
            self._storage.remove_session()  # this thread's own

    def stop(self) -> None:
        """End `run`."""
        self._end.set()


@contextmanager
def heartbeats(plan: SearchPlan) -> Iterator[Heartbeat]:
    """The heartbeats of a driver, sent from a thread of their own if the plan joins others."""
    if not plan.join:
        yield Heartbeat()
        return
    storage = with_heartbeat(plan)
    heartbeat = Heartbeat(storage)
    thread = threading.Thread(target=heartbeat.run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
        thread.join()
        close(storage)
