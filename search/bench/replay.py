"""One search, replayed on a world: the real samplers, pruners and races, without any training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from attenergy.search.bench.choice import Choice
from attenergy.search.bench.policy import SearchPolicy
from attenergy.search.bench.proposals import Proposals
from attenergy.search.bench.simulation import SimulatedRun, SimulatedWorkers
from attenergy.search.bench.world import World
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.objectives import find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.results.finals import Finals
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.provenance import Purpose
from attenergy.search.study.finalist_queue import choose_finalists, choose_reference
from attenergy.search.study.rungs import Growth


@dataclass(frozen=True)
class Replayed:
    """What came of a search.

    Attributes:
        choices: second and regret, whenever the configuration that the search would name changed;
            at first that of naming any.
        trials: runs before the finals that came to an end.
        finals: runs of finalists that came to an end.
        seconds: when it ended.
    """

    choices: tuple[tuple[float, float], ...]
    trials: int
    finals: int
    seconds: float

    def regret(self, second: float = math.inf) -> float:
        """The regret of what it would have named at a time."""
        return [regret for at, regret in self.choices if at <= second][-1]


def replay(
    policy: SearchPolicy, world: World, seconds: float, *, workers: int = 2, seed: int = 0
) -> Replayed:
    """Replay a search.

    Args:
        policy: how the time is spent.
        world: what runs give and cost; another `seed` is another world with the same true scores.
        seconds: of simulated time, for all of it.
        workers: runs at a time.
        seed: of the sampler and of what the seeds of runs bring.

    Raises:
        ValueError: the table has no runs of the length that the policy's trials have.
    """
    return _Replay(policy, world.with_seed(seed), seconds, workers, seed).result()


class _Replay:
    def __init__(
        self, policy: SearchPolicy, world: World, seconds: float, workers: int, seed: int
    ) -> None:
        self._policy, self._world = policy, world
        self._workers = SimulatedWorkers(world, workers, seconds)
        self._deadline = policy.share * seconds  # of trials
        self._full = world.table.steps
        self._pauses = policy.survivors == "continue"
        steps = self._full if self._pauses else max(1, round(policy.steps * self._full))
        self._equal = EqualTraining("steps", world.space.reference().with_steps(steps))
        self._plan = self._planned(policy.trials or self._affordable(steps), seed)
        self._choice = Choice(world)
        self._ended = 0

    def result(self) -> Replayed:
        """Go through all stages."""
        records = self._trials()
        if self._policy.survivors:
            records = self._survivors(records)
        trials = self._ended
        if self._policy.finalists:
            self._finals(records)
        return Replayed(
            choices=tuple(self._choice.regrets),
            trials=trials,
            finals=self._ended - trials,
            seconds=self._workers.now,
        )

    def _planned(self, trials: int, seed: int) -> SearchPlan:
        policy = self._policy
        return self._world.table.plan(
            seed=seed,
            trials=trials,
            sampler=policy.sampler,
            pruner=policy.pruner,
            control=policy.control,
            finalists=policy.finalists,
            seeds=policy.seeds,
            final_steps=self._full,
        )

    def _affordable(self, steps: int) -> int:
        """Trials that the time for them pays for, at the mean price of the table."""
        policy, whole = self._policy, self._world.mean_seconds(self._full)
        each = policy.steps * whole if self._pauses else self._world.mean_seconds(steps)
        if policy.survivors:
            each += policy.keep * (whole - each if self._pauses else whole)
        return max(1, math.floor(self._deadline * self._workers.count / each))

    def _trials(self) -> list[tuple[SimulatedRun, RunRecord]]:
        """All trials that begin before the deadline."""
        world, task = self._world, self._world.task
        proposals = Proposals(self._plan, world.space, self._equal)
        pruner = PRUNERS[self._plan.pruner](task.metric, task.chance.get(task.metric, 0.0))
        pause = self._policy.steps if self._pauses else 1.0
        ended: list[tuple[SimulatedRun, RunRecord]] = []
        while True:
            while self._workers.free and self._workers.now < self._deadline:
                if (config := proposals.ask()) is None:
                    break
                self._workers.begin(config, pause)
                if pruner is not None:
                    pruner.begin(config)
            if (run := self._workers.evaluated()) is None:
                return ended
            stopped = ""
            if pruner is not None:
                stopped = pruner.judge(run.config.run_key(), run.point(task.metric))
                stopped = "" if proposals.protected(run.config) else stopped
            if stopped or not self._workers.proceed(run):
                record = self._note(run, "trial", stopped)
                proposals.tell(record)
                if pruner is not None and record.status == "diverged":
                    pruner.forget(record.key)
                ended.append((run, record))

    def _survivors(
        self, trials: Sequence[tuple[SimulatedRun, RunRecord]]
    ) -> list[tuple[SimulatedRun, RunRecord]]:
        """Train the better part of the trials to the end; the others count as given up."""
        self._choice.next_stage()
        policy, records = self._policy, [record for _, record in trials]
        growth = Growth(2, policy.keep, RunConfig.whole, policy.finalists)
        objectives, baseline = find_objectives(self._world.task, ()), self._plan.baseline
        places = {record.key: n for n, record in enumerate(records)}
        better = [places[r.key] for r in growth.survivors(records, objectives, baseline)]
        begin: list[Callable[[], object]] = []
        for n in better:
            run, record = trials[n]
            if self._pauses:
                begin.append(partial(self._workers.resume, run))
            else:
                whole = self._equal.fit(record.config, self._full)
                begin.append(partial(self._workers.begin, whole))
        given_up = [
            (run, record.model_copy(update={"status": "pruned"}))
            for n, (run, record) in enumerate(trials)
            if n not in better
        ]
        return self._all(begin, "trial") + given_up

    def _finals(self, trials: Sequence[tuple[SimulatedRun, RunRecord]]) -> None:
        """The race of the finalists."""
        records = [record for _, record in trials]
        task, workers = self._world.task, self._workers
        objectives = find_objectives(task, ())
        chosen = choose_finalists(records, self._plan, objectives, self._equal)
        left = FinalBudget("seconds", max(0.0, workers.end - workers.now))
        text = self._policy.final_budget
        finals = Finals(
            chosen,
            choose_reference(chosen, self._plan.baseline),
            self._plan.seeds,
            FinalBudget.read(text) if text else left,
            task,
            slots=workers.count,
            clock=lambda: workers.now,
        )
        self._choice.next_stage()
        played: list[RunRecord] = []
        while workers.now < workers.end and (coming := finals.next(played).runs):
            begin = [partial(workers.begin, config) for config in coming]
            played += [record for _, record in self._all(begin, "final")]

    def _all(
        self, begin: Iterable[Callable[[], object]], purpose: Purpose
    ) -> list[tuple[SimulatedRun, RunRecord]]:
        """Do runs in their order, as workers become free."""
        waiting = iter(begin)
        ended: list[tuple[SimulatedRun, RunRecord]] = []
        while True:
            while self._workers.free and (each := next(waiting, None)) is not None:
                each()
            if (run := self._workers.evaluated()) is None:
                return ended
            if not self._workers.proceed(run):
                ended.append((run, self._note(run, purpose)))

    def _note(self, run: SimulatedRun, purpose: Purpose, stopped: str = "") -> RunRecord:
        record = run.record(self._world.table.metric, purpose, self._workers.now, stopped)
        self._choice.add(record, self._workers.now)
        self._ended += 1
        return record
