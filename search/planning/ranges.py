"""From the entries of a registry to the ranges of a search."""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from attenergy.attention.solvers.catalogue import (
    SOLVERS,
    check_solver,
    solver_name,
    trainable,
)
from attenergy.energies import describe, make_energy
from attenergy.energies.parameters import constant
from attenergy.registry import (
    EnergySpec,
    MixerSpec,
    Parameter,
    Range,
    Scalar,
    SearchSpaceError,
    StackSpec,
    UnknownName,
    VariantSpec,
    as_written,
)
from attenergy.registry.stacks import parts
from attenergy.registry.tunables import same

Single = EnergySpec | MixerSpec


def single_parts(layer: VariantSpec) -> dict[str, Single]:
    """The layers of a stack, or the one layer, by what their settings begin with."""
    if not isinstance(layer, StackSpec):
        return {"": layer}
    return {part.prefix: part.spec for part in parts(layer)}


def _at_place(name: str) -> tuple[str, str]:
    """What the name of a setting begins with, `2a.` or nothing, and the rest."""
    place, dot, short = name.rpartition(".")
    return place + dot, short


def layer_ranges(layer: VariantSpec) -> dict[str, Range]:
    """Return the range of every setting that a search may vary; see `_ranges` for their order."""
    fixed = layer.settings if isinstance(layer, StackSpec) else {}
    return {
        f"{prefix}{name}": span
        for prefix, part in single_parts(layer).items()
        for name, span in _ranges(part).items()
        if f"{prefix}{name}" not in fixed
    }


def _ranges(layer: Single) -> dict[str, Range]:
    """The ranges of one layer.

    In the order in which they are asked for, as some decide whether others matter: the steps, the
    solver, the step size. A solver that takes as many steps as it needs comes before the steps.
    """
    spans: dict[str, Range | None] = {}
    if isinstance(layer, EnergySpec):
        spans |= {name: _of_parameter(p) for name, p in layer.parameters.items()}
        spans |= {name: words(c.options) for name, c in layer.choices.items() if c.search}
    spans |= {name: option.search for name, option in layer.options.items()}
    if isinstance(layer, EnergySpec):
        spans |= _of_steps(layer)
    return {name: span for name, span in spans.items() if span is not None}


def _of_steps(layer: EnergySpec) -> dict[str, Range | None]:
    """The ranges of the steps, the solver and the step size."""
    spans = {"steps": layer.steps.search, "solver": _of_solver(layer)}
    names = ("solver", "steps") if may_rest(layer) else ("steps", "solver")
    return {**{name: spans[name] for name in names}, "step_size": layer.step_size.search}


def _of_solver(layer: EnergySpec) -> Range | None:
    offered = layer.solver.search
    return None if offered is None else Range(choices=tuple(map(solver_name, offered.choices)))


def may_rest(layer: EnergySpec) -> bool:
    """Tell whether a search may give the layer a solver that goes on until all states rest."""
    offered = layer.solver.search
    names = (layer.solver.default,) if offered is None else offered.choices
    return any(SOLVERS[solver_name(name)].rests for name in names)


def _of_parameter(parameter: Parameter) -> Range | None:
    """A parameter's range; {low: 1, high: 10} is real unless the parameter starts whole."""
    span = parameter.search
    if span is None or not span.integer or isinstance(parameter.init, int):
        return span
    assert span.low is not None
    assert span.high is not None
    return span.model_copy(update={"low": float(span.low), "high": float(span.high)})


def layer_defaults(layer: VariantSpec, width: int | None = None) -> dict[str, Any]:
    """Return the default of every setting of a layer, or of those of a stack.

    Args:
        layer: an energy, a mixer or a stack.
        width: of a head, D in the initial values of an energy's parameters; if None, those that
            are expressions stay texts.
    """
    values = {
        f"{prefix}{name}": value
        for prefix, part in single_parts(layer).items()
        for name, value in _defaults(part, width).items()
    }
    return {**values, **layer.settings} if isinstance(layer, StackSpec) else values


def _defaults(layer: Single, width: int | None) -> dict[str, Any]:
    values: dict[str, Any] = {name: option.default for name, option in layer.options.items()}
    if isinstance(layer, EnergySpec):
        inits = {name: p.init for name, p in layer.parameters.items()}
        if width is not None:
            inits = {name: constant(init, width) for name, init in inits.items()}
        values |= inits
        values |= {name: c.default for name, c in layer.choices.items()}
        values |= {"steps": layer.steps.default, "step_size": layer.step_size.default}
        values |= {"solver": solver_name(layer.solver.default)}
    return values


def layer_options(layer: VariantSpec) -> dict[str, Range]:
    """Return all that each of a formula's choices can be, offered to a search or not."""
    return {
        f"{prefix}{name}": words(choice.options)
        for prefix, part in single_parts(layer).items()
        if isinstance(part, EnergySpec)
        for name, choice in part.choices.items()
    }


def matters(layer: VariantSpec, name: str, settings: dict[str, Any]) -> bool:
    """Tell whether a setting changes the layer, given those that `layer_ranges` names before it.

    Where a state comes to rest depends neither on the number of steps nor on their size. A single
    step whose weights are applied to values never uses the moved state, so it has no solver and
    no step size.
    """
    if isinstance(layer, StackSpec):
        prefix, short = _at_place(name)
        every = {**layer.settings, **settings}
        own = {n.removeprefix(prefix): v for n, v in every.items() if _at_place(n)[0] == prefix}
        return matters(single_parts(layer)[prefix], short, own)
    if not isinstance(layer, EnergySpec) or name not in ("steps", "solver", "step_size"):
        return True
    rests = SOLVERS[solver_name(settings.get("solver", layer.solver.default))].rests
    if name == "solver":
        return may_rest(layer) or _moves(layer, settings)
    return not rests and (name == "steps" or _moves(layer, settings))


def _moves(layer: EnergySpec, settings: dict[str, Any]) -> bool:
    reads_state = layer.read == "state" or not describe(layer)["score_path"]
    return reads_state or settings.get("steps", layer.steps.default) > 1


def check_solvers(name: str, layer: VariantSpec, width: int) -> None:
    """Check that an energy goes with its own solver and with all that a search may give it.

    Args:
        name: of the entry.
        layer: the entry.
        width: of a head.

    Raises:
        ValueError: it does not.
    """
    if isinstance(layer, StackSpec):
        for entry, part in layer.entries.items():
            check_solvers(entry, part, width)
        return
    if not isinstance(layer, EnergySpec):
        return
    offered = () if layer.solver.search is None else layer.solver.search.choices
    wanted = [s for s in dict.fromkeys((layer.solver.default, *offered)) if s != "descent"]
    energy = make_energy(layer, dim=width) if wanted else None
    for solver in wanted:
        try:
            check_solver(solver, energy)
        except ValueError as error:
            raise SearchSpaceError(
                f"{name!r} declares the solver {solver!r}, but {error}"
            ) from error


def by_present_name(quantity: str, value: Scalar) -> Scalar:
    """A value of a quantity of the space, by its present name if it is given by an earlier one."""
    if not quantity.endswith(".solver"):
        return value
    try:
        return solver_name(value)
    except UnknownName:  # whoever reads the value says so
        return value


def fitting_solvers(layer: VariantSpec, width: int) -> dict[str, tuple[str, ...]]:
    """Return the solvers that train and go with each energy, by the name of that setting.

    Args:
        layer: the entry.
        width: of a head.
    """
    each = single_parts(layer).items()
    return {f"{p}solver": _fitting(part, width) for p, part in each if isinstance(part, EnergySpec)}


def _fitting(layer: EnergySpec, width: int) -> tuple[str, ...]:
    energy = make_energy(layer, dim=width)
    fitting = []
    for solver in trainable():
        try:
            fitting.append(check_solver(solver, energy))
        except ValueError:
            continue
    return tuple(fitting)


def definition(layer: VariantSpec) -> str:
    """Hash what a layer computes by default; titles, notes and search ranges do not count."""
    silent = ("title", "reference", "doc", "symbols", "capacity", "known_answers", "search")
    data = _without(layer.model_dump(mode="json", by_alias=True), silent)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _without(data: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: _without(value, keys) for key, value in data.items() if key not in keys}


def range_text(span: Range) -> str:
    """Say what a range holds."""
    if span.choices is not None:
        return ", ".join(map(as_written, span.choices))
    return f"{span.low} to {span.high}"


def words(options: dict[str, str]) -> Range:
    """Make a range over names."""
    return Range(choices=tuple(options))


def including(span: Range, value: Scalar | None) -> Range:
    """Widen the range where it does not hold `value`."""
    if value is None or span.holds(value):
        return span
    if span.choices is not None:
        return span.model_copy(update={"choices": (*span.choices, value)})
    ends = {"low": min(span.low, value), "high": max(span.high, value)}  # type: ignore[type-var]
    return span.model_copy(update=ends)


def distribution(span: Range) -> BaseDistribution:
    """Say a range as Optuna does."""
    if span.choices is not None:
        return CategoricalDistribution(span.choices)
    assert span.low is not None
    assert span.high is not None
    low, high, step = span.low, span.high, span.step
    if step is not None:  # end on the grid, as Optuna would do with a warning
        whole = (Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step))
        high = float(Decimal(str(low)) + whole * Decimal(str(step)))
    if span.integer and not isinstance(step, float):
        return IntDistribution(int(low), int(high), log=span.log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=span.log, step=step)


def suggest(trial: optuna.trial.BaseTrial, name: str, span: Range) -> Scalar:
    """Let the trial choose a value of the range."""
    form = distribution(span)
    value: Any
    if isinstance(form, CategoricalDistribution):
        value = trial.suggest_categorical(name, form.choices)
    elif isinstance(form, IntDistribution):
        value = trial.suggest_int(name, form.low, form.high, step=form.step, log=form.log)
    else:
        assert isinstance(form, FloatDistribution)
        value = trial.suggest_float(name, form.low, form.high, step=form.step, log=form.log)
    chosen: Scalar = value
    return chosen


def suggest_settings(
    trial: optuna.trial.BaseTrial, name: str, layer: VariantSpec, pinned: dict[str, Any]
) -> dict[str, Any]:
    """Let the trial choose every setting of a layer that is searched and changes anything.

    Args:
        trial: which is asked for `<name>.<setting>`.
        name: of the variant.
        layer: its entry.
        pinned: settings that are not asked for; they come first in the result.
    """
    settings = dict(pinned)
    for setting, span in layer_ranges(layer).items():
        if setting not in settings and matters(layer, setting, settings):
            settings[setting] = suggest(trial, f"{name}.{setting}", span)
    return settings


def offers(form: BaseDistribution, value: Any) -> bool:
    """Tell whether a distribution can yield `value`; true is no 1, and false no 0."""
    if isinstance(form, CategoricalDistribution):
        return any(same(value, choice) for choice in form.choices)
    assert isinstance(form, (IntDistribution, FloatDistribution))
    if isinstance(value, (bool, str)) or not form.low <= value <= form.high:
        return False
    steps = (value - form.low) / form.step if form.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-8)
