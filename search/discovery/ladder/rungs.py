"""Rungs: a task and a number of training steps on which the score of a formula is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from attenergy.registry import (
    EnergySpec,
    Registry,
    Scalar,
    SearchSpaceError,
    TaskSpec,
    VariantSpec,
)
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.planning.ranges import layer_defaults
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.tasks import Task, make_task, with_content

#: The task of the first rung, on which nothing is trained.
UNTRAINED = "denoising"
#: Share of a task's training steps that the rung before the full one takes. The accuracy of 38
#: variants after a quarter of their steps on raven-small orders that at the end with a rank
#: correlation of .81, after an eighth .74, after a half .86 (studies/records/zoo); whole runs of a
#: quarter on recall .93 (benchmarks/results/growing.json).
FEW_STEPS = 0.25
#: Tasks whose full run takes no longer than this have no rung with fewer steps.
_SHORT = 3.0  # seconds
_NUMBER = "number_"


@dataclass(frozen=True)
class Rung:
    """A task, the steps of training on it, and the score of what was trained.

    Args:
        name: of the rung, as scores and reports name it: the task, and `@steps` where there are
            fewer than the task's own.
        task: name of the task in the registry.
        spec: of the task.
        steps: of training; 0 where nothing is trained.
        share: of the task's own training steps; 1 for all of them, and where there are none.

    Example:
        >>> ladder = Ladder.of(["stacked-recall"], attenergy.load_registry(plugins=False))
        >>> [rung.name for rung in ladder.rungs]
        ['denoising', 'stacked-recall@375', 'stacked-recall']
    """

    name: str
    task: str
    spec: TaskSpec
    steps: int
    share: float

    @property
    def trained(self) -> bool:
        """Whether anything is trained."""
        return self.steps > 0

    def config(self, candidate: Candidate, settings: Mapping[str, Scalar], seed: int) -> RunConfig:
        """The run of a formula on the rung.

        The same formula with the same settings and seed is the same run, with one key.

        Args:
            candidate: the formula.
            settings: of its layer (initial values of parameters, `steps`, `step_size`), and
                `number_0`, `number_1` ... for its constants and exponents; those that are not
                there keep their values. Where parameters are trained they begin with their own
                initial values: an inverse temperature that suits a memory is too high for
                projections that have still to be learned.
            seed: of the weights and the training.
        """
        tuned, own = with_settings(candidate, settings)
        if self.trained:
            own = {name: v for name, v in own.items() if name not in tuned.parameters}
        return self.run_of(f"discovered-{tuned.key}", tuned.entry(title=tuned.formula), own, seed)

    def run_of(
        self, variant: str, layer: EnergySpec, settings: Mapping[str, Scalar], seed: int
    ) -> RunConfig:
        """The run of an entry on the rung, such as that of the baseline.

        Args:
            variant: its name.
            layer: the entry.
            settings: of its layer.
            seed: of the weights and the training.
        """
        config = RunConfig(
            variant=variant,
            layer=layer,
            settings=dict(settings),
            task=self.task,
            task_spec=self.spec,
            model=self.spec.model,
            training=self.spec.training,
            seed=seed,
        )
        return config.with_steps(self.steps)

    def score(self, record: RunRecord) -> float:
        """(value - chance)/(ceiling - chance) of the task's metric on `valid`.

        0 is guessing and 1 the best that is possible; minus infinity where the run gave no finite
        value. A ceiling that is not known counts as 1.
        """
        value = record.metrics.get("valid", {}).get(self._task.metric, math.nan)
        if record.status != "complete" or not math.isfinite(value):
            return -math.inf
        low, high = self._levels
        return (value - low) / (high - low)

    @cached_property
    def _task(self) -> Task:
        return make_task(self.spec)

    @cached_property
    def _levels(self) -> tuple[float, float]:
        """Chance and ceiling of the metric."""
        best = self._task.ceiling("valid")
        low = self._task.chance.get(self._task.metric, 0.0)
        return low, 1.0 if best is None else best.value


@dataclass(frozen=True)
class Ladder:
    """Rungs in the order in which a formula takes them, each dearer than the last.

    Example:
        >>> Ladder.of(["raven-small"], attenergy.load_registry(plugins=False)).names
        ('denoising', 'raven-small@400', 'raven-small')
    """

    rungs: tuple[Rung, ...]

    @classmethod
    def of(cls, tasks: Sequence[str], registry: Registry) -> Ladder:
        """A task without training, then for every task a run with few steps and a full one.

        A full run that takes a few seconds has no run with fewer steps before it.

        Args:
            tasks: names of tasks, from cheap to dear.
            registry: where they are looked up.

        Raises:
            ValueError: no task is named, or one that the registry does not have.
        """
        if not tasks:
            raise SearchSpaceError("a ladder needs a task to train on, got none")
        rungs: dict[str, Rung] = {}
        for task in (UNTRAINED, *tasks):
            spec = with_content(registry.task(task))
            rungs |= {rung.name: rung for rung in _of_task(task, spec)}
        return cls(tuple(rungs.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rungs."""
        return tuple(rung.name for rung in self.rungs)

    def rung(self, name: str) -> Rung:
        """The rung of that name."""
        return next(rung for rung in self.rungs if rung.name == name)


def number_name(place: int) -> str:
    """What settings call the constant or exponent at a place of `Candidate.numbers`."""
    return f"{_NUMBER}{place}"


def with_settings(
    candidate: Candidate, settings: Mapping[str, Scalar]
) -> tuple[Candidate, dict[str, Scalar]]:
    """The candidate with the constants and exponents that settings have, and those of its layer.

    Raises:
        FormulaError: a function cannot take one of the numbers.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> energy = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
        >>> tuned, own = with_settings(energy, {"number_0": 0.7, "beta": 2.0, "steps": 2})
        >>> tuned.formula, own
        ('0.7*|xi|^2 - lse((beta*X) @ xi)/beta', {'beta': 2.0, 'steps': 2})
    """
    numbers = tuple(
        float(settings.get(number_name(place), value))
        for place, value in enumerate(candidate.numbers)
    )
    tuned = candidate if numbers == candidate.numbers else candidate.with_numbers(numbers)
    return tuned, {name: v for name, v in settings.items() if not name.startswith(_NUMBER)}


def settings_of(entry: VariantSpec, settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those of a formula's settings that an entry has, too, and does not learn.

    Initial values of what is learned stay the entry's: they were tuned where nothing is learned.

    Example:
        >>> entry = attenergy.load_registry(plugins=False).energies["lse"]
        >>> settings_of(entry, {"beta": 2.0, "step_size": 0.5, "number_0": 0.7})
        {'step_size': 0.5}
    """
    learned = entry.parameters if isinstance(entry, EnergySpec) else {}
    known = layer_defaults(entry).keys() - learned.keys()
    return {name: value for name, value in settings.items() if name in known}


def _of_task(task: str, spec: TaskSpec) -> list[Rung]:
    steps = spec.training.steps
    full = Rung(task, task, spec, steps, 1.0)
    few = round(FEW_STEPS * steps)
    short = spec.seconds is not None and spec.seconds <= _SHORT
    if few == 0 or short:
        return [full]
    return [Rung(f"{task}@{few}", task, spec, few, few / steps), full]
