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
from attenergy.search.storage.retry import retrying
from attenergy.search.study.attributes import CONTROL, HASH, MATCHED, RETRIED, RUN, proposer
from attenergy.search.study.context import SearchContext
from attenergy.search.study.queue import Job, RunQueue
from attenergy.search.study.samplers import OfVariant, exhausted

#: What every new variant is held against, where it takes part.
BASELINES = ("softmax", "linear", "hyla")


def matched_variants(plan: SearchPlan, space: Space) -> tuple[str, ...]:
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


class TrialQueue(RunQueue):
    """Asks the study for trials until as many as planned have ended or are under way.

    Args:
        context: what the search works with.
        study: holds the trials, and has the sampler.
        budget: of every run.
        on_remote_record: called with every record of another driver.
    """

    purpose = "trial"

    def __init__(
        self,
        context: SearchContext,
        study: optuna.Study,
        budget: Budget,
        on_remote_record: Callable[[RunRecord], None],
    ) -> None:
        super().__init__(context, study, on_remote_record)
        self._budget = budget

    @retrying
    def recorded(self) -> list[RunRecord]:
        """Records of the trials that count, in the order of the trials."""
        return self._records(self.study.get_trials(deepcopy=False))

    def _records(self, trials: Sequence[FrozenTrial]) -> list[RunRecord]:
        # An interrupted trial and its second try carry the same key: they count once.
        runs = dict.fromkeys(trial.user_attrs.get(RUN, "") for trial in trials)
        records = (self.context.store.get(run) for run in runs)
        return [record for record in records if record is not None]

    def _next(self) -> Job | None:
        trials = self.study.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        total = len(self._records(trials)) + running
        if total >= self.context.plan.trials or exhausted(self.study):
            return None
        sampler = self.study.sampler
        self.study.sampler, attributes = self._next_sampler(trials)
        try:
            trial = self.study.ask()
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            config = self.context.space.suggest(trial)
        finally:
            self.study.sampler = sampler
        config = self._with_free_seed(self._budget.fit(config), trials)
        trial.set_user_attr(HASH, config.config_hash())
        trial.set_user_attr(RUN, config.run_key())
        return Job(trial, config, proposer(trial.user_attrs))

    def _next_sampler(self, trials: Sequence[FrozenTrial]) -> tuple[BaseSampler, dict[str, Any]]:
        """Who proposes the next trial, and the user attributes that say so.

        A waiting trial comes first, whoever is asked.
        """
        sampler = self.study.sampler
        if any(trial.state == TrialState.WAITING for trial in trials):
            return sampler, {}
        first_tries = [trial for trial in trials if RETRIED not in trial.user_attrs]
        variant = self._underrepresented_variant(first_tries)
        if variant is not None:
            return OfVariant(sampler, variant), {MATCHED: variant}
        if self._control_is_due(first_tries):
            seeds = np.random.SeedSequence([self.context.plan.seed, len(trials), 1])
            return RandomSampler(seed=int(seeds.generate_state(1)[0])), {CONTROL: True}
        return sampler, {}

    def _underrepresented_variant(self, trials: Sequence[FrozenTrial]) -> str | None:
        """A variant that is to have as many trials as any other, and has fewer."""
        counts = Counter(str(trial.params.get("variant")) for trial in trials)
        variants, matched = self.context.space.variants, self.context.matched
        most = max((counts[variant] for variant in variants if variant not in matched), default=0)
        fewer = [variant for variant in matched if counts[variant] < most]
        return min(fewer, key=lambda variant: counts[variant], default=None)

    def _control_is_due(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the next trial is one of the random ones, spread evenly among the sampler's."""
        plan = self.context.plan
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
        while config.run_key() in taken or self.context.store.get(config.run_key()) is not None:
            config = config.model_copy(update={"seed": config.seed + 1})
        return config
