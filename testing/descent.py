"""Law 4: a step within the promised range never raises the energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from attenergy.attention import relax
from attenergy.attention.relax import Solver
from attenergy.energies import DOMAINS
from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, build, settings_of, variations
from attenergy.testing.results import LawBroken

_STEPS = 6


def descent(spec: EnergySpec) -> tuple[float, float, str] | str:
    """4: within the range of the step size no step raises the energy, at any beta."""
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
    shown = f"{solver}, step sizes {gammas[0]:g} to {gammas[-1]:g}"
    shown += ", any beta" * (len(_betas(spec)) > 1)
    return worst, 1e-9, f"largest relative rise in a step, {shown}"


def _problems(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """Every setting; of a class, those that are not the default at its own beta only."""
    for settings in settings_of(spec):
        sweep = _betas(spec) if not settings or spec.formula is not None else [{}]
        for beta in sweep:
            yield {**settings, **beta}


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
