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
    "plateau": "P",
}
SERIES = tuple(name for name in TONES if name.startswith("series"))
#: Inches of a picture of a plane, and of a circle.
SQUARE, LONG = (5.2, 4.6), (5.2, 3.5)
#: Most patterns whose numbers are written beside them.
_NUMBERED = 12
_BANDS, _LINES = 14, 22


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
    bands = low + span * np.linspace(0.0, 1.0, _BANDS + 1) ** 1.7
    lines = low + span * np.linspace(0.0, 1.0, _LINES + 1) ** 1.7
    for number in range(_BANDS):
        strength = 0.62 * (1.0 - number / _BANDS) ** 1.2
        axes.contourf(
            across,
            up,
            energies,
            levels=[bands[number], bands[number + 1] + (1e-9 * span)],
            colors=[colour("level-4")],
            alpha=strength,
            antialiased=False,
        )
    axes.contour(
        across, up, energies, levels=lines[1:-1], colors=colour("chance"), linewidths=0.4, alpha=0.7
    )
    _frame(axes, plane)


def draw_patterns(axes: Axes, surface: Surface) -> None:
    """Mark the stored patterns, with their numbers where they are few."""
    places = surface.patterns.numpy()
    axes.plot(
        places[:, 0],
        places[:, 1],
        linestyle="none",
        marker="x" if len(places) <= _NUMBERED else ".",
        markersize=7 if len(places) <= _NUMBERED else 4,
        color=colour("ink"),
        label="stored pattern",
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
        for path in surface.paths.numpy().swapaxes(0, 1):
            axes.plot(
                path[:, 0], path[:, 1], "-", color=colour("series-2"), linewidth=0.8, zorder=2
            )
            axes.plot(
                *path[0], marker=".", markersize=3.5, color=colour("series-2"), zorder=2,
                label="relaxation" if path is surface.paths.numpy().swapaxes(0, 1)[0] else "",
            )  # fmt: skip
        draw_patterns(axes, surface)
        for minimum, tone in _toned(surface):
            _mark(axes, minimum, minimum.coordinates, tone)
        _legend(axes)
    about = (
        "Energy over the plane, the darker the lower; crosses are stored patterns, lines are "
        "relaxations, filled marks are minima."
    )
    return Picture(name, title, about, figure)


def _basins(surface: Surface, plane: Plane, name: str) -> Picture:
    across, up, energies = _gridded(surface)
    goals = surface.minima.goal.numpy().reshape(energies.shape)
    with drawing(size=SQUARE) as (figure, axes):
        for number, (_, tone) in enumerate(_toned(surface)):
            share = (goals == number).astype(float)
            if share.any():
                axes.contourf(
                    across, up, share, levels=[0.5, 1.5], colors=[colour(tone)], alpha=0.35
                )
        outside = ((goals < 0) & np.isfinite(energies)).astype(float)
        if outside.any():
            axes.contourf(
                across, up, outside, levels=[0.5, 1.5], colors=[colour("line")], alpha=0.6
            )
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
        axes.set_xticklabels(["-π", "-π/2", "0", "π/2", "π"])
        axes.set_xlabel("angle of the state")
        axes.set_ylabel("energy")
        _legend(axes)
    about = (
        "Energy around the circle of states; each colour is the basin of the minimum marked in "
        "it, dashed lines are the directions of the stored patterns."
    )
    return Picture(name, title, about, figure)


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
    names = ("component 1", "component 2")
    if plane.section:
        names = ("principal component 1", "principal component 2")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])


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
