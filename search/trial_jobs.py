"""The trials of a search: who proposes the next one, and with which seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.fairness import Budget
from attenergy.search.jobs import Job, Jobs
from attenergy.search.recovery import take_over
from attenergy.search.samplers import exhausted
from attenergy.search.trials import CONTROL, HASH, RETRIED, RUN, Setup, proposer, revived, tell


class TrialJobs(Jobs):
    """Asks the study for trials until as many as planned have ended or are at work."""

    purpose = "trial"

    def __init__(
        self,
        setup: Setup,
        study: optuna.Study,
        budget: Budget,
        heard: Callable[[RunRecord], None],
    ) -> None:
        super().__init__(setup, study, heard)
        self._budget = budget

    def recorded(self) -> list[RunRecord]:
        """Records of the trials that count, in the order of the trials."""
        return list(self._records(self.study.get_trials(deepcopy=False)).values())

    def _records(self, trials: Sequence[FrozenTrial]) -> dict[str, RunRecord]:
        # An interrupted trial and its second try carry the same key: they count once.
        runs = dict.fromkeys(trial.user_attrs.get(RUN, "") for trial in trials)
        found = {run: self.setup.store.get(run) for run in runs}
        return {run: record for run, record in found.items() if record is not None}

    def _next(self) -> Job | None:
        trials = self.study.get_trials(deepcopy=False)
        at_work = sum(trial.state == TrialState.RUNNING for trial in trials)
        if len(self._records(trials)) + at_work >= self.setup.plan.trials or exhausted(self.study):
            return None
        sampler, control = self.study.sampler, self._control_is_due(trials)
        if control:
            seeds = np.random.SeedSequence([self.setup.plan.seed, len(trials), 1])
            self.study.sampler = RandomSampler(seed=int(seeds.generate_state(1)[0]))
        try:
            trial = self.study.ask()
            if control:
                trial.set_user_attr(CONTROL, True)
            config = self.setup.space.suggest(trial)
        finally:
            self.study.sampler = sampler
        config = self._with_free_seed(self._budget.fit(config))
        trial.set_user_attr(HASH, config.config_hash())
        trial.set_user_attr(RUN, config.run_key())
        return trial, config

    def _control_is_due(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the next trial is one of the random ones, spread evenly among the sampler's."""
        plan = self.setup.plan
        if any(trial.state == TrialState.WAITING for trial in trials):
            return False
        first = [t.user_attrs for t in trials if RETRIED not in t.user_attrs]
        kinds = [proposer(attributes) for attributes in first]
        free = [kind for kind in kinds if kind in ("sampler", "control")]
        room = max(1, plan.trials - (len(kinds) - len(free)))
        wanted = room // 5 if plan.control is None else plan.control
        if plan.sampler == "random" and plan.control is None:
            wanted = 0
        return free.count("control") < min(wanted, room) * (len(free) + 1) // room

    def _with_free_seed(self, config: RunConfig) -> RunConfig:
        # Keys of running trials too; an interrupted trial's key is free for its second try.
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        taken = {trial.user_attrs.get(RUN) for trial in running}
        while config.run_key() in taken or self.setup.store.get(config.run_key()) is not None:
            config = config.model_copy(update={"seed": config.seed + 1})
        return config

    def _take_over(self, trials: list[FrozenTrial]) -> None:
        take_over(trials, self.study, self.setup)

    def _tell(self, trial: optuna.Trial, record: RunRecord) -> None:
        tell(self.study, trial, record, self.setup)

    def _add(self, record: RunRecord) -> None:
        self.study.add_trial(revived(record, self.setup))
