"""The trials of a replayed search: who proposes them, by the rules of a real one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import Proposer, RunConfig, RunRecord
from attenergy.search.study.attributes import CONTROL, DEFAULT, MATCHED, proposer
from attenergy.search.study.samplers import (
    OfVariant,
    control_is_due,
    exhausted,
    make_sampler,
    random_sampler,
    underrepresented_variant,
)
from attenergy.search.study.trial_queue import matched_variants


class Proposals:
    """A study in memory.

    Args:
        plan: of the search; its seed is the sampler's.
        space: what is searched.
        equal: what makes their trainings equal.
    """

    def __init__(self, plan: SearchPlan, space: Space, equal: EqualTraining) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._plan, self._space, self._equal = plan, space, equal
        self._study = optuna.create_study(
            direction="maximize", sampler=make_sampler(plan, space, existing=0)
        )
        self._matched = matched_variants(plan, space)
        self._variants: Counter[str] = Counter()
        self._proposers: Counter[Proposer] = Counter()
        self._trials: dict[str, optuna.Trial] = {}
        self._most = plan.trials or 0
        self._waiting = 0
        for name in space.variants[: self._most]:
            self._study.enqueue_trial(space.defaults(name), user_attrs={DEFAULT: name})
            self._waiting += 1
            self._count(name, "default")

    def ask(self) -> RunConfig | None:
        """The next run; None if the plan has no more, or the sampler none."""
        if len(self._trials) >= self._most or exhausted(self._study):
            return None
        usual = self._study.sampler
        self._study.sampler, attributes = self._next_sampler()
        try:
            trial = self._study.ask()
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            config = self._equal.fit(self._space.suggest(trial))
        finally:
            self._study.sampler = usual
        if self._waiting:
            self._waiting -= 1
        else:
            self._count(config.variant, proposer(trial.user_attrs))
        while config.run_key() in self._trials:
            config = config.model_copy(update={"seed": config.seed + 1})
        self._trials[config.run_key()] = trial
        return config

    def protected(self, config: RunConfig) -> bool:
        """Whether no pruner may end the run: a variant's first, with its defaults."""
        return proposer(self._trials[config.run_key()].user_attrs) == "default"

    def tell(self, record: RunRecord) -> None:
        """End the trial of a run by what came of it."""
        trial = self._trials[record.key]
        if record.status == "complete":
            (score,) = record.metrics["valid"].values()
            self._study.tell(trial, score)
        elif record.status == "pruned":
            (score,) = record.metrics["valid"].values()
            trial.report(score, int(record.curve[-1]["step"]))
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _next_sampler(self) -> tuple[BaseSampler, dict[str, Any]]:
        sampler = self._study.sampler
        if self._waiting:
            return sampler, {}
        variant = underrepresented_variant(self._variants, self._space.variants, self._matched)
        if variant is not None:
            return OfVariant(sampler, variant), {MATCHED: variant}
        if control_is_due(self._plan, self._proposers, self._most):
            return random_sampler(self._plan, len(self._trials)), {CONTROL: True}
        return sampler, {}

    def _count(self, variant: str, by: Proposer) -> None:
        self._variants[variant] += 1
        self._proposers[by] += 1
