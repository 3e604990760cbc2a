"""The surface of an energy with its patterns, minima, basins and relaxations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from attenergy.analysis.landscapes.charts import Chart, Circle, chart_of, extent_of
from attenergy.analysis.landscapes.descent import settle
from attenergy.analysis.landscapes.minima import MOST, find_minima
from attenergy.analysis.landscapes.one_state import OneState, one_state
from attenergy.analysis.landscapes.patterns import checked_patterns, planted_patterns
from attenergy.analysis.landscapes.surface import Surface
from attenergy.analysis.landscapes.wording import (
    about_energy,
    kinds_text,
    minimum_text,
    name_of,
)
from attenergy.analysis.result import Progress, Result, Table
from attenergy.energies import EnergyLike, domain_of, source_of
from attenergy.registry import AnalysisError, RegistryLike

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: What is said of states that interact.
HELD = "States interact: one varies, and the others are held where {}."
#: Points along an axis of the picture, and along a circle.
RESOLUTION, AROUND = 64, 720
#: Most numbers of scores at all points of a plane, if nobody says how many points.
_WORK = 4_000_000
#: Most steps of a relaxation before Newton's method goes on, and of one that is drawn.
STEPS, _DRAWN = 500, 200


@dataclass(frozen=True, eq=False)
class Landscape(Surface, Result):
    """A surface and what is to be said of it; make it with `landscape` or `head_landscape`.

    Example:
        >>> surface = landscape("lse", [[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
        >>> [minimum.kind for minimum in surface.minima.minima]
        ['single pattern', 'single pattern']
    """

    name: ClassVar[str] = "landscape"
    title: ClassVar[str] = "Landscape"

    @property
    def sentence(self) -> str:
        """How many minima there are, of which kinds, and the largest basin."""
        minima, count = self.minima.minima, len(self.patterns)
        stored = f"{count} {self.problem.seen}{'s' if count > 1 else ''}"
        if not minima:
            why = (
                "every drawn state leaves for infinity"
                if self.minima.away == 1
                else "no state rests"
            )
            return f"{self.about} with {stored} has no minimum: {why}."
        if self.minima.continuum:
            return f"{self.about} with {stored} has a continuum of states of rest, {MOST} or more."
        if len(minima) == 1:
            text = f"{self.about} with {stored} has one minimum, {minimum_text(minima[0].label)}"
        else:
            largest = max(minima, key=lambda minimum: minimum.basin)
            text = (
                f"{self.about} with {stored} has {len(minima)} minima: {kinds_text(self.minima)}; "
                f"the largest basin, {largest.basin:.0%} of the picture, is that of "
                f"{minimum_text(largest.label)}"
            )
        if self.minima.flat >= 0.005:
            text += f"; on {self.minima.flat:.0%} of the picture it is flat and states do not move"
        if self.minima.moving >= 0.005:
            text += f"; from {self.minima.moving:.0%} of it states are on their way for very long"
        if self.minima.away:
            text += f"; from {self.minima.away:.0%} of the picture states leave for infinity"
        return text + "."

    def numbers(self) -> dict[str, Any]:
        """The grid with energies and goals, the minima, the paths and the patterns."""
        return {
            "energy": self.about,
            "domain": self.problem.energy.spec.domain,
            "chart": "circle" if isinstance(self.chart, Circle) else "plane",
            "section": self.chart.section,
            "variance_in_plane": self.chart.share,
            "patterns": self.patterns.tolist(),
            "minima": [minimum.numbers() for minimum in self.minima.minima],
            "share_that_leaves": self.minima.away,
            "share_that_is_flat": self.minima.flat,
            "share_still_on_the_way": self.minima.moving,
            **self._grid(),
            "paths": _rounded(self.paths),
        }

    def _grid(self) -> dict[str, Any]:
        """Energies and goals on the grid, row by row of a plane."""
        energies, goals = self.energies, self.minima.goal
        if isinstance(self.chart, Circle):
            axes = {"angles": _rounded(self.coordinates[:, 0])}
        else:
            side = math.isqrt(len(energies))
            axes = {
                "across": _rounded(self.coordinates[:side, 0]),
                "up": _rounded(self.coordinates[::side, 1]),
            }
            energies, goals = energies.view(side, side), goals.view(side, side)
        return {**axes, "energies": _rounded(energies), "goals": goals.tolist()}

    def tables(self) -> list[Table]:
        """The minima, one in a row."""
        header = ["minimum", "energy", "place", "basin", "weight", "curvature"]
        if self.chart.section:
            header.append("off plane")
        rows = []
        for minimum in self.minima.minima:
            place = ", ".join(f"{round(c, 6) + 0.0:.3g}" for c in minimum.coordinates)
            row = [
                minimum.label + ("" if minimum.verified else " *"),
                f"{minimum.energy:.4f}",
                f"({place})",
                f"{minimum.basin:.1%}",
                "-" if minimum.weight is None else f"{minimum.weight:.3f}",
                f"{minimum.curvature:.3g}",
            ]
            rows.append([*row, f"{minimum.distance:.3g}"] if self.chart.section else row)
        return [Table("Minima, the lowest first", header, rows)] if rows else []

    def notes(self) -> list[str]:
        """What is drawn, and what a minimum is."""
        lines = list(self.remarks)
        if self.chart.section:
            lines.append(
                "The picture is a section: the plane through the mean of the points along their "
                f"first two principal components, which hold {self.chart.share:.0%} of their "
                "variance. States move in all dimensions; paths, patterns and minima are drawn "
                "where they project to, and a basin is where in the plane states come from."
            )
        if self.chart.section and self.problem.energy.domain.constrained:
            lines.append("Points of the plane are moved to the nearest point of the domain.")
        if any(not minimum.verified for minimum in self.minima.minima):
            lines.append(
                "* not verified: the slope is not 0 to rounding, or the Hessian has an eigenvalue "
                "that is not above 0 (a kink, a valley, or a state still on its way)."
            )
        if not self.problem.always_descends:
            lines.append(
                "The entry promises no descent here, so a step that raised the energy was taken "
                "again at half its size: paths may be shorter in steps than the layer's own."
            )
        return lines

    def pictures(self) -> list[Picture]:
        """The surface with paths and minima, and the basins."""
        from attenergy.analysis.landscapes.pictures import landscape_pictures

        return landscape_pictures(self, self.name, self.title)


def landscape(
    energy: EnergyLike,
    patterns: Any = None,
    *,
    axes: Any = None,
    starts: Any = None,
    resolution: int | None = None,
    step_size: float | None = None,
    seed: int = 0,
    name: str | None = None,
    registry: RegistryLike | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Landscape:
    """The landscape E(xi; X) of an energy over one state xi, with minima and basins.

    Minima are where the energy's own steps come to rest from a grid over the picture, sharpened by
    Newton's method and checked: a slope of 0 and a Hessian above 0 along the domain.

    Args:
        energy: whatever names one (`attenergy.make_energy`).
        patterns: (S, D); or how many are planted (`planted_patterns`); 5 or 3 of them if None.
            With D above 2 the picture is a section, the plane of their principal components.
        axes: two directions (2, D) of the section instead.
        starts: (m, D) states whose relaxations are drawn; some over the picture if None.
        resolution: points along each axis; 64, fewer with very many patterns, or 720 around a
            circle.
        step_size: gamma of the steps; the entry's if None.
        seed: of planted patterns.
        name: what the energy is called in sentences; its own name, formula or title if None.
        registry: where a name is looked up.
        progress: called as the work goes on.
        **settings: parameters, choices and options of the energy (`beta=4.0`).

    Raises:
        ValueError: the energy has no landscape (spins: `spin_levels`; a game), or an argument
            does not fit, or energies overflow everywhere.

    Example:
        >>> surface = attenergy.analysis.landscape("lse", [[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
        >>> len(surface.minima)
        2
    """
    source = source_of(energy, settings, registry=registry, taker=landscape)
    domain = domain_of(source.spec)
    if domain.discrete:
        raise AnalysisError(
            f"'{source.spec.title}' has no surface: its states are spins, with nothing between "
            "them; spin_levels draws the energies of all of them"
        )
    if source.made is not None and source.made.num_heads is not None:
        raise AnalysisError("the landscape of a model's head is head_landscape's; make it without")
    if patterns is None or isinstance(patterns, int):
        dim = None if source.made is None else source.made.dim
        X = planted_patterns(domain, patterns, dim=dim, seed=seed)
    else:
        X = checked_patterns(patterns)
    made = source.make(X.shape[-1]) if source.made is None else source.made
    if made.dim != X.shape[-1]:
        raise AnalysisError(f"patterns have {X.shape[-1]} components, the energy {made.dim}")
    problem = one_state(made, X)
    chart = chart_of(domain, X, None if axes is None else torch.as_tensor(axes).double())
    return surveyed(
        problem,
        chart,
        about_energy(name or name_of(energy, source.spec), problem),
        starts=None if starts is None else torch.as_tensor(starts).double(),
        resolution=resolution,
        step_size=step_size,
        remarks=() if problem.held is None else (HELD.format("the patterns are"),),
        progress=progress,
    )


def surveyed(
    problem: OneState,
    chart: Chart,
    about: str,
    *,
    starts: Tensor | None = None,
    resolution: int | None = None,
    finest: int | None = None,
    step_size: float | None = None,
    remarks: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Landscape:
    """The landscape of a problem over a chart; other arguments as of `landscape`.

    Args:
        problem: whose energy.
        chart: where it is drawn.
        about: what the energy is, for sentences.
        starts: see `landscape`.
        resolution: see there.
        finest: the most that is chosen if no resolution is given; fewer where patterns are many.
        step_size: see there.
        remarks: what a reader has to know.
        progress: see there.
    """
    report = progress or (lambda what, done, of: None)
    circle = isinstance(chart, Circle)
    if resolution is None:
        most = RESOLUTION if finest is None else finest
        resolution = AROUND if circle else min(most, problem.affordable(_WORK))
    if not 4 <= resolution <= 4096:
        raise AnalysisError(f"resolution must be 4 to 4096, got {resolution}")
    report("energies", 0, 3)
    coordinates = chart.grid(resolution)
    inside, states = chart.inside(coordinates), chart.states(coordinates)
    with torch.no_grad():
        energies = torch.full((len(states),), torch.nan, dtype=states.dtype)
        energies[inside] = problem.value(states[inside])
    energies[~energies.isfinite()] = torch.nan
    if not bool(energies.isfinite().any()):
        raise AnalysisError(
            f"the energy of {about} is a finite number nowhere in the picture: patterns "
            f"(up to {float(problem.patterns.abs().max()):.3g}) or parameters are too large for it"
        )
    report("minima and basins", 1, 3)
    reach = extent_of(chart)
    starts = _scattered(chart) if starts is None else problem.project(starts)
    minima = find_minima(
        problem, chart, states[inside], extent=reach, more=starts, steps=STEPS, step_size=step_size
    )
    goal = torch.full((len(states),), -1)
    goal[inside] = minima.goal
    minima = replace(minima, goal=goal)
    report("paths", 2, 3)
    ends = settle(
        problem, starts, extent=reach, steps=_DRAWN, tolerance=1e-5,
        step_size=step_size, trace=True,
    )  # fmt: skip
    assert ends.path is not None
    paths = torch.stack([chart.coordinates(states) for states in ends.path])
    report("paths", 3, 3)
    where = chart.coordinates(problem.patterns)
    return Landscape(about, problem, chart, coordinates, energies, minima, paths, where, remarks)


def _scattered(chart: Chart) -> Tensor:
    """Some states all over a chart."""
    if isinstance(chart, Circle):
        return chart.states(chart.grid(12))
    for side in (4, 6, 8):  # of a domain that does not fill the frame more are tried
        places = chart.grid(side)
        places = places.mean(0) + 0.85 * (places - places.mean(0))
        places = places[chart.inside(places)]
        if len(places) >= 12:
            break
    return chart.states(places)


def _rounded(tensor: Tensor) -> Any:
    """Numbers to six digits, which is what a picture shows."""
    return (
        [_rounded(part) for part in tensor]
        if tensor.ndim > 1
        else [float(f"{value:.6g}") for value in tensor.tolist()]
    )
