"""Accuracy against cost: every configuration, and the front of those that nothing beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attenergy.analysis.drawing import Picture, colour, drawing, legend, reference_lines
from attenergy.search.report.html.study_view import View, thinned
from attenergy.search.results import formats
from attenergy.search.results.columns import COSTS, CostColumn
from attenergy.search.results.ranking import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EQUAL = 1.05  # ratio of the largest to the smallest cost below which a picture says nothing
_ABOUT_LIMIT = " Hollow points are beyond a limit of cost, and not on the line."
_LOGARITHMIC = 3.0  # ratio of the largest to the smallest cost from which on


def draw(view: View) -> list[Picture]:
    """One picture for each cost in which configurations differ by more than a twentieth.

    Costs of the leaderboard, and those that are limited.
    """
    pictures = []
    limits = view.board.cost_limits
    shown = {column.key for column in COSTS}
    for column in (*COSTS, *(_limited(name) for name in limits if name not in shown)):
        cost = column.key
        rows = [row for row in view.board.rows if cost in row.cost and "valid" in row.scores]
        if not rows or _equal([row.cost[cost] for row in rows]):
            continue
        with drawing() as (figure, axes):
            within = [row for row in rows if not row.beyond]
            best = front([(row.cost[cost], row.scores["valid"].mean) for row in within])
            tips = _draw_points(axes, view, rows, column)
            _draw_front(axes, best, limits.get(cost))
            # An interval of few seeds may leave every scale; the points decide what is shown.
            axes.set_ylim(view.limits([row.scores["valid"].mean for row in rows]))
            axes.set(xlabel=column.axis, ylabel=f"{view.metric} (valid)")
            _scale(axes, [*(row.cost[cost] for row in rows), *_limit(limits, cost)])
            reference_lines(axes, **view.references)
            legend(axes)
        about = (
            "Large points: means over seeds with their 95 % interval. Small ones: single trials. "
            "On the line, nothing is both cheaper and better."
            + (_ABOUT_LIMIT if limits else "")
            + view.about_axis
        )
        name = f"cost-{cost.replace('_', '-')}"
        pictures.append(Picture(name, column.title, about, figure, tips=tips))
    return pictures


def _limited(cost: str) -> CostColumn:
    """A picture of a cost that has no column."""
    words = cost.replace("_", " ")
    return CostColumn(cost, cost, formats.count, words.capitalize(), words)


def _limit(limits: Mapping[str, float], cost: str) -> list[float]:
    return [limits[cost]] if cost in limits else []


def _equal(costs: Sequence[float]) -> bool:
    return len(costs) < 2 or max(costs) <= _EQUAL * min(costs)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, score) that no other one beats: cheaper with the same score, or better."""
    best: list[tuple[float, float]] = []
    for cost, score in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best


def _draw_points(
    axes: Axes, view: View, rows: Sequence[Row], column: CostColumn
) -> dict[str, list[str]]:
    """A set of points for each variant, and others for its finalists and beyond limits; tips."""
    cost = column.key
    tips: dict[str, list[str]] = {}
    leaders = [row.variant for row in view.leaders]
    groups: dict[tuple[bool, bool, str], list[Row]] = {}
    for row in thinned(rows, lambda row: row.final):
        groups.setdefault((row.final, not row.beyond, row.variant), []).append(row)
    labelled: set[str] = set()
    for number, ((final, within, variant), group) in enumerate(
        sorted(groups.items(), reverse=True)
    ):
        look = view.looks[variant]
        label = variant if variant in leaders and variant not in labelled else None
        labelled.add(variant)
        costs = [row.cost[cost] for row in group]
        scores = [row.scores["valid"] for row in group]
        axes.scatter(
            costs,
            [score.mean for score in scores],
            s=56 if final else 20,
            marker=look.marker,
            facecolors=look.colour if within else "none",
            edgecolors=look.colour,
            alpha=1.0 if final else 0.55,
            linewidths=0 if within else 1.2,
            zorder=3 if final else 2,
            label=label,
            gid=f"points-{number}",
        )
        tips[f"points-{number}"] = [_tip(row, column) for row in group]
        if final:
            low, high = ([getattr(s, end) or s.mean for s in scores] for end in ("low", "high"))
            axes.vlines(costs, low, high, color=look.colour, linewidth=1.3, zorder=3)
    return tips


def _tip(row: Row, column: CostColumn) -> str:
    about = formats.settings(row.settings)
    score = formats.score(row.scores["valid"])
    return f"{row.rank} {row.variant} {score}, {column.format(row.cost[column.key])}; {about}"


def _draw_front(axes: Axes, best: list[tuple[float, float]], limit: float | None) -> None:
    """The front, as far as the limit where there is one, and the limit."""
    if limit is not None:
        axes.axvline(limit, color=colour("soft"), linewidth=1.1, linestyle=":", label="limit")
    if not best:
        return
    costs, scores = zip(*best, strict=True)
    right = max(axes.dataLim.intervalx[1], costs[-1]) if limit is None else limit
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
