"""Who proposes trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from attenergy.registry import ArgumentError
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space


def make_sampler(plan: SearchPlan, space: Space, existing: int, place: int = 0) -> BaseSampler:
    """Make the plan's sampler, seeded by the plan's seed, by how many trials exist and by `place`.

    A sampler that started from the seed alone would repeat its first draws after every resume, and
    drivers that start together would draw the same; the second to join has the place 1.
    `qmc` and `gp` plan only what all variants share; the settings of a variant are drawn at random.

    Raises:
        ValueError: `brute-force` over a quantity that is not finite, or `gp` without SciPy.
    """
    entropy = [plan.seed, existing, *([place] if place else [])]
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    if plan.sampler == "random":
        return RandomSampler(seed=seed)
    if plan.sampler == "nsga2":
        return NSGAIISampler(seed=seed)
    if plan.sampler == "brute-force":
        _check_finite(space)
    if plan.sampler == "gp" and find_spec("scipy") is None:
        raise ArgumentError("the sampler gp needs SciPy: pip install attenergy[gp]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if plan.sampler == "brute-force":
            return _Exhaustive(seed=seed)
        if plan.sampler == "qmc":
            # The sequence continues where the study has come to; its seed must not change.
            return QMCSampler(
                scramble=True,
                seed=plan.seed,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        if plan.sampler == "gp":
            return GPSampler(
                seed=seed,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


class OfVariant(BaseSampler):
    """Lets another sampler choose all but the variant.

    Optuna's own `PartialFixedSampler` does not go with TPE that samples in groups.
    """

    def __init__(self, sampler: BaseSampler, variant: str) -> None:
        self._sampler, self._variant = sampler, variant

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the other one samples together, without the variant."""
        space = self._sampler.infer_relative_search_space(study, trial)
        return {name: form for name, form in space.items() if name != "variant"}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the other one samples together, without the variant."""
        values = self._sampler.sample_relative(study, trial, search_space)
        return {name: value for name, value in values.items() if name != "variant"}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The variant, or what the other one says."""
        if param_name == "variant":
            return self._variant
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the other one."""
        self._sampler.before_trial(study, trial)


class _Exhaustive(BruteForceSampler):
    """Every combination once; remembers that there are no more."""

    over = False

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Note the end instead of stopping a loop of Optuna's, which there is none of."""
        try:
            super().after_trial(study, trial, state, values)
        except RuntimeError:
            self.over = True


def exhausted(study: optuna.Study) -> bool:
    """Whether the sampler has proposed all that there is."""
    sampler: Any = study.sampler
    return isinstance(sampler, _Exhaustive) and sampler.over


def _check_finite(space: Space) -> None:
    forms = space.distributions().items()
    endless = [n for n, form in forms if isinstance(form, FloatDistribution) and not form.step]
    if endless:
        raise ArgumentError(
            "the sampler brute-force needs a finite space, but these are continuous: "
            f"{', '.join(endless)}; fix them or choose another sampler"
        )
