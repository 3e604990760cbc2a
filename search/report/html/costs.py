"""Accuracy against cost: every configuration, and the front of those that nothing beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attenergy.search.report.html.study_view import MOST_SERIES, View
from attenergy.search.report.html.style import Picture, colour, drawing, legend, reference_lines
from attenergy.search.results.columns import COSTS
from attenergy.search.results.ranking import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOGARITHMIC = 3.0  # ratio of the largest to the smallest cost from which on


def draw(view: View) -> list[Picture]:
    """One picture for each cost that two or more configurations differ in."""
    pictures = []
    for column in COSTS:
        cost = column.key
        rows = [row for row in view.board.rows if cost in row.cost and "valid" in row.scores]
        if len({row.cost[cost] for row in rows}) < 2:
            continue
        with drawing() as (figure, axes):
            best = front([(row.cost[cost], row.scores["valid"].mean) for row in rows])
            _draw_points(axes, view, rows, cost)
            _draw_front(axes, best)
            # An interval of few seeds may leave every scale; the points decide what is shown.
            heights = [row.scores["valid"].mean for row in rows]
            heights += [v for v in (view.board.chance, view.ceiling) if v is not None]
            room = 0.06 * (max(heights) - min(heights) or 1.0)
            axes.set_ylim(min(heights) - room, max(heights) + room)
            axes.set(xlabel=column.axis, ylabel=f"{view.metric} (valid)")
            _scale(axes, [row.cost[cost] for row in rows])
            reference_lines(axes, chance=view.board.chance, ceiling=view.ceiling)
            legend(axes)
        about = (
            "Large points: means over seeds with their 95 % interval. Small ones: single trials. "
            "On the line, nothing is both cheaper and better."
        )
        pictures.append(Picture(f"cost-{cost.replace('_', '-')}", column.title, about, figure))
    return pictures


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, score) that no other one beats: cheaper with the same score, or better."""
    best: list[tuple[float, float]] = []
    for cost, score in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best


def _draw_points(axes: Axes, view: View, rows: list[Row], cost: str) -> None:
    named = {row.variant for row in view.leaders[:MOST_SERIES]}
    labelled: set[str] = set()
    for row in sorted(rows, key=lambda row: not row.final):
        look, score = view.looks[row.variant], row.scores["valid"]
        new = row.variant in named and row.variant not in labelled
        labelled.add(row.variant)
        error = None
        if row.final and score.low is not None and score.high is not None:
            error = [[score.mean - score.low], [score.high - score.mean]]
        axes.errorbar(
            [row.cost[cost]],
            [score.mean],
            yerr=error,
            fmt=look.marker,
            color=look.colour,
            alpha=1.0 if row.final else 0.55,
            markersize=7.5 if row.final else 4.5,
            markeredgewidth=0,
            elinewidth=1.3,
            linestyle="none",
            zorder=3 if row.final else 2,
            label=row.variant if new else None,
        )


def _draw_front(axes: Axes, best: list[tuple[float, float]]) -> None:
    costs, scores = zip(*best, strict=True)
    right = max(axes.dataLim.intervalx[1], costs[-1])
    axes.step(
        [*costs, right],
        [*scores, scores[-1]],
        where="post",
        color=colour("soft"),
        linewidth=1.1,
        zorder=1,
        label="front",
    )


def _scale(axes: Axes, costs: list[float]) -> None:
    """Ticks that read `50k`, on a logarithmic axis where costs differ much."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    from attenergy.search.results import formats

    low, high = min(costs), max(costs)
    if high > _LOGARITHMIC * low > 0:
        axes.set_xscale("log")
        subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    narrow = high < 1.2 * low
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x:,.0f}" if narrow and low > 100 else formats.tick(x))
    )
