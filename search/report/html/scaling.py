"""The score of every variant against what a sweep went through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from attenergy.analysis.drawing import (
    Picture,
    colour,
    drawing,
    legend,
    looks,
    reference_lines,
)
from attenergy.registry import Scalar
from attenergy.search.report.over_tasks import sweep_of
from attenergy.search.results import formats
from attenergy.search.results.task_table import Column, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Share of the axis by which the intervals of neighbouring variants stand apart.
_APART = 0.012
_MOST_PICTURES = 9


@dataclass(frozen=True)
class Line:
    """The points of one picture: one quantity, the others as `where` says."""

    option: str
    where: str
    points: tuple[tuple[float, Column], ...]


def draw(matrix: Matrix) -> list[Picture]:
    """One picture; of several quantities, one for each value of the others."""
    lines = lines_of(matrix)[:_MOST_PICTURES]
    scores = [s for line in lines for _, c in line.points for s in c.scores.values()]
    ends = [end for s in scores for end in (s.mean, s.low, s.high) if end is not None]
    return [_picture(matrix, line, ends if len(lines) > 1 else ()) for line in lines]


def lines_of(matrix: Matrix) -> list[Line]:
    """Numbers that were gone through; of several quantities, the one with most values."""
    if not matrix.axes:
        known = sweep_of(matrix)
        if known is None:
            return []
        return [Line(known[0], "", _sorted(zip(known[1], matrix.columns, strict=True)))]
    numbers = {n: values for n, values in matrix.axes.items() if all(map(_is_number, values))}
    option = max(numbers, key=lambda name: len(numbers[name]), default=None)
    if option is None or len(numbers[option]) < 2:
        return []
    groups: dict[str, list[tuple[float, Column]]] = {}
    for column in matrix.columns:
        others = {name: value for name, value in column.point.items() if name != option}
        groups.setdefault(formats.point(others), []).append((float(column.point[option]), column))
    return [Line(option, where, _sorted(points)) for where, points in groups.items()]


def geometric(values: Sequence[float]) -> bool:
    """Whether sorted values lie more evenly on a logarithmic axis than on a linear one."""
    if values[0] <= 0 or len(values) < 2:
        return False
    if len(values) == 2:
        return values[1] >= 8 * values[0]
    steps = [b - a for a, b in pairwise(values)]
    ratios = [log(b / a) for a, b in pairwise(values)]
    return pstdev(ratios) / fmean(ratios) < pstdev(steps) / fmean(steps)


def _picture(matrix: Matrix, line: Line, ends: Sequence[float]) -> Picture:
    values = [value for value, _ in line.points]
    first = line.points[0][1]
    with drawing() as (figure, axes):
        log_axis = geometric(values)
        tips = _draw_variants(axes, matrix, line, log_axis)
        same = {name: _draw_level(axes, line, name) for name in ("chance", "ceiling")}
        reference_lines(axes, chance=same["chance"], ceiling=same["ceiling"])
        if log_axis:
            axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(values, [_shown(value) for value in values])
        if ends:
            margin = 0.05 * (max(ends) - min(ends) or 1.0)
            axes.set_ylim(min(ends) - margin, max(ends) + margin)
        axes.set(xlabel=line.option, ylabel=f"{first.metric} ({formats.split(first.split)})")
        legend(axes)
    about = f"Mean over seeds and its 95 % interval at each {line.option} that was gone through."
    title = f"Score against {line.option}" + (f", {line.where}" if line.where else "")
    file = "-".join(["sweep", *line.where.replace(",", "").split()])
    return Picture(file, title, about, figure, tips=tips)


def _draw_level(axes: Axes, line: Line, name: str) -> float | None:
    """The chance or the ceiling, if it is the same everywhere; else a line is drawn."""
    level = [(v, getattr(c, name)) for v, c in line.points if getattr(c, name) is not None]
    if len({height for _, height in level}) == 1:
        height: float = level[0][1]
        return height
    if level:
        dots = (0, (2, 2))
        x, y = zip(*level, strict=True)
        axes.plot(x, y, color=colour("chance"), linewidth=1, linestyle=dots, label=name)
    return None


def _draw_variants(axes: Axes, matrix: Matrix, line: Line, log_axis: bool) -> dict[str, list[str]]:
    """A line with intervals for each variant; the intervals stand a little apart."""
    styles = looks(matrix.variants)
    tips: dict[str, list[str]] = {}
    low, high = line.points[0][0], line.points[-1][0]
    for number, variant in enumerate(matrix.variants):
        known = [(v, c.scores[variant]) for v, c in line.points if variant in c.scores]
        if not known:
            continue
        look, shift = styles[variant], _APART * (number - (len(matrix.variants) - 1) / 2)
        x = [
            value * (high / low) ** shift if log_axis else value + shift * (high - low)
            for value, _ in known
        ]
        means = [score.mean for _, score in known]
        axes.plot(x, means, color=look.colour, linestyle=look.dash, linewidth=1.8, label=variant)
        axes.scatter(
            x, means, s=34, marker=look.marker, color=look.colour, linewidths=0, zorder=3,
            gid=f"sweep-{number}",
        )  # fmt: skip
        tips[f"sweep-{number}"] = [
            f"{variant}, {line.option} {_shown(value)}: {formats.score(score)}"
            for value, score in known
        ]
        bounds = [
            (at, score.low, score.high)
            for at, (_, score) in zip(x, known, strict=True)
            if score.low is not None and score.high is not None
        ]
        if bounds:
            axes.vlines(*zip(*bounds, strict=True), color=look.colour, linewidth=1.3)
    return tips


def _shown(value: float) -> str:
    return formats.value(int(value) if value.is_integer() else value)


def _sorted(points: Iterable[tuple[float, Column]]) -> tuple[tuple[float, Column], ...]:
    return tuple(sorted(points, key=lambda point: point[0]))


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
