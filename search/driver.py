"""The driver's work: ask for trials, have them run, record and tell; then the finalists."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.events import Listener
from attenergy.search.executors import Executor, run_all
from attenergy.search.fairness import Budget
from attenergy.search.objectives import order
from attenergy.search.pruning import Pruner, PruningListener
from attenergy.search.samplers import exhausted
from attenergy.search.trials import CONTROL, HASH, REASON, RETRIED, RUN, Setup, proposer, tell

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
        plan, store = self.setup.plan, self.setup.store
        running: dict[str, optuna.Trial] = {}
        done = len(self._recorded())
        listener = self._listener(running)
        listener.phase("trials", done, plan.trials)
        while True:
            while self.executor.free and done + len(running) < plan.trials:
                if exhausted(self.study):
                    break
                trial, config = self._ask()
                running[config.run_key()] = trial
                self.executor.submit(config, "trial")
                listener.started(config)
            if not running:
                break
            record = self.executor.wait(listener)
            trial = running.pop(record.key)
            record = record.model_copy(update={"proposer": proposer(trial.user_attrs)})
            store.append(record)
            if record.reason:
                trial.set_user_attr(REASON, record.reason)
            tell(self.study, trial, record, self.setup.objectives, self.setup.storage)
            listener.finished(record)
            done += 1
        if done < plan.trials:
            listener.message(f"the space holds no more: it was searched whole after {done} trials")

    def run_finalists(self) -> None:
        """Run the best configurations, and the best of the baseline, over fresh seeds.

        The seeds of the trials are not used again: a winner won partly by its seed.
        """
        plan, store, listener = self.setup.plan, self.setup.store, self.setup.listener
        if plan.finalists == 0:
            return
        best = self._ranked()
        baseline = [c for c in best if c.variant == plan.baseline] or self._baseline()
        chosen = {c.config_hash(): c for c in (*best[: plan.finalists], *baseline[:1])}
        first = plan.seed + FRESH_SEEDS
        configs = [
            self.budget.fit(config, plan.final_steps).model_copy(update={"seed": seed})
            for config in chosen.values()
            for seed in range(first, first + plan.seeds)
        ]
        known = sum(store.get(config.run_key()) is not None for config in configs)
        listener.phase("finalists", known, len(configs))
        run_all(configs, "final", self.executor, store, listener)

    def _listener(self, running: dict[str, optuna.Trial]) -> Listener:
        if self.pruner is None:
            return self.setup.listener
        self.pruner.remember(record for _, record in self._recorded())

        def protected(key: str) -> bool:
            # Every variant may take part once on its own terms, to the end.
            return proposer(running[key].user_attrs) == "default"

        return PruningListener(self.setup.listener, self.pruner, self.executor.stop, protected)

    def _ask(self) -> tuple[optuna.Trial, RunConfig]:
        sampler, control = self.study.sampler, self._control_is_due()
        if control:
            number = len(self.study.get_trials(deepcopy=False))
            seeds = np.random.SeedSequence([self.setup.plan.seed, number, 1])
            self.study.sampler = RandomSampler(seed=int(seeds.generate_state(1)[0]))
        try:
            trial = self.study.ask()
            if control:
                trial.set_user_attr(CONTROL, True)
            config = self.setup.space.suggest(trial)
        finally:
            self.study.sampler = sampler
        config = self._with_free_seed(self.budget.fit(config))
        trial.set_user_attr(HASH, config.config_hash())
        trial.set_user_attr(RUN, config.run_key())
        return trial, config

    def _control_is_due(self) -> bool:
        """Whether the next trial is one of the random ones, spread evenly among the sampler's."""
        plan = self.setup.plan
        trials = self.study.get_trials(deepcopy=False)
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

    def _recorded(self) -> list[tuple[FrozenTrial, RunRecord]]:
        # Trials that count, with their records. An interrupted trial and its second try carry
        # the same key: the later one counts.
        trials = self.study.get_trials(deepcopy=False)
        by_run = {trial.user_attrs.get(RUN, ""): trial for trial in trials}
        pairs = [(trial, self.setup.store.get(run)) for run, trial in by_run.items()]
        return [(trial, record) for trial, record in pairs if record is not None]

    def _ranked(self) -> list[RunConfig]:
        """Configurations of which no run diverged or was given up, the best first."""
        objectives = self.setup.objectives
        groups: dict[str, list[RunRecord]] = {}
        for _, record in self._recorded():
            groups.setdefault(record.config_hash, []).append(record)
        scores = {}
        for name, records in groups.items():
            done = [record for record in records if record.status == "complete"]
            if done and all(r.status not in ("diverged", "pruned") for r in records):
                scores[name] = [fmean(o.value(record) for record in done) for o in objectives]
        return [groups[name][0].config for name in order(scores, objectives)]

    def _baseline(self) -> list[RunConfig]:
        configs = [record.config for _, record in self._recorded()]
        return [config for config in configs if config.variant == self.setup.plan.baseline]
