"""A comparison at each of several values: of the model, its training, a layer, or the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from attenergy.registry import ArgumentError, ModelSpec, Registry, Scalar, TrainingSpec, UnknownName
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.planning.ranges import layer_defaults
from attenergy.search.runs.names import path_part, point_name
from attenergy.tasks import CLASSES
from attenergy.tasks.core.options import options_of

#: Most comparisons of one call.
MOST_POINTS = 200


@dataclass(frozen=True)
class Comparison:
    """One comparison among several: its heading, its task, and what it changes of the plan.

    Attributes:
        name: of its folder.
        task: a name in the registry.
        options: of the task.
        fix: as `--fix`.
        steps: of training; None for the plan's.
        point: quantity that is gone through -> its value here.
    """

    name: str
    task: str
    options: Mapping[str, Scalar]
    fix: Mapping[str, Scalar] = field(default_factory=dict)
    steps: int | None = None
    point: Mapping[str, Scalar] = field(default_factory=dict)

    def of(self, plan: ComparePlan, folder: str) -> ComparePlan:
        """The plan of this comparison."""
        changes = {
            "name": f"{self.task}-{self.name}",
            "folder": folder,
            "task": self.task,
            "task_options": {**plan.task_options, **self.options},
            "fix": {**plan.fix, **self.fix},
            "steps": plan.steps if self.steps is None else self.steps,
        }
        return plan.model_copy(update=changes)


@dataclass(frozen=True)
class Change:
    """What one value of a quantity changes of a plan."""

    options: Mapping[str, Scalar] = field(default_factory=dict)
    fix: Mapping[str, Scalar] = field(default_factory=dict)
    steps: int | None = None


def _steps(value: int, model: ModelSpec, training: TrainingSpec) -> Change:
    return Change(steps=value)


def _seen_instances(value: int, model: ModelSpec, training: TrainingSpec) -> Change:
    return Change(steps=max(1, value // training.batch_size))


def _width_factor(value: int, model: ModelSpec, training: TrainingSpec) -> Change:
    sizes = {name: value * getattr(model, name) for name in ("width", "heads", "mlp")}
    return Change(fix={name: size for name, size in sizes.items() if size})


#: Quantities that are no field: what a whole number of each changes, beside the task's own values.
#: `seen_instances` are read once, in so many steps as that takes; a `width_factor` multiplies
#: width, heads and feed-forward width (both: Schug et al. 2025, arXiv:2406.05816, section 5).
QUANTITIES: dict[str, Callable[[int, ModelSpec, TrainingSpec], Change]] = {
    "steps": _steps,
    "seen_instances": _seen_instances,
    "width_factor": _width_factor,
}


def comparisons_of_sweep(registry: Registry, task: str, option: str) -> list[Comparison]:
    """One comparison per value of a sweep that the task's entry declares.

    Raises:
        UnknownName: the registry lacks the task, or the task the sweep.
        ValueError: a value cannot name the folder of its comparison.
    """
    return comparisons_of_sweeps(registry, task, {option: ()})


def comparisons_of_sweeps(
    registry: Registry,
    task: str,
    sweeps: Mapping[str, Sequence[Scalar]],
    *,
    variants: Sequence[str] = (),
    fix: Mapping[str, Scalar] | None = None,
) -> list[Comparison]:
    """One comparison per value of a quantity; of several quantities, one per combination.

    A quantity is an option of the task (`pairs`, `train_instances`), what `fix` takes (`layers`,
    `width`, `lse.beta`), or one of `QUANTITIES`.

    Args:
        registry: where names are looked up.
        task: a name in it.
        sweeps: quantity -> values; without any, those that the task's entry declares.
        variants: of the comparison, whose settings can be gone through.
        fix: what all of them have in common.

    Raises:
        UnknownName: the registry lacks the task, or nothing takes a name.
        ValueError: values that do not fit, that nothing depends on, or that are too many.
    """
    values = {name: _values(registry, task, name, given) for name, given in sweeps.items()}
    points = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    if len(points) > MOST_POINTS:
        raise ArgumentError(
            f"a sweep has at most {MOST_POINTS} points, this one has {len(points)}", topic="sweep"
        )
    fix = fix or {}
    for name in values:
        if name in fix:
            raise ArgumentError(
                f"{name!r} is fixed and gone through; one of them is enough", topic="sweep"
            )
    places = _Places(registry, task, variants, fix)
    return [places.comparison(point) for point in points]


def _values(
    registry: Registry, task: str, name: str, given: Sequence[Scalar]
) -> tuple[Scalar, ...]:
    declared = registry.task(task).sweeps
    if not given and name not in declared:
        raise UnknownName(
            f"sweep of {task}", name, declared, note=f"or give values: --sweep {name}=1,2,4"
        )
    return tuple(dict.fromkeys(given or declared[name]))


class _Places:
    """Where the quantities of a sweep belong."""

    def __init__(
        self, registry: Registry, task: str, variants: Sequence[str], fix: Mapping[str, Scalar]
    ) -> None:
        self._task, self._fix = task, fix
        self._spec = registry.task(task)
        self._settings = [
            f"{v}.{name}" for v in variants for name in layer_defaults(registry.variant(v))
        ]
        self._options = options_of(CLASSES.lookup(self._spec.class_))

    def comparison(self, point: Mapping[str, Scalar]) -> Comparison:
        """The comparison at one point."""
        options: dict[str, Scalar] = {}
        fix: dict[str, Scalar] = {}
        steps: int | None = None
        # A quantity that stands for others is read last: it may depend on a field's value here.
        for name in sorted(point, key=lambda name: name in QUANTITIES):
            here = {**self._fix, **fix}
            change = self._change(name, point[name], here)
            twice = sorted(change.fix.keys() & here.keys())
            twice += ["steps"] if change.steps and steps else []
            if twice:
                raise ArgumentError(
                    f"{name!r} decides {', '.join(twice)} as well; drop one", topic="sweep"
                )
            options, fix = {**options, **change.options}, {**fix, **change.fix}
            steps = change.steps or steps
        name = point_name(point)
        try:
            path_part(name)
        except ValueError as error:
            what = ", ".join(point)
            text = f"the sweep {what} of {self._task} cannot name a folder by a value: {error}"
            raise ArgumentError(text, topic="sweep") from error
        return Comparison(name, self._task, options, fix, steps, dict(point))

    def _change(self, name: str, value: Scalar, fix: Mapping[str, Scalar]) -> Change:
        model, training = self._spec.model, self._spec.training
        if name in self._spec.sweeps or name in self._options:
            return Change(options={name: value})
        if name not in {*QUANTITIES, *vars(model), *vars(training), *self._settings}:
            known = (*QUANTITIES, *vars(model), *vars(training), *self._options, *self._settings)
            raise UnknownName("quantity to go through", name, dict.fromkeys(known))
        # Of a memory that is not trained, the layers are the number of updates.
        if not training.steps and name not in {"layers", *self._settings}:
            raise ArgumentError(
                f"{self._task} is not trained, so that {name} changes nothing; go through an "
                f"option of the task: {', '.join(self._options)}",
                topic="sweep",
            )
        if name not in QUANTITIES:
            return Change(fix={name: value})
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ArgumentError(
                f"{name} must be a whole number from 1, got {value!r}", topic="sweep"
            )
        model = model.model_copy(update={k: v for k, v in fix.items() if k in vars(model)})
        training = training.model_copy(update={k: v for k, v in fix.items() if k in vars(training)})
        return QUANTITIES[name](value, model, training)
