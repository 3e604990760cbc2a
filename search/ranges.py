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

from attenergy.energies import describe
from attenergy.energies.parameters import constant
from attenergy.registry import EnergySpec, MixerSpec, Parameter, Range, Scalar

Layer = EnergySpec | MixerSpec


def layer_ranges(layer: Layer) -> dict[str, Range]:
    """Return the range of every setting that a search may vary; steps before the step size."""
    spans: dict[str, Range | None] = {}
    if isinstance(layer, EnergySpec):
        spans |= {name: _of_parameter(p) for name, p in layer.parameters.items()}
        spans |= {name: words(c.options) for name, c in layer.choices.items() if c.search}
    spans |= {name: option.search for name, option in layer.options.items()}
    if isinstance(layer, EnergySpec):
        spans |= {"steps": layer.steps.search, "step_size": layer.step_size.search}
    return {name: span for name, span in spans.items() if span is not None}


def _of_parameter(parameter: Parameter) -> Range | None:
    """A parameter's range; {low: 1, high: 10} is real unless the parameter starts whole."""
    span = parameter.search
    if span is None or not span.integer or isinstance(parameter.init, int):
        return span
    assert span.low is not None
    assert span.high is not None
    return span.model_copy(update={"low": float(span.low), "high": float(span.high)})


def layer_defaults(layer: Layer, width: int | None = None) -> dict[str, Any]:
    """Return the default of every setting of a layer.

    Args:
        layer: an energy or a mixer.
        width: of a head, D in the initial values of an energy's parameters; if None, those that
            are expressions stay texts.
    """
    values: dict[str, Any] = {name: option.default for name, option in layer.options.items()}
    if isinstance(layer, EnergySpec):
        inits = {name: p.init for name, p in layer.parameters.items()}
        if width is not None:
            inits = {name: constant(init, width) for name, init in inits.items()}
        values |= inits
        values |= {name: c.default for name, c in layer.choices.items()}
        values |= {"steps": layer.steps.default, "step_size": layer.step_size.default}
    return values


def step_size_matters(layer: Layer, settings: dict[str, Any]) -> bool:
    """Tell whether the step size changes the layer: several steps, or the state itself is read.

    A single step whose weights are applied to values never uses the moved state.
    """
    if not isinstance(layer, EnergySpec):
        return True
    reads_state = layer.read == "state" or not describe(layer)["score_path"]
    return reads_state or settings.get("steps", layer.steps.default) > 1


def definition(layer: Layer) -> str:
    """Hash what a layer computes by default; titles, notes and search ranges do not count."""
    silent = ("title", "reference", "doc", "symbols", "capacity", "known_answers", "search")
    data = _without(layer.model_dump(mode="json", by_alias=True), silent)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _without(data: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: _without(value, keys) for key, value in data.items() if key not in keys}


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


def offers(form: BaseDistribution, value: Any) -> bool:
    """Tell whether a distribution can yield `value`."""
    if isinstance(form, CategoricalDistribution):
        return value in form.choices
    assert isinstance(form, (IntDistribution, FloatDistribution))
    if isinstance(value, str) or not form.low <= value <= form.high:
        return False
    steps = (value - form.low) / form.step if form.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-8)
