"""What a driver does over and over: take a job, have it run, put the result where it belongs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Listener
from attenergy.search.executors import Executor
from attenergy.search.provenance import Purpose
from attenergy.search.recovery import gather, lost
from attenergy.search.trials import Setup, proposer

_PAUSE = 1.0  # seconds between two looks at what the others do

Job = tuple[optuna.Trial, RunConfig]


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

    def take(self) -> Job | None:
        """The next job; None if there is none now."""
        with self.setup.presence.turn():
            self._catch_up()
            job = self._next()
            if job is not None:
                self.setup.heart.watch(job[0])
            return job

    def end(self, trial: optuna.Trial, record: RunRecord) -> RunRecord | None:
        """Record what came of a job and tell the study; None if another driver already has.

        That happens to a driver that was taken for dead: its trial was given to another. If it
        comes first all the same, its result is kept, and so is the other's.
        """
        setup = self.setup
        record = record.model_copy(update={"proposer": proposer(trial.user_attrs)})
        with setup.presence.turn():
            if setup.presence.joined:
                self._gather()
            known = setup.store.get(record.key)
            if known is None:
                setup.store.append(record)
            taken = setup.presence.joined and self._is_over(trial)
            if not taken:
                self._tell(trial, known or record)
            elif known is None:
                self._add(record)
                setup.listener.message(f"run {record.key} was taken for lost, but counts")
            setup.heart.forget(trial)
        return record if known is None else None

    def elsewhere(self) -> int:
        """How many jobs other drivers are at work on, when this one has none."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def _catch_up(self) -> None:
        if self.setup.presence.joined:
            self._gather()
            self._take_over(lost(self.study, self.setup))

    def _gather(self) -> None:
        for record in gather(self.study, self.setup.store):
            self._heard(record)

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


def work_off(
    jobs: Jobs, executor: Executor, listener: Listener, running: dict[str, optuna.Trial]
) -> None:
    """Do jobs until there are none left, here or with other drivers.

    Args:
        jobs: where they come from.
        executor: runs them.
        listener: is told what happens.
        running: receives the trials that are at work here, by their runs' keys.
    """
    told = False
    while True:
        while executor.free and (job := jobs.take()) is not None:
            trial, config = job
            running[config.run_key()] = trial
            executor.submit(config, jobs.purpose)
            listener.started(config)
        if running:
            record = jobs.end(*_next_result(executor, listener, running))
            if record is not None:
                listener.finished(record)
        elif others := jobs.elsewhere():
            if not told:
                runs = "1 run" if others == 1 else f"{others} runs"
                listener.message(f"waiting for {runs} of other drivers")
            told = True
            time.sleep(_PAUSE)
        else:
            return


def _next_result(
    executor: Executor, listener: Listener, running: dict[str, optuna.Trial]
) -> tuple[optuna.Trial, RunRecord]:
    record = executor.wait(listener)
    return running.pop(record.key), record
