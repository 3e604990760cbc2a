"""The driver's work: ask for trials, have them run, record and tell; then the finalists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import optuna

from attenergy.search.engines.base import Executor, run_all
from attenergy.search.planning.budget import Budget
from attenergy.search.planning.objectives import order
from attenergy.search.planning.pruners import Pruner
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.study.attributes import Setup
from attenergy.search.study.finalist_queue import FinalJobs
from attenergy.search.study.pruning import PruningListener
from attenergy.search.study.queue import Job, work_off
from attenergy.search.study.trial_queue import TrialJobs

#: Seeds of finalists begin here, far above those of trials.
FRESH_SEEDS = 1000


@dataclass(frozen=True)
class Driver:
    """Runs the trials and the finalists of an open study."""

    setup: Setup
    study: optuna.Study
    executor: Executor
    budget: Budget
    pruner: Pruner | None = None

    def run_trials(self) -> None:
        """Ask, run, record and tell until as many trials as planned have ended."""
        plan = self.setup.plan
        running: dict[str, Job] = {}
        jobs = self._jobs
        known = jobs.recorded()
        listener = self._listener(running, known)
        listener.phase("trials", len(known), plan.trials)
        work_off(jobs, self.executor, listener, running)
        done = len(jobs.recorded())
        if done < plan.trials:
            listener.message(f"the space holds no more: it was searched whole after {done} trials")

    def run_finalists(self) -> None:
        """Run the best configurations, and the best of the baseline, over fresh seeds.

        The seeds of the trials are not used again: a winner won partly by its seed.
        """
        setup, listener = self.setup, self.setup.listener
        if setup.plan.finalists == 0:
            return
        configs = self._finalists()
        known = sum(setup.store.get(config.run_key()) is not None for config in configs)
        listener.phase("finalists", known, len(configs))
        if setup.plan.join:
            work_off(FinalJobs(setup, configs, self._heard), self.executor, listener, {})
        else:
            run_all(configs, "final", self.executor, setup.store, listener)

    @cached_property
    def _jobs(self) -> TrialJobs:
        return TrialJobs(self.setup, self.study, self.budget, self._heard)

    def _finalists(self) -> list[RunConfig]:
        plan = self.setup.plan
        records = self._jobs.recorded()
        best = self._ranked(records)
        tried = [record.config for record in records]
        baseline = [c for c in (*best, *tried) if c.variant == plan.baseline]
        chosen = {c.config_hash(): c for c in (*best[: plan.finalists], *baseline[:1])}
        first = plan.seed + FRESH_SEEDS
        return [
            self.budget.fit(config, plan.final_steps).model_copy(update={"seed": seed})
            for config in chosen.values()
            for seed in range(first, first + plan.seeds)
        ]

    def _ranked(self, trials: list[RunRecord]) -> list[RunConfig]:
        """Configurations of which no run diverged or was given up, the best first."""
        objectives = self.setup.objectives
        groups: dict[str, list[RunRecord]] = {}
        for record in trials:
            groups.setdefault(record.config_hash, []).append(record)
        scores = {}
        for name, records in groups.items():
            done = [record for record in records if record.status == "complete"]
            if done and all(r.status not in ("diverged", "pruned") for r in records):
                scores[name] = [fmean(o.value(record) for record in done) for o in objectives]
        return [groups[name][0].config for name in order(scores, objectives)]

    def _listener(self, running: dict[str, Job], known: list[RunRecord]) -> Listener:
        if self.pruner is None:
            return self.setup.listener
        self.pruner.remember(known)

        def protected(key: str) -> bool:
            # Every variant may take part once on its own terms, to the end.
            return running[key].proposer == "default"

        return PruningListener(self.setup.listener, self.pruner, self.executor.stop, protected)

    def _heard(self, record: RunRecord) -> None:
        """Another driver has ended a run."""
        if self.pruner is not None:
            self.pruner.remember([record])
        self.setup.listener.finished(record)
