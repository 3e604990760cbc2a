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
from attenergy.energies.factory import class_of
from attenergy.registry import EnergySpec

BATCH, HEADS, STATES, PATTERNS, DIM = 2, 2, 3, 5, 4
#: More places than any problem has but those of many patterns, which have no places.
LONGEST = 8
#: Of a problem for what holds at one size and breaks at another.
MANY_PATTERNS, WIDE = 64, 16


@dataclass(frozen=True)
class Case:
    """An energy in float64 with states, patterns, and perhaps a mask and a field.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=4).double()
        >>> case = random_case(energy)
        >>> case.xi.shape, case.X.shape, case.mask
        (torch.Size([2, 3, 4]), torch.Size([2, 5, 4]), None)
    """

    energy: Energy
    xi: Tensor  # (B, H, L, D)
    X: Tensor  # (B, H, S, D); the states themselves for an energy that reads no patterns
    mask: Tensor | None = None
    field: Tensor | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """B, L and S."""
        return self.xi.shape[0], self.xi.shape[-2], self.X.shape[-2]

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
    """Every setting of an entry, each alone, with a field, with a mask, and with both.

    Then the default setting in other `layouts`, alone and with all that it takes.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> len(list(cases(registry.energies["lse"]))) > 1
        True
    """
    for chosen in settings_of(spec):
        yield from variations(build(spec, seed, **chosen), seed)
    for case in layouts(spec, seed):
        *_, full = variations(case.energy, seed, sizes=case.sizes)
        yield case
        yield full


def layouts(spec: EnergySpec, seed: int = 0) -> Iterator[Case]:
    """Without heads, and with parameters that heads share; all sizes are equal in both.

    Where batch, heads, states, patterns and components are equally many, an axis that is lost or
    taken for another one gives wrong numbers instead of an error about shapes.
    """
    yield random_case(build(spec, seed, heads=None), seed, sizes=(DIM, DIM, DIM))
    shared = {
        name: parameter.model_copy(update={"learnable": "shared"})
        if parameter.learnable == "per_head"
        else parameter
        for name, parameter in spec.parameters.items()
    }
    alike = spec.model_copy(update={"parameters": shared})
    yield random_case(build(alike, seed, heads=DIM), seed, sizes=(DIM, DIM, DIM))


def variations(
    energy: Energy, seed: int = 0, sizes: tuple[int, int, int] = (BATCH, STATES, PATTERNS)
) -> Iterator[Case]:
    """An energy's case alone, with a field, with a mask, and with both."""
    plain = random_case(energy, seed, sizes)
    pairs = (plain.xi.shape[-2], plain.X.shape[-2])
    ones = () if energy.num_heads is None else (1,)
    field = draw(seed + 1, sizes[0], *ones, *pairs)
    mask = torch.rand(sizes[0], *ones, *pairs, generator=generator(seed + 2)) < 0.7
    mask[..., 0] = True
    yield plain
    yield plain.with_(mask=mask)
    if energy.reads_field:
        yield plain.with_(field=field)
        yield plain.with_(mask=mask, field=field)


def build(
    spec: EnergySpec,
    seed: int = 0,
    *,
    heads: int | None = HEADS,
    dim: int = DIM,
    **settings: Any,
) -> Energy:
    """An energy in float64 whose per-head parameters differ between the heads.

    One with parameters for every place has them for all places of the problems, too.
    """
    if class_of(spec).fixed_length and "length" in spec.options:
        settings = {"length": max(LONGEST, spec.options["length"].default), **settings}
    with float64():
        energy = make_energy(spec, dim=dim, num_heads=heads, **settings)
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


def random_case(
    energy: Energy, seed: int = 0, sizes: tuple[int, int, int] = (BATCH, STATES, PATTERNS)
) -> Case:
    """Gaussian states and patterns, in the energy's domain; `sizes` are B, L and S.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=4).double()
        >>> random_case(energy, sizes=(1, 2, 6)).X.shape
        torch.Size([1, 6, 4])
    """
    heads = () if energy.num_heads is None else (energy.num_heads,)
    batch, states, patterns = sizes
    xi = energy.from_real(draw(seed + 4, batch, *heads, states, energy.dim))
    X = draw(seed + 5, batch, *heads, patterns, energy.dim)
    return Case(energy, xi, X if energy.reads_patterns else xi)


def wide_cases(spec: EnergySpec, seed: int = 0) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Every setting of a formula with more patterns and components, and what is set.

    None of a class, which may sum over all of them.
    """
    for settings in settings_of(spec) if spec.formula is not None else ():
        energy = build(spec, seed, dim=WIDE, **settings)
        case = random_case(energy, seed, (BATCH, STATES, MANY_PATTERNS))
        yield case, {**settings, "patterns": MANY_PATTERNS, "D": WIDE}


def generator(seed: int) -> torch.Generator:
    """A generator of its own for every use."""
    return torch.Generator().manual_seed(seed)


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal float64 numbers."""
    normal = partial(torch.randn, dtype=torch.float64, generator=generator(seed))
    return normal(shape)
