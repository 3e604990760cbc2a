"""The trials of a search: who proposes the next one, and with which seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from attenergy.registry import UnknownName
from attenergy.search.budgets.session import TimedSession
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.samplers import SAMPLERS
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.storage.optuna_private import ShownStudy, study_id
from attenergy.search.storage.retry import retrying
from attenergy.search.storage.trial_index import TrialBrief, TrialIndex
from attenergy.search.storage.window import SamplerWindow
from attenergy.search.study.attributes import (
    BEYOND,
    CONTROL,
    ENQUEUED,
    HASH,
    MATCHED,
    RUN,
    proposer,
)
from attenergy.search.study.context import SearchContext
from attenergy.search.study.earlier import EarlierTrials, known_earlier
from attenergy.search.study.infeasible import (
    MOST_IN_A_ROW,
    NO_MORE_OF_VARIANT,
    RANDOM_AFTER,
    may_be_trained,
    refuse,
    scored,
)
from attenergy.search.study.queue import Job, RunQueue
from attenergy.search.study.rungs import first_steps
from attenergy.search.study.samplers import (
    OfVariant,
    control_is_due,
    exhausted,
    random_sampler,
    underrepresented_variant,
)
from attenergy.search.study.tally import COUNTED, Tally

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

    Under a budget in time, until no other is likely to end in the time of the trials.

    Args:
        context: what the search works with.
        study: holds the trials, and has the sampler.
        equal: gives every run its length.
        on_remote_record: called with every record of another driver.
        session: under a budget in time, if there is one.
    """

    purpose = "trial"

    def __init__(
        self,
        context: SearchContext,
        study: optuna.Study,
        equal: EqualTraining,
        on_remote_record: Callable[[RunRecord], None],
        session: TimedSession | None = None,
    ) -> None:
        self._study = ShownStudy(study, context.storage)
        super().__init__(context, self._study, on_remote_record)
        self._equal, self._session = equal, session
        self._steps = first_steps(context.plan, context.space)
        self._expected = context.plan.trials or 1  # trials in all, as far as one can tell
        self._index = TrialIndex(context.storage, study_id(study), COUNTED, "variant")
        self._tally = Tally(context.store)
        #: Proposals in a row, until now, that were beyond the limits of cost; of all, and of each
        #: variant that is to have more trials. And the costs of the nearest one.
        self.refused = 0
        self._refused_of: Counter[str] = Counter()
        self.nearest: dict[str, float] | None = None
        row = SAMPLERS[context.plan.sampler]
        known = known_earlier(study) if row.takes_earlier else []
        self._earlier = EarlierTrials(known, context.space, study.directions)
        size = row.window
        self._window = (
            SamplerWindow(context.storage, study_id(study), size, study.directions, BEYOND)
            if size is not None
            else None
        )

    @property
    def untrained(self) -> dict[str, int]:
        """How many proposals of each variant were beyond the limits of cost, and not trained."""
        return {variant: n for variant, n in sorted(self._tally.untrained.items()) if n}

    @retrying
    def recorded(self) -> list[RunRecord]:
        """Records of the trials that count, in the order of the trials."""
        self._refresh()
        # An interrupted trial and its second try carry the same key: they count once.
        trials = sorted(self._index.trials.values(), key=lambda trial: trial.number)
        runs = dict.fromkeys(trial.attributes.get(RUN, "") for trial in trials)
        records = (self.context.store.get(run) for run in runs)
        return [record for record in records if record is not None]

    def expect(self, ended: int, running: int = 0) -> int:
        """How many trials there will be in all, as far as one can tell.

        Args:
            ended: trials that have.
            running: trials that are under way.
        """
        if self._session is not None:
            self._expected = self._session.expected_trials(ended, running)
        return max(self._expected, ended + running)

    def _refresh(self) -> list[TrialBrief]:
        """Take in what has changed; return the trials that have not finished."""
        finished = self._index.refresh()
        self._tally.add(finished)
        if self._window is not None:
            self._window.add(finished)
        return self._index.still_open()

    def _next(self) -> Job | None:
        while self.refused < MOST_IN_A_ROW:
            job = self._proposed()
            if job is None or not self._refuses(job):
                return job
        return None

    def _refuses(self, job: Job) -> bool:
        """End a trial that would cost too much; whether it did."""
        context, attributes = self.context, job.trial.user_attrs
        limits, cost = context.space.cost_limits, context.space.cost_before(job.config)
        if not limits.beyond(cost) or may_be_trained(attributes, context.plan.baseline):
            self.refused = 0
            self._refused_of.pop(job.config.variant, None)
            job.trial.set_user_attr(HASH, job.config.config_hash())
            job.trial.set_user_attr(RUN, job.config.run_key())
            return False
        refuse(self.study, job.trial, cost, context)
        if self.nearest is None or limits.worst(cost) < limits.worst(self.nearest):
            self.nearest = cost
        if ENQUEUED not in attributes:  # the sampler had no choice there
            self.refused += 1
            self._refused_of[job.config.variant] += MATCHED in attributes
        return True

    def _proposed(self) -> Job | None:
        """A trial, whatever it would cost."""
        still_open = self._refresh()
        running = [trial for trial in still_open if trial.state == TrialState.RUNNING]
        ended = self._tally.recorded(running)
        if self._are_enough(ended, len(running)) or exhausted(self.study):
            return None
        sampler = self.study.sampler
        self._study.waiting = [t.id for t in still_open if t.state == TrialState.WAITING]
        self.study.sampler, attributes = self._next_sampler(still_open)
        if self._window is not None:
            own = scored(self._window.trials(trial.id for trial in running))
            self._study.shown = [*self._earlier.before(own), *own]
        try:
            trial = self.study.ask()
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            config = self.context.space.suggest(trial)
        finally:
            self.study.sampler = sampler
            self._study.shown = self._study.waiting = None
        config = self._equal.fit(config, self._steps)
        if share := self.context.plan.pause:
            config = config.paused(share)
        config = self._with_free_seed(config, running)
        return Job(trial, config, proposer(trial.user_attrs))

    def _are_enough(self, ended: int, running: int) -> bool:
        """Whether no other trial is to begin."""
        session, most = self._session, self.context.plan.trials
        self.expect(ended, running)
        if session is not None and not session.begins_trial(ended + running):
            return True
        return most is not None and ended + running >= most

    def _next_sampler(self, still_open: Sequence[TrialBrief]) -> tuple[BaseSampler, dict[str, Any]]:
        """Who proposes the next trial, and the user attributes that say so.

        A waiting trial comes first, whoever is asked.
        """
        sampler: BaseSampler = self.study.sampler
        if any(trial.state == TrialState.WAITING for trial in still_open):
            return sampler, {}
        variants, proposers = self._tally.with_open(still_open)
        plan, existing = self.context.plan, len(self._index.trials)
        closed = [name for name, n in self._refused_of.items() if n >= NO_MORE_OF_VARIANT]
        variant = underrepresented_variant(
            variants, self.context.space.variants, self.context.matched, closed
        )
        if self.refused >= RANDOM_AFTER and self.refused % 2:
            sampler = random_sampler(plan, existing, stream=2)
        if variant is not None:
            return OfVariant(sampler, variant), {MATCHED: variant}
        if control_is_due(plan, proposers, self._expected):
            return random_sampler(plan, existing), {CONTROL: True}
        return sampler, {}

    def _with_free_seed(self, config: RunConfig, running: Sequence[TrialBrief]) -> RunConfig:
        # Keys of running trials too; an interrupted trial's key is free for its second try.
        taken = {trial.attributes.get(RUN) for trial in running}
        while config.run_key() in taken or self.context.store.get(config.run_key()) is not None:
            config = config.model_copy(update={"seed": config.seed + 1})
        return config
