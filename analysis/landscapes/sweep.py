"""How minima merge and split while a parameter of an energy grows: a bifurcation diagram."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from attenergy.analysis.landscapes.charts import chart_of, extent_of
from attenergy.analysis.landscapes.minima import MOST, Minima, find_minima
from attenergy.analysis.landscapes.one_state import one_state
from attenergy.analysis.landscapes.patterns import checked_patterns, planted_patterns
from attenergy.analysis.landscapes.spin_levels import spin_minima
from attenergy.analysis.landscapes.wording import kinds_text, name_of
from attenergy.analysis.result import Progress, Result, Table
from attenergy.energies import EnergyLike, domain_of, source_of
from attenergy.registry import AnalysisError, RegistryLike, UnknownName

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: Starts along each axis of the plane, and around a circle: even, so that none is on an axis.
STARTS, AROUND = 14, 96
#: Steps of a relaxation before Newton's method goes on.
_STEPS = 150
#: A critical value is bracketed to this share of itself.
PRECISION = 1e-4
#: Most critical values between two neighbours of the sweep.
_BETWEEN = 4


@dataclass(frozen=True)
class Change:
    """Where the number of minima changes.

    Attributes:
        value: of the parameter: the middle of the bracket.
        width: of the bracket.
        before: minima below it.
        after: minima above it.
    """

    value: float
    width: float
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class MinimaSweep(Result):
    """The minima of an energy against one of its parameters; make it with `sweep_minima`.

    Attributes:
        about: what the energy is called.
        parameter: which one is swept.
        values: of the parameter.
        minima: at each of the values.
        changes: where their number changes.
        places: of every minimum along the patterns' first principal component, at each value.
        count: of stored patterns.

    Example:
        >>> result = sweep_minima("lse", [[1.0, 0.0], [-1.0, 0.0]], low=0.5, high=2.0, count=3)
        >>> result.parameter, len(result.changes)
        ('beta', 1)
    """

    name: ClassVar[str] = "minima-sweep"
    title: ClassVar[str] = "Minima that merge and split"

    about: str
    parameter: str
    values: tuple[float, ...]
    minima: tuple[Minima, ...]
    changes: tuple[Change, ...]
    places: tuple[tuple[float, ...], ...]
    count: int

    @property
    def sentence(self) -> str:
        """How many minima there are at both ends, and where their number changes."""
        first, last = len(self.minima[0]), len(self.minima[-1])
        span = f"{self.parameter} from {self.values[0]:g} to {self.values[-1]:g}"
        if not self.changes:
            return f"{self.about} has {_many(first)} at every {span}."
        steps = ", ".join(
            f"{change.before} to {change.after} at {self.parameter} {change.value:.4g}"
            for change in self.changes[:6]
        )
        more = len(self.changes) - 6
        steps += f" and {more} changes more" if more > 0 else ""
        return (
            f"{self.about}: {_many(first)} at {self.parameter} {self.values[0]:g}, {last} at "
            f"{self.values[-1]:g}; the number goes from {steps}."
        )

    def numbers(self) -> dict[str, Any]:
        """Minima for every value, and the critical values."""
        return {
            "energy": self.about,
            "parameter": self.parameter,
            "stored_patterns": self.count,
            "changes": [
                {"value": c.value, "bracket": c.width, "before": c.before, "after": c.after}
                for c in self.changes
            ],
            "sweep": [
                {"value": value, "minima": [minimum.numbers() for minimum in minima.minima]}
                for value, minima in zip(self.values, self.minima, strict=True)
            ],
        }

    def tables(self) -> list[Table]:
        """Critical values, and the minima at each value."""
        header = [f"critical {self.parameter}", "bracket", "minima below", "above"]
        rows = [
            [f"{c.value:.6g}", f"{c.width:.1g}", str(c.before), str(c.after)] for c in self.changes
        ]
        tables = [Table("Where the number of minima changes", header, rows, 0)] if rows else []
        counts = [
            [f"{value:.4g}", str(len(minima)), kinds_text(minima) or "none"]
            for value, minima in zip(self.values, self.minima, strict=True)
        ]
        tables.append(Table("Minima", [self.parameter, "minima", "kinds"], counts, 3))
        return tables

    def notes(self) -> list[str]:
        """How the minima were looked for."""
        return [
            "Minima are where a grid of starts comes to rest; one whose basin no start hits is "
            "missed, so counts are lower bounds. Critical values are bracketed by bisection to "
            f"{PRECISION:g} of themselves."
        ]

    def pictures(self) -> list[Picture]:
        """Places and number of the minima against the parameter."""
        from attenergy.analysis.landscapes.diagrams import sweep_picture

        critical = [(change.value, change.after) for change in self.changes]
        picture = self.name, self.title, self.about
        return [
            sweep_picture(picture, self.parameter, self.values, self.minima, self.places, critical)
        ]


def sweep_minima(
    energy: EnergyLike,
    patterns: Any = None,
    *,
    parameter: str = "beta",
    low: float = 0.1,
    high: float = 10.0,
    count: int = 25,
    seed: int = 0,
    name: str | None = None,
    registry: RegistryLike | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> MinimaSweep:
    """Number and places of the minima of an energy while one of its parameters grows.

    Two opposite patterns +-a under `lse` have one minimum, at 0, until beta |a|^2 = 1, and two from
    there on, at m a with m = tanh(beta |a|^2 m).

    Args:
        energy: whatever names one (`attenergy.make_energy`), not one that is made.
        patterns: as of `landscape`.
        parameter: a parameter, or an option that is a number.
        low: its first value.
        high: its last value; those between are spaced evenly in its logarithm, or evenly if `low`
            is not above 0.
        count: of values, from 2.
        seed: of planted patterns.
        name: what the energy is called in sentences; its own name, formula or title if None.
        registry: where a name is looked up.
        progress: called as the work goes on.
        **settings: the other parameters, choices and options.

    Raises:
        ValueError: the energy has no such parameter, or an argument does not fit.

    Example:
        >>> result = sweep_minima("lse", [[1.0, 0.0], [-1.0, 0.0]], low=0.5, high=2.0, count=3)
        >>> [len(minima.minima) for minima in result.minima]
        [1, 1, 2]
    """
    source = source_of(energy, settings, registry=registry, taker=sweep_minima)
    _check_sweep(parameter, low, high, count, settings)
    if source.made is not None:
        raise AnalysisError("a sweep makes its energies; give a name, formula, entry or class")
    known = [*source.spec.parameters, *source.spec.options]
    if parameter not in known:
        raise UnknownName(f"parameter of '{source.spec.title}'", parameter, known)
    domain = domain_of(source.spec)
    given = patterns is not None and not isinstance(patterns, int)
    X = checked_patterns(patterns) if given else planted_patterns(domain, patterns, seed=seed)
    whole = parameter in source.spec.options
    chart = None if domain.discrete else chart_of(domain, X)

    def at(value: float) -> Minima:
        number = round(value) if whole else value
        own = source_of(source.spec, {**source.settings, parameter: number})
        problem = one_state(own.make(X.shape[-1]), X)
        if chart is None:
            return spin_minima(problem)[0]
        grid = chart.grid(STARTS if chart.dimensions == 2 else AROUND)
        starts = chart.states(grid)[chart.inside(grid)]
        return find_minima(problem, chart, starts, extent=extent_of(chart), steps=_STEPS)

    values = _spaced(low, high, count)
    minima = []
    for number, value in enumerate(values):
        if progress is not None:
            progress(f"{parameter} {value:.3g}", number, count)
        minima.append(at(value))
    changes: list[Change] = []
    for i in range(count - 1):
        if len(minima[i]) != len(minima[i + 1]):
            if progress is not None:
                progress(f"critical {parameter} near {values[i]:.3g}", count, count)
            ends = (values[i], len(minima[i])), (values[i + 1], len(minima[i + 1]))
            changes += _bracketed(lambda value: len(at(value)), *ends)
    about = name or name_of(energy, source.spec)
    return MinimaSweep(
        about, parameter, tuple(values), tuple(minima), tuple(changes), _places(minima, X), len(X)
    )


def _bracketed(
    count: Callable[[float], int], low: tuple[float, int], high: tuple[float, int]
) -> list[Change]:
    """The changes of a count between two values, each by bisection, from the lowest on."""
    changes = []
    for _ in range(_BETWEEN):
        (a, before), (b, after) = low, high
        while b - a > PRECISION * max(abs(a), abs(b)):
            middle = math.sqrt(a * b) if a > 0 else (a + b) / 2
            here = count(middle)
            if here == before:
                a = middle
            else:
                b, after = middle, here
        changes.append(Change((a + b) / 2, b - a, before, after))
        low = b, after
        if after == high[1]:
            break
    return changes


def _places(minima: list[Minima], X: Tensor) -> tuple[tuple[float, ...], ...]:
    """Where minima stand along the direction in which the patterns differ most."""
    centred = X - X.mean(0) if len(X) > 1 else X
    direction = torch.linalg.svd(centred, full_matrices=False)[2][0]
    direction = direction * direction[direction.abs().argmax()].sign()
    return tuple(tuple(float(m.state @ direction) for m in some.minima) for some in minima)


def _check_sweep(
    parameter: str, low: float, high: float, count: int, settings: dict[str, Any]
) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise AnalysisError(f"a sweep goes from a lower to a higher value, got {low} to {high}")
    if not 2 <= count <= 1000:
        raise AnalysisError(f"a sweep has 2 to 1000 values, got {count}")
    if parameter in settings:
        raise AnalysisError(
            f"'{parameter}' is swept and set to {settings[parameter]}; leave one out"
        )


def _spaced(low: float, high: float, count: int) -> list[float]:
    if low > 0:
        ratio = (high / low) ** (1 / (count - 1))
        return [low * ratio**i for i in range(count - 1)] + [high]
    return [low + (high - low) * i / (count - 1) for i in range(count)]


def _many(count: int) -> str:
    return "one minimum" if count == 1 else f"{count if count < MOST else 'very many'} minima"
