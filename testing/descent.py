"""Law 4: a step within the promised range never raises the energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from attenergy.attention import relax
from attenergy.attention.relax import Solver
from attenergy.energies import DOMAINS
from attenergy.energies.parameters import initial_value
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, Case, build, random_case, settings_of, variations
from attenergy.testing.results import LawBroken

_STEPS = 6


def descent(spec: EnergySpec) -> tuple[float, float, str] | str:
    """4: within the range of the step size no step raises the energy, whatever its scalars are."""
    if spec.guarantee == "none":
        return "the entry declares neither a quadratic part nor 'descends': nothing is guaranteed"
    largest = DOMAINS[spec.domain].largest_step
    gammas = {2.0: (0.25, 1.0, 1.5, 1.99), 1.0: (0.25, 0.5, 1.0)}.get(largest, (0.1, 1.0, 10.0))
    solver: Solver = "descent" if spec.guarantee == "parallel" else "sequential"
    worst = float("-inf")
    for settings in _problems(spec):
        for case in variations(build(spec, **settings)):
            for gamma in gammas:
                worst = max(worst, _largest_rise(case, gamma, solver, settings))
    for settings in scalar_sweep(spec):
        *_, full = variations(build(spec, **settings))
        for case in (random_case(full.energy), full):
            worst = max(worst, _largest_rise(case, gammas[-1], solver, settings))
    for case in (random_case(build(spec, heads=None)),):
        worst = max(worst, _largest_rise(case, gammas[-1], solver, {"heads": "none"}))
    shown = f"{solver}, step sizes {gammas[0]:g} to {gammas[-1]:g}"
    shown += ", any beta" * (len(_betas(spec)) > 1)
    others = {name for settings in scalar_sweep(spec) for name in settings} - {"beta"}
    shown += "".join(f", any {name}" for name in sorted(others))
    return worst, 1e-9, f"largest relative rise in a step, {shown}"


def _problems(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """Every setting; of a class, those that are not the default at its own beta only."""
    for settings in settings_of(spec):
        sweep = _betas(spec) if not settings or spec.formula is not None else [{}]
        for beta in sweep:
            yield {**settings, **beta}


def scalar_sweep(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """Each scalar that is searched or learned but beta, at the ends of what it may be.

    Its search range; where there is none, a tenth and ten times its first value (with both signs
    where it may have both), or near the ends of a unit interval.
    """
    for name, parameter in spec.parameters.items():
        if parameter.shape or name == "beta":
            continue
        span = parameter.search
        if span is not None and span.choices:
            values = [float(value) for value in span.choices]
        elif span is not None and span.low is not None and span.high is not None:
            values = [float(span.low), float(span.high)]
        elif parameter.learnable == "no":
            continue
        elif parameter.constraint == "unit":
            values = [0.02, 0.98]
        else:
            start = abs(initial_value(name, parameter, DIM, None)) or 1.0
            values = [0.1 * start, 10.0 * start]
            if parameter.constraint != "positive":
                values += [-value for value in values]
        yield from ({name: value} for value in values)


def _largest_rise(case: Case, gamma: float, solver: Solver, settings: dict[str, Any]) -> float:
    with torch.no_grad():
        path = relax(
            case.energy, case.xi, case.X, mask=case.mask, field=case.field,
            steps=_STEPS, step_size=gamma, solver=solver, trace=True,
        ).energies  # fmt: skip
    assert path is not None
    if not torch.isfinite(path).all():
        at = {"step size": gamma, **settings}
        shown = ", ".join(f"{name} {value}" for name, value in at.items())
        raise LawBroken(f"the energy overflows or falls without bound ({shown})")
    return float(((path[1:] - path[:-1]) / (1.0 + path[:-1].abs())).max())


def _betas(spec: EnergySpec) -> list[dict[str, Any]]:
    """Inverse temperatures from 0.1 to 100, as far as the entry says that they make sense."""
    beta = spec.parameters.get("beta")
    if beta is None or beta.shape:
        return [{}]
    values = [0.1, 1.0, 10.0, 100.0]
    span = beta.search
    if span is not None and span.low is not None and span.high is not None:
        low, high = float(span.low), float(span.high)
        # A range up to 10 says nothing against 100; one up to 0.5 does.
        values = sorted({v for v in values if 0.1 * low <= v <= 10 * high} | {low, high})
    return [{"beta": value} for value in values]
