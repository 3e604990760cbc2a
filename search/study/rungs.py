"""Trials are short, and the better of them go on from where they were.

With a pause a trial is the beginning of a whole run, whatever its schedule, and the best go on from
there to their ends. With several rungs every rung trains twice as long as the one before; it is a
whole training with a tail of its own (schedule `constant_tail`), so its score is that of a trained
model, and a survivor goes on from where the tail of its last rung began. Both come to the weights
that they would have had from the first step on, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attenergy.registry import AttenergyError, SearchSpaceError
from attenergy.search.budgets.session import TimedSession
from attenergy.search.engines.base import Executor
from attenergy.search.planning.objectives import Objective, order
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.results.finals import FinalsRound
from attenergy.search.results.study_folder import read_plan
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.context import SearchContext
from attenergy.search.study.finalist_queue import FinalistQueue
from attenergy.search.study.queue import run_queue
from attenergy.search.training.checkpoint import shared_states
from attenergy.search.training.schedule import tail_start

Records = Callable[[], Iterable[RunRecord]]


def first_steps(plan: SearchPlan, space: Space) -> int | None:
    """Training steps of a trial, where it is the first of several rungs; else None.

    Raises:
        ValueError: the trainings have no tail, or are too short for so many rungs.
    """
    if plan.rungs == 1:
        return None
    training = space.reference().training
    if tail_start(training) is None:
        raise SearchSpaceError(
            f"{plan.rungs} rungs need trainings that can go on: --fix schedule=constant_tail, "
            f"got schedule={training.schedule}"
        )
    if training.steps >> (plan.rungs - 1) < 1:
        raise SearchSpaceError(
            f"{training.steps} training steps are too few for {plan.rungs} rungs, each half as "
            "long as the next"
        )
    return training.steps >> (plan.rungs - 1)


def with_pause(plan: SearchPlan) -> SearchPlan:
    """The plan with a pause, where nobody has said whether trials pause: a study's own."""
    if plan.pause is not None:
        return plan
    before = None
    with suppress(AttenergyError):  # it is written anew in any case
        before = read_plan(Path(plan.folder))
    pause = before.pause or 0 if isinstance(before, SearchPlan) else plan.default_pause
    return plan.model_copy(update={"pause": pause}) if pause else plan


@dataclass(frozen=True)
class Growth:
    """How runs grow after the trials, which are the first rung.

    Attributes:
        rungs: how many there are.
        share: of the runs of a rung, that go on.
        grow: makes the run of the next rung of that of one.
        leaders: variants, the best first, the best run of each of which goes on in any case.
        word: what the rungs after the first are called; empty for a number.
    """

    rungs: int
    share: float
    grow: Callable[[RunConfig], RunConfig]
    leaders: int = 0
    word: str = ""

    @classmethod
    def of(cls, plan: SearchPlan) -> Growth | None:
        """That of a plan; None where trials are whole."""
        if plan.rungs > 1:
            return cls(plan.rungs, 1 / 2, lambda c: c.with_steps(2 * c.training.steps))
        if plan.pause:
            word = "the best trials, to their ends"
            return cls(2, plan.survivors, RunConfig.whole, plan.finalists, word)
        return None

    def title(self, rung: int) -> str:
        """What a rung is called, the trials being the first."""
        return self.word or f"rung {rung} of {self.rungs}"

    def survivors(
        self, records: Sequence[RunRecord], objectives: Sequence[Objective], baseline: str
    ) -> list[RunRecord]:
        """The runs of a rung that go on, by the objectives on the validation split.

        With the better part goes the best of the baseline, which has the same right to be trained,
        and is the first of all; and the best of each of the leading variants.
        """
        by_key = {record.key: record for record in records if record.status == "complete"}
        scores = {key: [o.value(record) for o in objectives] for key, record in by_key.items()}
        ranked = [by_key[key] for key in order(scores, objectives)]
        best = {record.config.variant: record for record in reversed(ranked)}
        of_baseline = best.pop(baseline, None)
        leaders = [record for record in ranked if best.get(record.config.variant) is record]
        better = ranked[: math.ceil(self.share * len(ranked) - 1e-9)]
        going_on = (*better, *leaders[: self.leaders], *filter(None, [of_baseline]))
        keys = {record.key for record in going_on}
        chosen = [record for record in ranked if record.key in keys]
        return sorted(chosen, key=lambda record: record is not of_baseline)


class Rungs:
    """What is trained after the trials, which are the first rung.

    Args:
        trials: records of the first rung.
        objectives: of the search.
        baseline: a variant.
        growth: how many rungs there are, and who goes on.
        records: gives what is recorded by now.
    """

    def __init__(
        self,
        trials: Sequence[RunRecord],
        objectives: Sequence[Objective],
        baseline: str,
        growth: Growth,
        records: Records,
    ) -> None:
        self._trials, self._objectives, self._baseline = trials, objectives, baseline
        self._growth, self._records = growth, records

    @property
    def first_round(self) -> list[RunConfig]:
        """The runs of the second rung, whether they are recorded or not."""
        return next((configs for _, configs in self._begun(())), [])

    def runs(self, records: Iterable[RunRecord]) -> list[RunConfig]:
        """The runs of all rungs that have begun, but for the first."""
        return [config for _, configs in self._begun(records) for config in configs]

    def wants(self, config: RunConfig) -> bool:
        """Whether a run belongs to a rung that has begun."""
        return config in self.runs(self._records())

    def next(self, records: Iterable[RunRecord]) -> FinalsRound:
        """The runs of the rung that has begun last and are not recorded."""
        records = list(records)
        keys, title, missing = {record.key for record in records}, "", list[RunConfig]()
        for rung, configs in self._begun(records):
            missing = [config for config in configs if config.run_key() not in keys]
            title = self._growth.title(rung)
        return FinalsRound(missing, title)

    def last(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """The records of the last rung; of the one before where none of it is complete."""
        by_key = {record.key: record for record in records}
        best = list(self._trials)
        for _, configs in self._begun(by_key.values()):
            ended = [by_key[c.run_key()] for c in configs if c.run_key() in by_key]
            if any(record.status == "complete" for record in ended):
                best = ended
        return best

    def _begun(self, records: Iterable[RunRecord]) -> Iterator[tuple[int, list[RunConfig]]]:
        """The number and the runs of every rung all of whose predecessors have ended."""
        by_key = {record.key: record for record in records}
        ended: list[RunRecord | None] = list(self._trials)
        for rung in range(2, self._growth.rungs + 1):
            known = [record for record in ended if record is not None]
            if not known or len(known) < len(ended):
                return
            better = self._growth.survivors(known, self._objectives, self._baseline)
            configs = [self._growth.grow(record.config) for record in better]
            yield rung, configs
            ended = [by_key.get(config.run_key()) for config in configs]


class RungQueue(FinalistQueue):
    """The runs of the rungs after the first, each a waiting trial of the study `NAME@rungs`."""

    purpose = "trial"
    suffix = "rungs"
    _out_of_time = "the time of the trials is over, and not all of the best have come to their ends"

    def _begins(self, session: TimedSession, config: RunConfig) -> bool:
        return session.begins_survivor(config)


def run_rungs(
    context: SearchContext,
    trials: Sequence[RunRecord],
    executor: Executor,
    on_remote_record: Callable[[RunRecord], None],
    session: TimedSession | None = None,
) -> list[RunRecord]:
    """Let the better part of the trials go on, and again, up to the last rung.

    Args:
        context: what the search works with.
        trials: records of the first rung.
        executor: does the runs.
        on_remote_record: called with every record of another driver.
        session: under a budget in time, if there is one.

    Returns:
        The records of the last rung; the trials where there is one rung only.
    """
    plan, store, growth = context.plan, context.store, Growth.of(context.plan)
    if growth is None:
        return list(trials)
    rungs = Rungs(trials, context.objectives, plan.baseline, growth, store.all)
    first = rungs.first_round
    recorded = sum(store.get(config.run_key()) is not None for config in first)
    context.listener.phase(growth.title(2), recorded, len(first))
    queue = RungQueue(context, rungs, on_remote_record, session)
    run_queue(queue, executor, context.listener, {})
    return rungs.last(store.all())


def forget_rungs(context: SearchContext) -> None:
    """Remove the states from which runs went on, unless they are to be kept."""
    plan = context.plan
    if Growth.of(plan) is not None and not plan.keep_checkpoints:
        checkpoints = plan.checkpoints(Path(plan.folder))
        configs = [record.config for record in context.store.all()]
        for name in {shared.stem for config in configs for shared in shared_states(config)}:
            checkpoints.discard_stems(name)
