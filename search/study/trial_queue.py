"""The trials of a search: who proposes the next one, and with which seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.registry import UnknownName
from attenergy.search.planning.budget import Budget
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.samplers import SAMPLERS
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.attributes import (
    CONTROL,
    HASH,
    MATCHED,
    RETRIED,
    RUN,
    Setup,
    proposer,
    revived,
    tell,
)
from attenergy.search.study.queue import Job, Jobs
from attenergy.search.study.samplers import OfVariant, exhausted
from attenergy.search.study.stale_trials import take_over

#: What every new variant is held against, where it takes part.
BASELINES = ("softmax", "linear", "hyla")


def matched(plan: SearchPlan, space: Space) -> tuple[str, ...]:
    """Variants that are given as many trials as the most tried of the others.

    None where the variant is fixed, or where everything is tried in any case.

    Raises:
        UnknownName: one of them is not in the space.
    """
    for name in plan.matched or ():
        if name not in space.variants:
            raise UnknownName("variant of this search to match", name, space.variants)
    if "variant" not in space.distributions() or SAMPLERS[plan.sampler].exhaustive:
        return ()
    if plan.matched is not None:
        return plan.matched
    known = dict.fromkeys((plan.baseline, *BASELINES))
    return tuple(name for name in known if name in space.variants)


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
        self._matched = matched(setup.plan, setup.space)

    def recorded(self) -> list[RunRecord]:
        """Records of the trials that count, in the order of the trials."""
        trials = self._retry(lambda: self.study.get_trials(deepcopy=False))
        return list(self._records(trials).values())

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
        sampler, (self.study.sampler, marks) = self.study.sampler, self._turn_of(trials)
        try:
            trial = self.study.ask()
            for name, value in marks.items():
                trial.set_user_attr(name, value)
            config = self.setup.space.suggest(trial)
        finally:
            self.study.sampler = sampler
        config = self._with_free_seed(self._budget.fit(config), trials)
        trial.set_user_attr(HASH, config.config_hash())
        trial.set_user_attr(RUN, config.run_key())
        return Job(trial, config, proposer(trial.user_attrs))

    def _turn_of(self, trials: Sequence[FrozenTrial]) -> tuple[BaseSampler, dict[str, Any]]:
        """Who proposes the next trial, and the marks that it then carries.

        What waits comes first, whoever is asked.
        """
        sampler = self.study.sampler
        if any(trial.state == TrialState.WAITING for trial in trials):
            return sampler, {}
        first = [trial for trial in trials if RETRIED not in trial.user_attrs]
        variant = self._behind(first)
        if variant is not None:
            return OfVariant(sampler, variant), {MATCHED: variant}
        if self._control_is_due(first):
            seeds = np.random.SeedSequence([self.setup.plan.seed, len(trials), 1])
            return RandomSampler(seed=int(seeds.generate_state(1)[0])), {CONTROL: True}
        return sampler, {}

    def _behind(self, trials: Sequence[FrozenTrial]) -> str | None:
        """A variant that is to have as many trials as any other, and has fewer."""
        counts = Counter(str(trial.params.get("variant")) for trial in trials)
        most = max(
            (counts[v] for v in self.setup.space.variants if v not in self._matched), default=0
        )
        behind = [variant for variant in self._matched if counts[variant] < most]
        return min(behind, key=lambda variant: counts[variant], default=None)

    def _control_is_due(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the next trial is one of the random ones, spread evenly among the sampler's."""
        plan = self.setup.plan
        kinds = [proposer(trial.user_attrs) for trial in trials]
        free = [kind for kind in kinds if kind in ("sampler", "matched", "control")]
        room = max(1, plan.trials - (len(kinds) - len(free)))
        wanted = room // 5 if plan.control is None else plan.control
        if SAMPLERS[plan.sampler].random and plan.control is None:
            wanted = 0
        return free.count("control") < min(wanted, room) * (len(free) + 1) // room

    def _with_free_seed(self, config: RunConfig, trials: Sequence[FrozenTrial]) -> RunConfig:
        # Keys of running trials too; an interrupted trial's key is free for its second try.
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
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
