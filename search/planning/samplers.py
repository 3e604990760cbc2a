"""The samplers, which propose the parameters of trials: one row each, open for others to add to.

A row is imported without Optuna, so that the command line can name the samplers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attenergy.registry import ArgumentError, Catalogue

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class SamplerRequest:
    """What a sampler is made from.

    Attributes:
        seed: of this session's draws; another one after every resume and for every driver.
        study_seed: the plan's seed, the same in every session.
        distributions: the open quantities of the space.
    """

    seed: int
    study_seed: int
    distributions: Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Sampler:
    """One row of `SAMPLERS`.

    Attributes:
        make: makes an Optuna sampler. One that has an attribute `exhausted` ends the search once
            that is true.
        exhaustive: whether it proposes every combination once; then no variant is given extra
            trials, and drivers cannot join.
        random: whether it draws at random, so that it needs no random control beside it.
        window: how many trials with a score it is shown at most, the best and the latest; None
            for all. What a sampler with a model of the trials costs grows with their number.
        takes_earlier: whether it may be shown, among them, trials of earlier studies, whose numbers
            are negative and whose values say their order alone.
    """

    make: Callable[[SamplerRequest], BaseSampler]
    exhaustive: bool = False
    random: bool = False
    window: int | None = None
    takes_earlier: bool = False


def _tpe(request: SamplerRequest) -> BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(multivariate=True, group=True, constant_liar=True, seed=request.seed)


def _random(request: SamplerRequest) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=request.seed)


def _quasi_monte_carlo(request: SamplerRequest) -> BaseSampler:
    # Plans only what all variants share; the settings of a variant are drawn at random.
    from optuna.samplers import QMCSampler

    return QMCSampler(
        scramble=True,
        seed=request.study_seed,  # every session goes on with one sequence
        independent_sampler=_random(request),
        warn_independent_sampling=False,
    )


def _brute_force(request: SamplerRequest) -> BaseSampler:
    from attenergy.search.planning.exhaustive import ExhaustiveSampler, check_finite

    check_finite(request.distributions)
    return ExhaustiveSampler(seed=request.seed)


def _gaussian_process(request: SamplerRequest) -> BaseSampler:
    # Plans only what all variants share; the settings of a variant are drawn at random.
    if find_spec("scipy") is None:
        raise ArgumentError(
            "the sampler gp needs SciPy: pip install attenergy[gp]", topic="missing-package"
        )
    from optuna.samplers import GPSampler

    class FreshConstraints(GPSampler):
        # Optuna 5.0 begins the fit of a constraint where the last one ended, even if the trials
        # have fewer quantities in common by now, and fails.
        def sample_relative(self, *arguments: Any) -> dict[str, Any]:
            self._constraints_gprs_cache_list = None
            return super().sample_relative(*arguments)

    return FreshConstraints(
        seed=request.seed,
        independent_sampler=_random(request),
        warn_independent_sampling=False,
    )


def _nsga2(request: SamplerRequest) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=request.seed)


#: Of the samplers below: 25 trials, the best, are all that TPE ever takes for good ones.
WINDOW = 300

#: Every sampler by its name.
SAMPLERS: Catalogue[Sampler] = Catalogue(
    "sampler",
    Sampler,
    {
        "tpe": Sampler(_tpe, window=WINDOW, takes_earlier=True),
        "random": Sampler(_random, random=True),
        "qmc": Sampler(_quasi_monte_carlo),
        "brute-force": Sampler(_brute_force, exhaustive=True),
        "gp": Sampler(_gaussian_process, window=WINDOW),
        "nsga2": Sampler(_nsga2),
    },
    instances=True,
    row=Sampler,
)

register_sampler = SAMPLERS.register
