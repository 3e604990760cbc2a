"""What an energy does at the edges: huge and tiny beta, saturation, nothing to see, few digits.

The value, two steps and the gradients of both must be finite there, or the energy must refuse the
case with a clear `ValueError`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attenergy.attention import relax
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, HEADS, Case, random_case, settings_of

Verdict = str  # "finite", "not finite", "refused: ..." or "-"
Settings = dict[str, Any]
Variation = Callable[[EnergySpec, Settings], "Case | None"]


def _case(spec: EnergySpec, settings: Settings, dtype: torch.dtype = torch.float32) -> Case:
    energy = make_energy(spec, dim=DIM, num_heads=HEADS, **settings).to(dtype)
    drawn = random_case(energy)
    return replace(drawn, xi=drawn.xi.to(dtype), X=drawn.X.to(dtype))


def _beta(value: float) -> Variation:
    def vary(spec: EnergySpec, settings: Settings) -> Case | None:
        beta = spec.parameters.get("beta")
        return None if beta is None or beta.shape else _case(spec, {**settings, "beta": value})

    return vary


def _large(spec: EnergySpec, settings: Settings) -> Case:
    case = _case(spec, settings)
    return replace(case, xi=case.energy.from_real(100.0 * case.xi), X=100.0 * case.X)


def _zero(spec: EnergySpec, settings: Settings) -> Case:
    case = _case(spec, settings)
    return replace(case, xi=case.energy.from_real(torch.zeros_like(case.xi)))


def _one_pattern(spec: EnergySpec, settings: Settings) -> Case:
    case = _case(spec, settings)
    if not case.energy.reads_patterns:
        return replace(case, xi=case.xi[:, :, :1], X=case.xi[:, :, :1])
    return replace(case, X=case.X[:, :, :1])


def _equal_patterns(spec: EnergySpec, settings: Settings) -> Case:
    case = _case(spec, settings)
    return replace(case, X=case.X[:, :, :1].expand_as(case.X).contiguous())


def _nothing_to_see(spec: EnergySpec, settings: Settings) -> Case:
    case = _case(spec, settings)
    stored = (case.X if case.energy.reads_patterns else case.xi).shape[-2]
    mask = torch.ones(*case.xi.shape[:-1], stored, dtype=torch.bool)
    mask[:, :, 1] = False
    return replace(case, mask=mask)


#: What is tried, in the order of the documentation's columns.
EXTREMES: dict[str, Variation] = {
    "beta 1e-3": _beta(1e-3),
    "beta 1e3": _beta(1e3),
    "numbers x 100": _large,
    "zero state": _zero,
    "one pattern": _one_pattern,
    "equal patterns": _equal_patterns,
    "empty row": _nothing_to_see,
    "bfloat16": lambda spec, settings: _case(spec, settings, torch.bfloat16),
}


def at_the_edges(spec: EnergySpec) -> dict[str, Verdict]:
    """The verdict of every case over all settings (`Verdict`)."""
    return {name: _verdict(spec, vary) for name, vary in EXTREMES.items()}


def _verdict(spec: EnergySpec, vary: Variation) -> Verdict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for settings in settings_of(spec):
                case = vary(spec, settings)
                if case is None:
                    return "-"
                if not _all_finite(case):
                    shown = ", ".join(f"{name} {value}" for name, value in settings.items())
                    return f"not finite ({shown})" if shown else "not finite"
            return "finite"
    except ValueError as error:
        return f"refused: {str(error).splitlines()[0]}"


def _all_finite(case: Case) -> bool:
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    own = [p for p in case.energy.parameters() if p.requires_grad]
    value = case.value(xi, X)
    state = relax(case.energy, xi, X, mask=case.mask, field=case.field, steps=2).state
    results: list[Tensor] = [value, state]
    for total in (value.sum(), state.square().sum()):
        grads = torch.autograd.grad(total, [xi, X, *own], allow_unused=True, materialize_grads=True)
        results += grads
    return all(bool(torch.isfinite(f).all()) for f in results)
