"""The values of an entry's parameters at which its promises are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import sqrt
from typing import Any

import torch

from attenergy.energies.parameters import initial_value
from attenergy.registry import EnergySpec, Parameter
from attenergy.testing.cases import DIM, generator

_MOST = 6  # of the values of a list or of a range of integers
_CORNERS = 8
_GROWN = 10.0  # to which training may take what begins near 0


def parameter_sweep(spec: EnergySpec) -> Iterator[dict[str, Any]]:
    """Each parameter that is searched or learned, alone; all of them together; and with choices.

    A number takes the ends and the middles of its search range. Where there is none, a tenth of its
    first value and ten times that, or 10 if that is more (with both signs where it may have both),
    or values near the ends of a unit interval; so does a tensor, in all entries. Together they take
    the corners: every combination of least and largest values or, where there are too many, some of
    them at random. So they do with every choice that is not the default.
    """
    values = {name: _values(name, parameter) for name, parameter in spec.parameters.items()}
    values = {name: several for name, several in values.items() if several}
    for name, several in values.items():
        yield from ({name: value} for value in several)
    if not values:
        return
    ends = [(min(several), max(several)) for several in values.values()]
    corners = [dict(zip(values, corner, strict=True)) for corner in _corners(ends)]
    if len(values) > 1:
        yield from corners
    for name, choice in spec.choices.items():
        for option in choice.options:
            if option != choice.default:
                yield from ({name: option, **corner} for corner in corners)


def betas(spec: EnergySpec) -> list[dict[str, Any]]:
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


def _values(name: str, parameter: Parameter) -> list[float]:
    span = None if parameter.shape else parameter.search
    if span is not None and span.choices:
        return _spread([float(value) for value in span.choices])
    if span is not None and span.low is not None and span.high is not None:
        if span.integer:
            return _spread([float(v) for v in range(int(span.low), int(span.high) + 1)])
        low, high = float(span.low), float(span.high)
        middles = {(low + high) / 2, *([sqrt(low * high)] if low > 0 else [])}
        return sorted({low, high, *middles})
    if parameter.learnable == "no":
        return []
    if parameter.constraint == "unit":
        return [0.02, 0.98]
    start = abs(initial_value(name, parameter, DIM, None)) or 1.0
    values = [0.1 * start, max(10.0 * start, _GROWN)]
    return values if parameter.constraint == "positive" else [*values, *(-v for v in values)]


def _spread(values: list[float]) -> list[float]:
    """At most `_MOST` of the values, the least and the largest among them."""
    values = sorted(values)
    if len(values) <= _MOST:
        return values
    return [values[i * (len(values) - 1) // (_MOST - 1)] for i in range(_MOST)]


def _corners(ends: list[tuple[float, float]]) -> Iterator[tuple[float, ...]]:
    if 2 ** len(ends) <= _CORNERS:
        yield from product(*ends)
        return
    signs = torch.rand(_CORNERS, len(ends), generator=generator(71)) < 0.5
    signs[0], signs[1] = True, False
    for row in signs.tolist():
        yield tuple(pair[high] for pair, high in zip(ends, row, strict=True))
