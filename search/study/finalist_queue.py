"""The runs of finalists, shared out among the drivers that work on a study together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.storage.heartbeat import ALIVE
from attenergy.search.storage.retry import RetryOnOutage
from attenergy.search.study.attributes import RECORD, RUN, Setup, publish
from attenergy.search.study.queue import Job, Jobs
from attenergy.search.study.stale_trials import repeat

_CONFIG = "config"  # user attribute: the whole run, as JSON


class FinalJobs(Jobs):
    """Every run is a waiting trial of a second study, `NAME@finals`, until a driver takes it.

    Args:
        setup: what the search stands on.
        configs: the runs that are wanted; all drivers find the same, from the same records.
        heard: is told the records of other drivers.
    """

    purpose = "final"

    def __init__(
        self,
        setup: Setup,
        configs: Sequence[RunConfig],
        heard: Callable[[RunRecord], None],
    ) -> None:
        def made() -> optuna.Study:
            return optuna.create_study(
                study_name=f"{setup.plan.study}@finals",
                storage=setup.storage,
                direction="maximize",
                load_if_exists=True,
                sampler=RandomSampler(seed=0),  # there is nothing to sample
            )

        super().__init__(
            setup, RetryOnOutage(setup.storage, setup.lock, setup.listener)(made), heard
        )
        self._retry(lambda: self._offer(configs))

    def _offer(self, configs: Sequence[RunConfig]) -> None:
        """Let every run that nobody has thought of yet wait for a driver."""
        with self.setup.lock.exclusive():
            self._catch_up()
            known = {trial.user_attrs[RUN] for trial in self.study.get_trials(deepcopy=False)}
            for config in configs:
                if config.run_key() in known:
                    continue
                record = self.setup.store.get(config.run_key())
                if record is None:
                    self.study.enqueue_trial({}, user_attrs=_attributes(config))
                else:
                    self._add(record)

    def _next(self) -> Job | None:
        while self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = self.study.ask()
            config = RunConfig.model_validate_json(trial.user_attrs[_CONFIG])
            record = self.setup.store.get(config.run_key())
            if record is None:
                return Job(trial, config, "")
            self._tell(trial, record)
        return None

    def _take_over(self, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            run = trial.user_attrs[RUN]
            record = self.setup.store.get(run)
            if record is not None:
                self._tell(trial, record)
                continue
            kept = {n: v for n, v in trial.user_attrs.items() if n != ALIVE}
            repeat(trial, self.study, self.setup, {}, kept, f"run {run}")

    def _tell(self, trial: optuna.Trial | FrozenTrial, record: RunRecord) -> None:
        publish(trial, record, self.setup)
        if record.status == "complete":
            self.study.tell(trial.number, self._value(record))
        else:
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _add(self, record: RunRecord) -> None:
        complete = record.status == "complete"
        attributes = _attributes(record.config)
        if self.setup.publishes:
            attributes[RECORD] = record.model_dump_json(by_alias=True)
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.FAIL,
                value=self._value(record) if complete else None,
                user_attrs=attributes,
            )
        )

    def _value(self, record: RunRecord) -> float:
        return self.setup.objectives[0].value(record)


def _attributes(config: RunConfig) -> dict[str, str]:
    return {RUN: config.run_key(), _CONFIG: config.model_dump_json(by_alias=True)}
