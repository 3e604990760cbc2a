"""What a driver does over and over: take a run, have it done, put the result where it belongs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import optuna
from optuna.trial import TrialState

from attenergy.search.engines.base import Executor
from attenergy.search.results import formats
from attenergy.search.runs.config import Proposer, RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose
from attenergy.search.storage.optuna_private import trial_id
from attenergy.search.storage.retry import RetryOnOutage, retrying
from attenergy.search.study.attributes import RECORD, RUN
from attenergy.search.study.context import SearchContext
from attenergy.search.study.recording import add_record, tell_record
from attenergy.search.study.stale_trials import collect_records, recover_stale, stale_trials

_PAUSE = 1.0  # seconds between two looks at what other drivers do


@dataclass(frozen=True)
class Job:
    """A trial that this driver has, and its run."""

    trial: optuna.Trial
    config: RunConfig
    proposer: Proposer


class RunQueue(ABC):
    """The runs of one phase, each a trial of an Optuna study.

    Where several drivers share them, whatever reads the study and then changes it does so while it
    excludes the others, and begins with what they have done since.

    Args:
        context: what the search works with.
        study: holds the trials.
        on_remote_record: called with every record of another driver.
    """

    purpose: ClassVar[Purpose]

    def __init__(
        self,
        context: SearchContext,
        study: optuna.Study,
        on_remote_record: Callable[[RunRecord], None],
    ) -> None:
        self.context, self.study = context, study
        self.retry = RetryOnOutage(context.storage, context.lock, context.listener)
        self._on_remote_record = on_remote_record
        self._written: set[str] = set()  # keys of the records that this driver wrote

    @retrying
    def take(self) -> Job | None:
        """The next run for this driver; None if there is none now."""
        with self.context.lock.exclusive():
            self._catch_up()
            job = self._next()
            if job is not None:
                # Else two drivers may have asked for the last one.
                self.context.lock.check_exclusive()
                self.context.heartbeat.add(job.trial)
            return job

    @retrying
    def end(self, job: Job, record: RunRecord) -> RunRecord | None:
        """Record what came of a run and tell the study; None if another driver already has.

        That happens to a driver that was taken for dead: its trial was given to another. If it
        comes first all the same, its result is kept, and so is the other's.
        """
        context, trial = self.context, job.trial
        record = record.model_copy(update={"proposer": job.proposer})
        with context.lock.exclusive():
            if context.lock.joined:
                self._collect()
            recorded = context.store.get(record.key)
            if recorded is None:
                context.store.append(record)
                self._written.add(record.key)
            may_be_over = context.lock.joined or self.retry.interrupted
            if not (may_be_over and self._is_over(trial)):
                tell_record(self.study, trial, recorded or record, context)
            elif record.key in self._written and not self._has_result(record.key):
                add_record(self.study, record, context, self.purpose)
                context.listener.message(f"run {record.key} was taken for lost, but counts")
            context.heartbeat.remove(trial)
        return record if record.key in self._written else None

    @retrying
    def remote_runs(self) -> int:
        """How many runs other drivers have."""
        return len(self.context.heartbeat.of_others(self.study))

    def _catch_up(self) -> None:
        """Collect the records of other drivers; recover what those that ended left running."""
        if self.context.lock.joined:
            self._collect()
        if self.context.lock.joined or self.retry.interrupted:
            self._recover()

    def _collect(self) -> None:
        for record in collect_records(self.study, self.context):
            self._on_remote_record(record)

    def _recover(self) -> None:
        recover_stale(stale_trials(self.study, self.context), self.study, self.context)

    def _has_result(self, key: str) -> bool:
        """Whether some trial stands for the run with its result."""
        return any(
            trial.user_attrs.get(RUN) == key
            and (trial.state == TrialState.COMPLETE or RECORD in trial.user_attrs)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def _is_over(self, trial: optuna.Trial) -> bool:
        return self.context.storage.get_trial(trial_id(trial)).state.is_finished()

    @abstractmethod
    def _next(self) -> Job | None:
        """Take a run from the study; None if there is none now."""


def run_queue(
    queue: RunQueue, executor: Executor, listener: Listener, running: dict[str, Job]
) -> None:
    """Do the runs of a queue until there are none left, here or with other drivers.

    Args:
        queue: where they come from.
        executor: does them.
        listener: is told what happens.
        running: receives the runs that are under way here, by their keys.
    """
    waits = last_look = False
    while True:
        while executor.free and (job := queue.take()) is not None:
            running[job.config.run_key()] = job
            executor.submit(job.config, queue.purpose)
            listener.started(job.config)
        if running:
            ended = executor.wait(listener)
            record = queue.end(running.pop(ended.key), ended)
            if record is not None:
                listener.finished(record)
        elif others := queue.remote_runs():
            if not waits:
                listener.message(f"waiting for {formats.counted(others, 'run')} of other drivers")
            waits, last_look = True, False
            time.sleep(_PAUSE)
        elif queue.context.lock.joined and not last_look:
            last_look = True  # another driver may have ended a round between the two looks
        else:
            return
