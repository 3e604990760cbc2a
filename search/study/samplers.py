"""The sampler of one session, whose turn it is to propose, and how one variant is asked for."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from attenergy.registry import ArgumentTypeError
from attenergy.search.planning.blocks import ALIKE, BLOCKS
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.samplers import SAMPLERS, SamplerRequest
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import Proposer


def make_sampler(plan: SearchPlan, space: Space, existing: int, place: int = 0) -> BaseSampler:
    """Make the plan's sampler, seeded by the plan's seed, by how many trials exist and by `place`.

    A sampler that started from the seed alone would repeat its first draws after every resume, and
    drivers that start together would draw the same; the second to join has the place 1.

    Raises:
        ValueError: `brute-force` over a quantity that is not finite, or `gp` without SciPy.
        TypeError: what a sampler of a user's own makes is none.
    """
    entropy = [plan.seed, existing, *([place] if place else [])]
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = SAMPLERS[plan.sampler].make(
            SamplerRequest(seed, plan.seed, space.distributions())
        )
    if not isinstance(sampler, BaseSampler):  # without one, Optuna would take its own
        raise ArgumentTypeError(
            f"the sampler {plan.sampler!r} must make one of Optuna's samplers, got {sampler!r:.60}",
            topic="search-space",
        )
    return sampler


def exhausted(study: optuna.Study) -> bool:
    """Whether the study's sampler has proposed all that there is."""
    return bool(getattr(study.sampler, "exhausted", False))


def underrepresented_variant(
    counts: Counter[str],
    variants: Iterable[str],
    matched: Collection[str],
    closed: Collection[str] = (),
) -> str | None:
    """A variant that is to have as many trials as any other, and has fewer.

    Args:
        counts: trials of each variant, those that wait or run included.
        variants: of the search.
        matched: those of them that are to have as many as the most tried of the others.
        closed: those that get no more.
    """
    most = max((counts[variant] for variant in variants if variant not in matched), default=0)
    fewer = [name for name in matched if counts[name] < most and name not in closed]
    return min(fewer, key=lambda variant: counts[variant], default=None)


def control_is_due(plan: SearchPlan, counts: Counter[Proposer], expected: int) -> bool:
    """Whether the next trial is one of the random ones, spread evenly among the sampler's.

    Args:
        plan: of the search.
        counts: trials by who proposed them, those that wait or run included.
        expected: trials in all.
    """
    free = counts["sampler"] + counts["matched"] + counts["control"]
    room = max(1, expected - (counts.total() - free))
    wanted = room // 5 if plan.control is None else plan.control
    if SAMPLERS[plan.sampler].random and plan.control is None:
        wanted = 0
    return counts["control"] < min(wanted, room) * (free + 1) // room


def random_sampler(plan: SearchPlan, existing: int, stream: int = 1) -> RandomSampler:
    """A sampler that draws at random, other values for every trial and every stream.

    Args:
        plan: its seed takes part.
        existing: trials that the study has.
        stream: 1 of the random control.
    """
    seeds = np.random.SeedSequence([plan.seed, existing, stream])
    return RandomSampler(seed=int(seeds.generate_state(1)[0]))


class OfVariant(BaseSampler):
    """Lets another sampler choose everything but the variant.

    Optuna's own `PartialFixedSampler` does not go with TPE that samples in groups.

    Args:
        sampler: chooses everything else.
        variant: the variant of every trial, of all its blocks.
    """

    def __init__(self, sampler: BaseSampler, variant: str) -> None:
        self._sampler = sampler
        self._fixed = {"variant": variant, BLOCKS: ALIKE}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the other sampler chooses together, without the variant."""
        space = self._sampler.infer_relative_search_space(study, trial)
        return {name: form for name, form in space.items() if name not in self._fixed}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The other sampler's joint choice, without the variant."""
        values = self._sampler.sample_relative(study, trial, search_space)
        return {name: value for name, value in values.items() if name not in self._fixed}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The variant, or the other sampler's choice."""
        if param_name in self._fixed:
            return self._fixed[param_name]
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepare the other sampler."""
        self._sampler.before_trial(study, trial)
