"""The drawings of a landscape."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from attenergy.analysis.drawing import TONES, Picture, colour, drawing
from attenergy.analysis.landscapes.charts import Circle, Plane
from attenergy.analysis.landscapes.minima import Minimum
from attenergy.analysis.landscapes.surface import Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Kind of a minimum -> its marker.
MARKERS = {
    "single pattern": "o",
    "reversed pattern": "v",
    "metastable": "D",
    "average": "s",
    "other": "^",
}
SERIES = tuple(name for name in TONES if name.startswith("series"))
#: Inches of a picture of a plane, and of a circle.
SQUARE, LONG = (5.2, 4.6), (5.2, 3.5)
#: Most patterns whose numbers are written beside them.
_NUMBERED = 12
_BANDS = 16


def landscape_pictures(surface: Surface, name: str, title: str) -> list[Picture]:
    """The surface with paths and minima, and the basins; around a circle both in one."""
    if isinstance(surface.chart, Circle):
        return [_around(surface, name, title)]
    return [_surface(surface, surface.chart, name, title), _basins(surface, surface.chart, name)]


def draw_surface(axes: Axes, surface: Surface, plane: Plane) -> None:
    """Fill a set of axes with the energy over a plane: the darker, the lower."""
    across, up, energies = _gridded(surface)
    low, high = float(np.nanmin(energies)), float(np.nanmax(energies))
    span = (high - low) or 1.0
    # Levels lie closer near the lowest energy, where the minima are.
    levels = low + span * np.linspace(0.0, 1.0, _BANDS + 1) ** 1.7
    strengths = 0.66 * (1.0 - np.arange(_BANDS) / _BANDS) ** 1.2
    levels[-1] += 1e-9 * span
    axes.contourf(
        across, up, energies, levels=levels,
        colors=[(colour("level-4"), float(strength)) for strength in strengths],
    )  # fmt: skip
    axes.contour(
        across, up, energies, levels=levels[1:-1], colors=colour("card"), linewidths=0.6,
        linestyles="-",
    )  # fmt: skip
    _frame(axes, plane)


def draw_patterns(axes: Axes, surface: Surface) -> None:
    """Mark the patterns, with their numbers where they are few."""
    places = surface.patterns.numpy()
    axes.plot(
        places[:, 0],
        places[:, 1],
        linestyle="none",
        marker="x" if len(places) <= _NUMBERED else ".",
        markersize=7 if len(places) <= _NUMBERED else 4,
        color=colour("ink"),
        label=surface.problem.seen,
        zorder=4,
    )
    for number, (x, y) in enumerate(places if len(places) <= _NUMBERED else ()):
        axes.annotate(
            str(number + 1),
            (x, y),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=9,
            color=colour("ink"),
            zorder=6,
        )


def _surface(surface: Surface, plane: Plane, name: str, title: str) -> Picture:
    with drawing(size=SQUARE) as (figure, axes):
        draw_surface(axes, surface, plane)
        paths = surface.paths.numpy()  # (T, m, 2)
        axes.plot(paths[..., 0], paths[..., 1], color=colour("series-2"), linewidth=0.8, zorder=2)
        axes.plot(
            paths[0, :, 0], paths[0, :, 1], ".", markersize=4, color=colour("series-2"), zorder=2,
            label="start of a relaxation",
        )  # fmt: skip
        draw_patterns(axes, surface)
        for minimum, tone in _toned(surface):
            _mark(axes, minimum, minimum.coordinates, tone)
        _legend(axes)
    about = (
        f"Energy over the plane, the darker the lower; crosses are {surface.problem.seen}s, lines "
        "are relaxations, filled marks are minima."
    )
    return Picture(name, title, about, figure)


def _basins(surface: Surface, plane: Plane, name: str) -> Picture:
    across, up, energies = _gridded(surface)
    goals = surface.minima.goal.numpy().reshape(energies.shape)
    with drawing(size=SQUARE) as (figure, axes):
        tones = [tone for _, tone in _toned(surface)]
        shares = [_smoothed(goals == number) for number in range(len(tones))]
        shares += [_smoothed((goals < 0) & np.isfinite(energies)), 0.999 * np.isnan(energies)]
        for number, tone in enumerate([*tones, "line"]):
            others = np.max([each for i, each in enumerate(shares) if i != number], axis=0)
            lead = shares[number] - others
            if (lead > 0).any():
                axes.contourf(across, up, lead, levels=[0, 2], colors=[colour(tone)], alpha=0.35)
        _frame(axes, plane)
        draw_patterns(axes, surface)
        for minimum, tone in _toned(surface):
            _mark(axes, minimum, minimum.coordinates, tone)
        _legend(axes)
    about = (
        "From where states come to which minimum; grey: to none. Marks and colours as those of "
        "the minima."
    )
    return Picture(f"{name}-basins", "Basins", about, figure)


def _around(surface: Surface, name: str, title: str) -> Picture:
    angles = surface.coordinates[:, 0].numpy()
    energies = surface.energies.numpy()
    goals = surface.minima.goal.numpy()
    with drawing(size=LONG) as (figure, axes):
        axes.plot(angles, energies, color=colour("chance"), linewidth=1.0, zorder=1)
        for number, (minimum, tone) in enumerate(_toned(surface)):
            own = np.where(goals == number, energies, np.nan)
            axes.plot(angles, own, color=colour(tone), linewidth=2.2, zorder=2)
            _mark(axes, minimum, (minimum.coordinates[0], minimum.energy), tone)
        low, high = axes.get_ylim()
        for number, angle in enumerate(surface.patterns[:, 0].tolist()):
            axes.axvline(angle, color=colour("chance"), linewidth=0.8, linestyle=(0, (2, 2)))
            if len(surface.patterns) <= _NUMBERED:
                axes.annotate(
                    str(number + 1), (angle, high), xytext=(2, -9), textcoords="offset points",
                    fontsize=9, color=colour("ink"),
                )  # fmt: skip
        axes.set_ylim(low, high)
        axes.set_xlim(-math.pi, math.pi)
        axes.set_xticks([-math.pi, -math.pi / 2, 0, math.pi / 2, math.pi])
        axes.set_xticklabels(["\N{MINUS SIGN}π", "\N{MINUS SIGN}π/2", "0", "π/2", "π"])
        axes.set_xlabel("angle of the state")
        axes.set_ylabel("energy")
        _legend(axes)
    about = (
        "Energy around the circle of states; each colour is the basin of the minimum marked in "
        f"it, dashed lines are the directions of the {surface.problem.seen}s."
    )
    return Picture(name, title, about, figure)


def _smoothed(where: np.ndarray) -> np.ndarray:
    """Means over each point and its eight neighbours, so that a border of a grid is no stair."""
    wide = np.pad(where.astype(float), 1, mode="edge")
    rows = (wide[:-2] + wide[1:-1] + wide[2:]) / 3
    means: np.ndarray = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 3
    return means


def _gridded(surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    side = math.isqrt(len(surface.coordinates))
    grid = surface.coordinates.numpy().reshape(side, side, 2)
    return grid[0, :, 0], grid[:, 0, 1], surface.energies.numpy().reshape(side, side)


def _toned(surface: Surface) -> Iterator[tuple[Minimum, str]]:
    for number, minimum in enumerate(surface.minima.minima):
        yield minimum, SERIES[number % len(SERIES)]


def _mark(axes: Axes, minimum: Minimum, place: tuple[float, ...], tone: str) -> None:
    axes.plot(
        place[0],
        place[1],
        marker=MARKERS[minimum.kind],
        markersize=8,
        markerfacecolor=colour(tone),
        markeredgecolor=colour("card"),
        linestyle="none",
        zorder=5,
        label=minimum.kind,
    )


def _frame(axes: Axes, plane: Plane) -> None:
    axes.set_xlim(float(plane.low[0]), float(plane.high[0]))
    axes.set_ylim(float(plane.low[1]), float(plane.high[1]))
    axes.set_aspect("equal")
    axes.grid(visible=False)
    name = "component" if plane.axes.shape[-1] == 2 else "direction"
    name = "principal component" if plane.section else name
    axes.set_xlabel(f"{name} 1")
    axes.set_ylabel(f"{name} 2")


def _legend(axes: Axes) -> None:
    """One entry for each kind of mark, below the picture."""
    handles, labels = axes.get_legend_handles_labels()
    first = {label: handle for handle, label in reversed(list(zip(handles, labels, strict=True)))}
    axes.figure.legend(
        list(first.values())[::-1],
        list(first)[::-1],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        labelcolor=colour("ink"),
        fontsize=9,
    )
