"""Brute force: every combination of a finite space once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BruteForceSampler
from optuna.trial import FrozenTrial, TrialState

from attenergy.registry import SearchSpaceError


class ExhaustiveSampler(BruteForceSampler):
    """Proposes every combination once.

    Attributes:
        exhausted: whether there are no more.
    """

    exhausted = False

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Note the end, where Optuna would stop its own loop over trials, which is not used."""
        try:
            super().after_trial(study, trial, state, values)
        except RuntimeError:
            self.exhausted = True


def check_finite(distributions: Mapping[str, BaseDistribution]) -> None:
    """Raise ArgumentError if a quantity is continuous."""
    continuous = [
        name
        for name, distribution in distributions.items()
        if isinstance(distribution, FloatDistribution) and not distribution.step
    ]
    if continuous:
        raise SearchSpaceError(
            "the sampler brute-force needs a finite space, but these are continuous: "
            f"{', '.join(continuous)}; fix them or choose another sampler"
        )
