"""Successive halving whose survivors go on: every rung trains twice as long as the one before.

A rung is a whole training with a tail of its own (schedule `constant_tail`), so its score is that
of a trained model. A survivor goes on from where the tail of its last rung began, to the weights
that it would have had from the first step on, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attenergy.registry import ArgumentError
from attenergy.search.engines.base import Executor
from attenergy.search.planning.objectives import Objective, order
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.results.finals import FinalsRound
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.context import SearchContext
from attenergy.search.study.finalist_queue import FinalistQueue
from attenergy.search.study.queue import run_queue
from attenergy.search.training.checkpoint import stem
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
        raise ArgumentError(
            f"{plan.rungs} rungs need trainings that can go on: --fix schedule=constant_tail, "
            f"got schedule={training.schedule}"
        )
    if training.steps >> (plan.rungs - 1) < 1:
        raise ArgumentError(
            f"{training.steps} training steps are too few for {plan.rungs} rungs, each half as "
            "long as the next"
        )
    return training.steps >> (plan.rungs - 1)


class Rungs:
    """What is trained after the trials, which are the first rung.

    At every rung the better half of the runs goes on, by the objectives on the validation split,
    and with it the best of the baseline, which has the same right to be trained.

    Args:
        trials: records of the first rung.
        objectives: of the search.
        baseline: a variant.
        rungs: how many there are.
        records: gives what is recorded by now.
    """

    def __init__(
        self,
        trials: Sequence[RunRecord],
        objectives: Sequence[Objective],
        baseline: str,
        rungs: int,
        records: Records,
    ) -> None:
        self._trials, self._objectives, self._baseline = trials, objectives, baseline
        self._rungs, self._records = rungs, records

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
            title = self.title(rung)
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

    def title(self, rung: int) -> str:
        """What a rung is called, the trials being the first."""
        return f"rung {rung} of {self._rungs}"

    def _begun(self, records: Iterable[RunRecord]) -> Iterator[tuple[int, list[RunConfig]]]:
        """The number and the runs of every rung all of whose predecessors have ended."""
        by_key = {record.key: record for record in records}
        ended: list[RunRecord | None] = list(self._trials)
        for rung in range(2, self._rungs + 1):
            known = [record for record in ended if record is not None]
            if not known or len(known) < len(ended):
                return
            configs = [self._grown(record.config) for record in self._survivors(known)]
            yield rung, configs
            ended = [by_key.get(config.run_key()) for config in configs]

    def _survivors(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        by_key = {record.key: record for record in records if record.status == "complete"}
        scores = {k: [o.value(record) for o in self._objectives] for k, record in by_key.items()}
        ranked = [by_key[key] for key in order(scores, self._objectives)]
        better = (len(ranked) + 1) // 2
        baseline = [r for r in ranked[better:] if r.config.variant == self._baseline]
        held = any(r.config.variant == self._baseline for r in ranked[:better])
        return ranked[:better] + ([] if held else baseline[:1])

    @staticmethod
    def _grown(config: RunConfig) -> RunConfig:
        return config.with_steps(2 * config.training.steps)


class RungQueue(FinalistQueue):
    """The runs of the rungs after the first, each a waiting trial of the study `NAME@rungs`."""

    purpose = "trial"
    suffix = "rungs"


def run_rungs(
    context: SearchContext,
    trials: Sequence[RunRecord],
    executor: Executor,
    on_remote_record: Callable[[RunRecord], None],
) -> list[RunRecord]:
    """Let the better half of the trials go on, and again, up to the last rung.

    Args:
        context: what the search works with.
        trials: records of the first rung.
        executor: does the runs.
        on_remote_record: called with every record of another driver.

    Returns:
        The records of the last rung.
    """
    plan, store = context.plan, context.store
    rungs = Rungs(trials, context.objectives, plan.baseline, plan.rungs, store.all)
    first = rungs.first_round
    recorded = sum(store.get(config.run_key()) is not None for config in first)
    context.listener.phase(rungs.title(2), recorded, len(first))
    run_queue(RungQueue(context, rungs, on_remote_record), executor, context.listener, {})
    return rungs.last(store.all())


def forget_rungs(context: SearchContext) -> None:
    """Remove the states from which runs went on, unless they are to be kept."""
    plan = context.plan
    if plan.rungs > 1 and not plan.keep_checkpoints:
        checkpoints = plan.checkpoints(Path(plan.folder))
        for name in {stem(record.config) for record in context.store.all()}:
            checkpoints.discard_stems(name)
