"""The small, random, reproducible problems on which laws are checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attenergy.energies import Energy, make_energy
from attenergy.registry import EnergySpec

BATCH, HEADS, STATES, PATTERNS, DIM = 2, 2, 3, 5, 4


@dataclass(frozen=True)
class Case:
    """An energy in float64 with states, patterns, and perhaps a mask and a field."""

    energy: Energy
    xi: Tensor  # (B, H, L, D)
    X: Tensor  # (B, H, S, D); the states themselves for an energy that reads no patterns
    mask: Tensor | None = None
    field: Tensor | None = None

    def value(self, xi: Tensor | None = None, X: Tensor | None = None) -> Tensor:
        """The energy, at other states or patterns if given."""
        xi = self.xi if xi is None else xi
        X = self.X if X is None else X
        out: Tensor = self.energy(xi, X, mask=self.mask, field=self.field)
        return out

    def with_(self, **changes: Tensor | None) -> Case:
        """A copy with other tensors."""
        return replace(self, **changes)  # type: ignore[arg-type]


def settings_of(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """The default settings, then every other option of a choice or a categorical option."""
    yield {}
    for name, choice in spec.choices.items():
        for option in choice.options:
            if option != choice.default:
                yield {name: option}
    for name, tunable in spec.options.items():
        for value in (tunable.search.choices or ()) if tunable.search is not None else ():
            if value != tunable.default:
                yield {name: value}


def cases(spec: EnergySpec, seed: int = 0) -> Iterator[Case]:
    """Every setting of an entry, each alone, with a field, with a mask, and with both."""
    for chosen in settings_of(spec):
        yield from variations(build(spec, seed, **chosen), seed)


def variations(energy: Energy, seed: int = 0) -> Iterator[Case]:
    """An energy's case alone, with a field, with a mask, and with both."""
    plain = random_case(energy, seed)
    stored = plain.X.shape[-2]
    field = draw(seed + 1, BATCH, 1, STATES, stored)
    mask = torch.rand(BATCH, 1, STATES, stored, generator=generator(seed + 2)) < 0.7
    mask[..., 0] = True
    yield plain
    yield plain.with_(mask=mask)
    if energy.reads_field:
        yield plain.with_(field=field)
        yield plain.with_(mask=mask, field=field)


def build(spec: EnergySpec, seed: int = 0, **settings: Any) -> Energy:
    """An energy in float64 whose per-head parameters differ between the heads."""
    with float64():
        energy = make_energy(spec, dim=DIM, num_heads=HEADS, **settings)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(0.1 * draw(seed + 3, *parameter.shape))
    return energy


@contextmanager
def float64() -> Iterator[None]:
    """Build modules in float64: converting afterwards would keep float32's rounding."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def random_case(energy: Energy, seed: int = 0) -> Case:
    """Gaussian states and patterns, in the energy's domain."""
    xi = energy.enter(draw(seed + 4, BATCH, HEADS, STATES, DIM))
    X = draw(seed + 5, BATCH, HEADS, PATTERNS, DIM)
    return Case(energy, xi, X if energy.reads_patterns else xi)


def generator(seed: int) -> torch.Generator:
    """A generator of its own for every use."""
    return torch.Generator().manual_seed(seed)


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal float64 numbers."""
    normal = partial(torch.randn, dtype=torch.float64, generator=generator(seed))
    return normal(shape)
