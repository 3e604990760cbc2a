"""Law 4: a step within the promised range never raises the energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from attenergy.attention import relax
from attenergy.energies import domain_of, guarantee_of
from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, build, random_case, settings_of, variations, wide_cases
from attenergy.testing.results import WARNING, LawBroken
from attenergy.testing.sweeps import betas, parameter_sweep

_STEPS = 6


def descent(spec: EnergySpec) -> tuple[float, float, str] | str:
    """4: within the range of the step size no step raises the energy at any of its parameters.

    An entry whose own step sizes leave that range passes with a warning.
    """
    guarantee = guarantee_of(spec)
    if guarantee == "none":
        return "the entry declares neither a quadratic part nor 'descends': nothing is guaranteed"
    largest = domain_of(spec).largest_step
    gammas = {2.0: (0.25, 1.0, 1.5, 1.99), 1.0: (0.25, 0.5, 1.0)}.get(largest, (0.1, 1.0, 10.0))
    solver = "descent" if guarantee == "parallel" else "coordinate_descent"
    worst = float("-inf")
    for settings in _problems(spec):
        for case in variations(build(spec, **settings)):
            worst = max(worst, _largest_rise(case, gammas, solver, settings))
    swept = list(parameter_sweep(spec))
    for settings in swept:
        *_, full = variations(build(spec, **settings))
        for case in (random_case(full.energy), full):
            worst = max(worst, _largest_rise(case, gammas[-1:], solver, settings))
    alone = random_case(build(spec, heads=None))
    worst = max(worst, _largest_rise(alone, gammas[-1:], solver, {"heads": "none"}))
    for case, settings in wide_cases(spec):
        worst = max(worst, _largest_rise(case, gammas[-1:], solver, settings))
    shown = f"{solver}, step sizes {gammas[0]:g} to {gammas[-1]:g}"
    names = {name for settings in (*swept, *betas(spec)) for name in settings} - {*spec.choices}
    shown += "".join(f", any {name}" for name in sorted(names))
    return worst, 1e-9, f"{_beyond(spec, largest)}largest relative rise in a step, {shown}"


def _beyond(spec: EnergySpec, largest: float) -> str:
    """A warning if the entry's own step sizes are larger than the range that is promised."""
    size, varied = spec.step_size, spec.step_size.search
    tried = () if varied is None else varied.choices or (varied.high,)
    for which, values in (("default step size of", (size.default,)), ("search of steps to", tried)):
        most = max((float(value) for value in values if value is not None), default=0.0)
        if most > largest:
            return f"{WARNING}the {which} {most:g} may raise the energy; none to {largest:g} does; "
    return ""


def _problems(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """Every setting; of a class, those that are not the default at its own beta only."""
    for settings in settings_of(spec):
        sweep = betas(spec) if not settings or spec.formula is not None else [{}]
        for beta in sweep:
            yield {**settings, **beta}


def _largest_rise(
    case: Case, gammas: Sequence[float], solver: str, settings: dict[str, Any]
) -> float:
    """Of all step sizes at once: each takes the samples a time of its own, as further samples."""
    times = len(gammas)
    xi, X, mask, field = (
        None if part is None else part.repeat(times, *[1] * (part.ndim - 1))
        for part in (case.xi, case.X, case.mask, case.field)
    )
    assert xi is not None
    assert X is not None
    sizes = torch.tensor(gammas, dtype=xi.dtype).repeat_interleave(len(case.xi))
    with torch.no_grad():
        path = relax(
            case.energy, xi, X if case.energy.reads_patterns else xi, mask=mask, field=field,
            steps=_STEPS, step_size=sizes.view(-1, *[1] * (xi.ndim - 1)), solver=solver, trace=True,
        ).energies  # fmt: skip
    assert path is not None
    path = path.reshape(len(path), times, -1, *path.shape[2:])
    for gamma, own in zip(gammas, path.unbind(1), strict=True):
        if not torch.isfinite(own).all():
            at = {"step size": gamma, **settings}
            shown = ", ".join(f"{name} {value}" for name, value in at.items())
            raise LawBroken(f"the energy overflows or falls without bound ({shown})")
    return float(((path[1:] - path[:-1]) / (1.0 + path[:-1].abs())).max())
