"""The finalists: who they are, and the queue of their runs, which grows by the round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import fmean
from typing import ClassVar, Protocol

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.budgets.session import TimedSession
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.objectives import Objective, order
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.finals import FinalsRound
from attenergy.search.results.ranking import mean_cost
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.provenance import Purpose
from attenergy.search.storage.retry import RetryOnOutage, retrying
from attenergy.search.study.attributes import CONFIG, RUN
from attenergy.search.study.context import SearchContext
from attenergy.search.study.queue import Job, RunQueue
from attenergy.search.study.recording import add_record, finalist_attributes, tell_record
from attenergy.search.study.stale_trials import fail_trial

_ROUND = "round"  # user attribute of the study: title and total of the round that was begun last
#: Seeds of finalists begin here, far above those of trials.
FRESH_SEEDS = 1000


def choose_finalists(
    trials: Sequence[RunRecord],
    plan: SearchPlan,
    objectives: Sequence[Objective],
    equal: EqualTraining,
) -> list[RunConfig]:
    """The best configuration of each variant, and that of the baseline, with the first fresh seed.

    A search is to say which variant is worth having, so a second configuration of one comes after
    the first of every other, the best first. With several objectives the order is that of the
    front, whatever the variants. The seeds of the trials are not used again: a winner won partly by
    its seed. All are within the limits of cost by the mean of their trials, but for the baseline
    where nothing of it is: it is the reference then. Where no trial is the baseline's, because of
    what is fixed, that is its defaults.
    """
    ranked = _ranked(trials, objectives)
    beyond = _beyond(trials, CostLimits(plan.cost_limits))
    best = [config for config in ranked if config.config_hash() not in beyond]
    if len(objectives) == 1:
        leaders = {c.variant: c for c in reversed(best) if c.variant != plan.baseline}
        best.sort(key=lambda c: leaders.get(c.variant) is not c)
    baseline = [
        config
        for config in (*best, *ranked, *(record.config for record in trials), equal.reference)
        if config.variant == plan.baseline
    ]
    chosen = {c.config_hash(): c for c in (*best[: plan.finalists], *baseline[:1])}
    seed = {"seed": plan.seed + FRESH_SEEDS}
    return [equal.fit(c, plan.final_steps).model_copy(update=seed) for c in chosen.values()]


def choose_reference(finalists: Sequence[RunConfig], baseline: str) -> RunConfig | None:
    """The finalist that the others are held against: the baseline's, the best of its trials.

    None where the baseline has no finalist.
    """
    return next((config for config in finalists if config.variant == baseline), None)


def _ranked(trials: Sequence[RunRecord], objectives: Sequence[Objective]) -> list[RunConfig]:
    """Configurations of which no run diverged or was pruned, the best first."""
    groups: dict[str, list[RunRecord]] = {}
    for record in trials:
        groups.setdefault(record.config_hash, []).append(record)
    scores = {}
    for name, records in groups.items():
        complete = [record for record in records if record.status == "complete"]
        if complete and all(r.status not in ("diverged", "pruned") for r in records):
            scores[name] = [fmean(o.value(record) for record in complete) for o in objectives]
    return [groups[name][0].config for name in order(scores, objectives)]


def _beyond(trials: Sequence[RunRecord], limits: CostLimits) -> set[str]:
    """Hashes of the configurations whose runs with a score cost more, on average, than allowed."""
    groups: dict[str, list[RunRecord]] = {}
    for record in trials:
        if record.status == "complete":
            groups.setdefault(record.config_hash, []).append(record)
    return {name for name, records in groups.items() if limits.beyond(mean_cost(records))}


class Rounds(Protocol):
    """Runs that come in rounds, each derived from the records of those before; see `Finals`."""

    @property
    def first_round(self) -> list[RunConfig]:
        """The runs of the first round, whether they are recorded or not."""

    def runs(self, records: Iterable[RunRecord]) -> list[RunConfig]:
        """The runs of the first round, and of all others that have begun."""

    def wants(self, config: RunConfig) -> bool:
        """Whether a run belongs to a round that has begun."""

    def next(self, records: Iterable[RunRecord]) -> FinalsRound:
        """The runs that come next, from the records of those that were made."""


class FinalistQueue(RunQueue):
    """Every run is a waiting trial of a second study, `NAME@finals`, until a driver takes it.

    Once all have ended, whichever driver notices first derives the next round from the records and
    offers it, while it excludes the others.

    Args:
        context: what the search works with.
        finals: the runs that are wanted, round by round; all drivers find the same, from the same
            records.
        on_remote_record: called with every record of another driver.
        session: under a budget in time, if there is one.
    """

    purpose: ClassVar[Purpose] = "final"
    suffix: ClassVar[str] = "finals"
    _out_of_time: ClassVar[str] = "the finals end in the middle of a round: the time is over"

    def __init__(
        self,
        context: SearchContext,
        finals: Rounds,
        on_remote_record: Callable[[RunRecord], None],
        session: TimedSession | None = None,
    ) -> None:
        make_study = partial(
            optuna.create_study,
            study_name=f"{context.plan.study}@{self.suffix}",
            storage=context.storage,
            direction="maximize",
            load_if_exists=True,
            sampler=RandomSampler(seed=0),  # there is nothing to sample
        )
        retry = RetryOnOutage(context.storage, context.lock, context.listener)
        super().__init__(context, retry(make_study), on_remote_record)
        self._finals, self._session = finals, session
        self._title = self._ending = ""  # what the listener was told last
        self._begin()

    @retrying
    def _begin(self) -> None:
        """Put the study in order, and offer the first round."""
        context = self.context
        with context.lock.exclusive():
            self._catch_up()
            first = self._finals.first_round
            if context.lock.alone:
                self._recover()
                self._withdraw()
                if not self._in_state(TrialState.WAITING):
                    self.study.set_user_attr(_ROUND, {})
            trials = self.study.get_trials(deepcopy=False)
            present = {trial.user_attrs[RUN] for trial in trials if self._counts(trial)}
            for config in self._finals.runs(context.store.all()):
                record = context.store.get(config.run_key())
                if record is not None and record.key not in present:
                    add_record(self.study, record, context, self.purpose)
            self._offer(first)

    def _offer(self, configs: Sequence[RunConfig]) -> None:
        """Let every run that is not in the study yet wait there for a driver."""
        trials = self.study.get_trials(deepcopy=False)
        present = {trial.user_attrs[RUN] for trial in trials if self._counts(trial)}
        for config in configs:
            if config.run_key() not in present:
                self.study.enqueue_trial({}, user_attrs=finalist_attributes(config))

    def _counts(self, trial: FrozenTrial) -> bool:
        """Whether a trial is, or stands for, a try of its run: not if it ended unrecorded."""
        recorded = self.context.store.get(trial.user_attrs[RUN]) is not None
        return recorded or not trial.state.is_finished()

    def _withdraw(self) -> None:
        """End waiting runs that an earlier session wanted, and this one does not.

        A round that it had begun is played to its end: who has a part in it was settled before.
        """
        for trial in self._in_state(TrialState.WAITING):
            if not self._finals.wants(RunConfig.model_validate_json(trial.user_attrs[CONFIG])):
                fail_trial(trial, self.context)

    def _next(self) -> Job | None:
        while True:
            while waiting := self._in_state(TrialState.WAITING):
                if not self._in_time(waiting[0]):
                    return None
                trial = self.study.ask()
                config = RunConfig.model_validate_json(trial.user_attrs[CONFIG])
                record = self.context.store.get(config.run_key())
                if record is None:
                    self._announce()
                    return Job(trial, config, "")
                tell_record(self.study, trial, record, self.context)
            if self._in_state(TrialState.RUNNING) or not self._next_round():
                return None

    def _in_time(self, waiting: FrozenTrial) -> bool:
        """Whether a run is to begin; else it waits for another session."""
        if self._session is None or self.context.store.get(waiting.user_attrs[RUN]) is not None:
            return True
        config = RunConfig.model_validate_json(waiting.user_attrs[CONFIG])
        if self._begins(self._session, config):
            return True
        self._end(self._out_of_time)
        return False

    def _begins(self, session: TimedSession, config: RunConfig) -> bool:
        return session.begins_run(config)

    def _next_round(self) -> bool:
        """Offer the runs of another round; whether there is one."""
        coming = self._finals.next(self.context.store.all())
        if coming.runs:
            total = self._recorded() + len(coming.runs)
            self.study.set_user_attr(_ROUND, {"title": coming.title, "total": total})
            self._offer(coming.runs)
        else:
            self._end(coming.end)
        return bool(coming.runs)

    def _end(self, why: str) -> None:
        if why and why != self._ending:
            self._ending = why
            self.context.listener.message(why)

    def _announce(self) -> None:
        """Tell the listener of a round that it does not know, whoever offered it."""
        about = self.study.user_attrs.get(_ROUND, {})
        if about and about["title"] != self._title:
            self._title = about["title"]
            self.context.listener.phase(self._title, self._recorded(), about["total"])

    def _recorded(self) -> int:
        store = self.context.store
        runs = self._finals.runs(store.all())
        return sum(store.get(config.run_key()) is not None for config in runs)

    def _in_state(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)
