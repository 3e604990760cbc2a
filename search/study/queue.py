"""What a driver does over and over: take a job, have it run, put the result where it belongs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.engines.base import Executor
from attenergy.search.results import formats
from attenergy.search.runs.config import Proposer, RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import Purpose
from attenergy.search.storage.retry import RetryOnOutage
from attenergy.search.study.attributes import RECORD, RUN, Setup
from attenergy.search.study.stale_trials import gather, lost

_PAUSE = 1.0  # seconds between two looks at what the others do


@dataclass(frozen=True)
class Job:
    """A trial that this driver is at work on."""

    trial: optuna.Trial
    config: RunConfig
    proposer: Proposer


class Jobs(ABC):
    """The runs of one phase, each a trial of an Optuna study.

    Where several drivers share them, whatever reads the study and then changes it stands in one
    turn, and begins with what the others have done since.

    Args:
        setup: what the search stands on.
        study: holds the trials.
        heard: is told the records of other drivers.
    """

    purpose: Purpose

    def __init__(
        self, setup: Setup, study: optuna.Study, heard: Callable[[RunRecord], None]
    ) -> None:
        self.setup, self.study, self._heard = setup, study, heard
        self._retry = RetryOnOutage(setup.storage, setup.lock, setup.listener)
        self._written: set[str] = set()  # keys of the records that this driver wrote

    def take(self) -> Job | None:
        """The next job; None if there is none now."""
        return self._retry(self._take)

    def _take(self) -> Job | None:
        with self.setup.lock.exclusive():
            self._catch_up()
            job = self._next()
            if job is not None:
                # Else two drivers may have asked for the last one.
                self.setup.lock.check_exclusive()
                self.setup.heartbeat.add(job.trial)
            return job

    def end(self, job: Job, record: RunRecord) -> RunRecord | None:
        """Record what came of a job and tell the study; None if another driver already has.

        That happens to a driver that was taken for dead: its trial was given to another. If it
        comes first all the same, its result is kept, and so is the other's.
        """
        record = record.model_copy(update={"proposer": job.proposer})
        return self._retry(lambda: self._end(job.trial, record))

    def _end(self, trial: optuna.Trial, record: RunRecord) -> RunRecord | None:
        setup = self.setup
        with setup.lock.exclusive():
            if setup.lock.joined:
                self._gather()
            known = setup.store.get(record.key)
            if known is None:
                setup.store.append(record)
                self._written.add(record.key)
            over = (setup.lock.joined or self._retry.interrupted) and self._is_over(trial)
            if not over:
                self._tell(trial, known or record)
            elif record.key in self._written and not self._is_told(record.key):
                self._add(record)
                setup.listener.message(f"run {record.key} was taken for lost, but counts")
            setup.heartbeat.remove(trial)
        return record if record.key in self._written else None

    def elsewhere(self) -> int:
        """How many jobs other drivers are at work on."""
        return len(self._retry(lambda: self.setup.heartbeat.of_others(self.study)))

    def _catch_up(self) -> None:
        if self.setup.lock.joined:
            self._gather()
        if self.setup.lock.joined or self._retry.interrupted:
            self._take_over(lost(self.study, self.setup))

    def _gather(self) -> None:
        for record in gather(self.study, self.setup.store):
            self._heard(record)

    def _is_told(self, key: str) -> bool:
        """Whether some trial stands for the run with its result."""
        return any(
            trial.user_attrs.get(RUN) == key
            and (trial.state == TrialState.COMPLETE or RECORD in trial.user_attrs)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def _is_over(self, trial: optuna.Trial) -> bool:
        return self.setup.storage.get_trial(trial._trial_id).state.is_finished()

    @abstractmethod
    def _next(self) -> Job | None:
        """Take a job from the study."""

    @abstractmethod
    def _take_over(self, trials: list[FrozenTrial]) -> None:
        """See to trials that have lost their driver."""

    @abstractmethod
    def _tell(self, trial: optuna.Trial, record: RunRecord) -> None:
        """End a running trial."""

    @abstractmethod
    def _add(self, record: RunRecord) -> None:
        """Give a record a trial of its own."""


def work_off(jobs: Jobs, executor: Executor, listener: Listener, running: dict[str, Job]) -> None:
    """Do jobs until there are none left, here or with other drivers.

    Args:
        jobs: where they come from.
        executor: runs them.
        listener: is told what happens.
        running: receives the jobs that are at work here, by their runs' keys.
    """
    told = False
    while True:
        while executor.free and (job := jobs.take()) is not None:
            running[job.config.run_key()] = job
            executor.submit(job.config, jobs.purpose)
            listener.started(job.config)
        if running:
            ended = executor.wait(listener)
            record = jobs.end(running.pop(ended.key), ended)
            if record is not None:
                listener.finished(record)
        elif others := jobs.elsewhere():
            if not told:
                listener.message(f"waiting for {formats.counted(others, 'run')} of other drivers")
            told = True
            time.sleep(_PAUSE)
        else:
            return
