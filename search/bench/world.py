"""An objective made of a table of curves: what a run of any configuration would have given.

A proposal is answered by the configuration of the table that is nearest to it and of the same
variant, so the objective is constant in the cell of each. A run of it over a seed is the mean curve
of its measured runs plus what a seed changes: the deviation of one measured run from the mean of
its configuration, as a whole curve, drawn from configurations with similar mean curves.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from attenergy.registry import ArgumentError, Registry, UnknownName, load_registry
from attenergy.search.bench.table import CurveConfig, CurveTable
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.recording import parameters_of
from attenergy.tasks import make_task

#: Configurations, itself included, whose seeds stand for those of a configuration.
NEIGHBOURS = 8
_HIGH = 1.0  # the highest score of every metric of the tasks


@dataclass(frozen=True)
class Drawn:
    """One run over a seed: when it is evaluated, what it scores then, and whether it diverges."""

    at: tuple[int, ...]
    scores: tuple[float, ...]
    diverged: bool


class World:
    """The objective.

    Args:
        table: the measured runs.
        registry: where the table's variants, task and space are found; by default the built-in one.
        run_seconds: what a run of full length is to cost on average, all others in proportion; by
            default what it did cost.
        seed: of what the seeds of runs bring; another seed is another world with the same means.

    Raises:
        UnknownName: the registry lacks the task, or a variant.
    """

    def __init__(
        self,
        table: CurveTable,
        registry: Registry | None = None,
        *,
        run_seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        self.table, self._seed = table, seed
        #: what is searched: the table's variants, and the rest of its task's space
        self.space = Space(registry or load_registry(), table.plan())
        self.task = make_task(self.space.task)
        self._forms = self.space.distributions()
        self._shapes = {steps: _Shapes(table, steps) for steps in table.lengths}
        self._places: dict[str, tuple[int, int]] = {}
        self._scale = 1.0
        if run_seconds is not None:
            self._scale = run_seconds / self.mean_seconds(table.steps)

    def with_seed(self, seed: int) -> World:
        """The same means, other seeds of runs."""
        other = World.__new__(World)
        other.__dict__ = {**self.__dict__, "_seed": seed}
        return other

    @cached_property
    def means(self) -> tuple[float, ...]:
        """The true score of every configuration of the table: the mean of its full runs."""
        return tuple(map(float, self._shapes[self.table.steps].means[:, -1]))

    @cached_property
    def best(self) -> float:
        """The highest true score."""
        return max(self.means)

    @cached_property
    def mean(self) -> float:
        """The true score of a configuration of the table that is drawn by chance, on average."""
        return fmean(self.means)

    def mean_seconds(self, steps: int) -> float:
        """What a run of so many steps costs, on average over the table.

        Raises:
            ValueError: the table has no runs of so many steps.
        """
        points = len(self._shape(steps).at)
        each = [config.seconds(steps, points) for config in self.table.configs]
        return self._scale * fmean(each)

    def place(self, config: RunConfig) -> int:
        """The table's configuration that stands for a run.

        Raises:
            UnknownName: the table has none of its variant.
        """
        return self._place(self._params(config))[0]

    def nearest(self, params: Mapping[str, Any]) -> int:
        """The place of the configuration of the same variant that is nearest to the parameters.

        The square of the distance is the sum, over all parameters of the space that either has, of
        the squares of their differences: as a share of the range, on a log scale where the space
        has one; 1 between two choices, and where only one of the two has the parameter.

        Raises:
            UnknownName: the table has no configuration of the variant.
        """
        variant = str(params["variant"])
        places = self.table.by_variant.get(variant)
        if not places:
            raise UnknownName(
                f"variant of the table {self.table.name}", variant, self.table.variants
            )
        return min(places, key=lambda n: (self._distance(params, self.table.configs[n]), n))

    def truth(self, config: RunConfig) -> float:
        """The true score of a configuration, trained for the task's own steps."""
        return self.means[self.place(config)]

    def draw(self, config: RunConfig) -> Drawn:
        """The run: the same for the same configuration, steps and seed.

        Raises:
            ValueError: the table has no runs of so many steps.
        """
        steps = config.training.steps
        place, number = self._place(self._params(config))
        rng = np.random.default_rng([self._seed, config.seed, steps, number])
        return self._shape(steps).draw(place, rng)

    def seconds(self, config: RunConfig, steps: int, evaluations: int) -> float:
        """What a run has cost after so many steps and evaluations, its last included."""
        entry = self.table.configs[self.place(config)]
        ended = steps >= config.training.steps
        return self._scale * entry.seconds(steps, evaluations, ended=ended)

    def number(self, config: RunConfig) -> int:
        """A number that is the same for configurations with the same parameters."""
        return self._place(self._params(config))[1]

    def _shape(self, steps: int) -> _Shapes:
        if steps not in self._shapes:
            known = ", ".join(map(str, self._shapes))
            raise ArgumentError(
                f"the table {self.table.name} has runs of {known} steps, not of {steps}"
            )
        return self._shapes[steps]

    def _params(self, config: RunConfig) -> dict[str, Any]:
        known = parameters_of(config)
        return {name: known[name] for name in self._forms if name in known}

    def _place(self, params: dict[str, Any]) -> tuple[int, int]:
        """The place of the nearest configuration, and a number made of the parameters."""
        text = json.dumps(params, sort_keys=True)
        if text not in self._places:
            self._places[text] = self.nearest(params), zlib.crc32(text.encode())
        return self._places[text]

    def _distance(self, params: Mapping[str, Any], other: CurveConfig) -> float:
        return math.fsum(
            _difference(form, params.get(name), other.params.get(name)) ** 2
            for name, form in self._forms.items()
            if name in params or name in other.params
        )


class _Shapes:
    """Mean curves of all configurations at one length, and how seeds deviate from them."""

    def __init__(self, table: CurveTable, steps: int) -> None:
        runs = [config.runs_of(steps) for config in table.configs]
        whole = next(run for each in runs for run in each if not run.diverged)
        self.at = whole.at
        self.diverged = [all(run.diverged for run in each) for each in runs]
        floor = 0.0 if table.chance is None else table.chance
        curves = [
            np.array([_padded(run.scores, len(self.at), floor) for run in each]) for each in runs
        ]
        self.means = np.array([each.mean(axis=0) for each in curves])
        self._low = min(0.0, *(float(each.min()) for each in curves))
        self._deviations = {
            place: (each - each.mean(axis=0)) * math.sqrt(len(each) / (len(each) - 1))
            for place, each in enumerate(curves)
            if len(each) > 1
        }
        self._donors = [self._nearest_donors(place) for place in range(len(runs))]

    def draw(self, place: int, rng: np.random.Generator) -> Drawn:
        scores = self.means[place]
        if self._donors[place]:
            deviations = self._deviations[int(rng.choice(self._donors[place]))]
            scores = np.clip(scores + rng.choice(deviations), self._low, _HIGH)
        return Drawn(self.at, tuple(map(float, scores)), self.diverged[place])

    def _nearest_donors(self, place: int) -> list[int]:
        apart = {
            n: float(np.sum((self.means[n] - self.means[place]) ** 2)) for n in self._deviations
        }
        return sorted(apart, key=lambda n: (apart[n], n))[:NEIGHBOURS]


def _difference(form: BaseDistribution, one: Any, other: Any) -> float:
    if one is None or other is None:
        return 1.0
    if isinstance(form, CategoricalDistribution):
        return float(one != other)
    scale = math.log if form.log else float  # type: ignore[attr-defined]
    low, high = form.low, form.high  # type: ignore[attr-defined]
    span = scale(high) - scale(low)
    return min(1.0, abs(scale(one) - scale(other)) / span) if span else 0.0


def _padded(scores: tuple[float, ...], length: int, floor: float) -> list[float]:
    """The curve of a run; one that diverged is worth a guess from there on."""
    return [*scores[:length], *[floor] * (length - len(scores))]
