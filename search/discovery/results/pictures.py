"""Pictures of a discovery: fronts, the best score over time, niches, ablation, rungs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attenergy.analysis.drawing import (
    FOREST,
    LEVELS,
    PHONE,
    Picture,
    colour,
    drawing,
    legend,
    panels,
)
from attenergy.registry.printable import printable
from attenergy.search.discovery.results.discovery import Ablated, Arm, Discovery, Formula
from attenergy.search.discovery.results.order import best_so_far, front, scored, spent, top_rung
from attenergy.search.report.html.study_view import thinned
from attenergy.search.results import formats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Arm -> its tone and marker in all pictures.
LOOKS: dict[Arm, tuple[str, str]] = {
    "registry": ("ink", "s"),
    "evolved": ("series-1", "o"),
    "random": ("series-2", "D"),
}
#: What the three numbers of a niche are bins of.
BEHAVIOURS = ("sharpness", "forgetting", "hollowness")
_NAMES: dict[Arm, str] = {"registry": "registry", "evolved": "evolved", "random": "random"}
_LONG, _MOST_PARTS = 100.0, 24
_FARTHEST = -0.5  # below it a score is drawn at the edge


def draw(discovery: Discovery, winner: Formula | None) -> dict[str, list[Picture]]:
    """Every picture that has data, by the section of the page that shows it."""
    return {
        "fronts": fronts(discovery, winner),
        "progress": progress(discovery),
        "niches": niches(discovery, winner),
        "rungs": rung_pairs(discovery),
        "ablation": ablation(discovery),
    }


def fronts(discovery: Discovery, winner: Formula | None) -> list[Picture]:
    """Score against cost and against length on the last rung that several have reached."""
    rung = top_rung(discovery)
    prices: tuple[tuple[str, str, Callable[[Formula], float | None]], ...] = (
        ("cost", "cost of a step, softmax = 1", lambda f: f.cost),
        ("length", "length of the formula, in nodes", lambda f: float(f.length)),
    )
    pictures = []
    for name, label, price in prices:
        formulas = [
            f for f in scored(discovery.population, rung) if math.isfinite(price(f) or math.nan)
        ]
        if len(formulas) < 2:
            continue
        with drawing() as (figure, axes):
            tips = _points(axes, formulas, rung, price)
            _mark(axes, winner, rung, price)
            best = front(formulas, rung, price)
            across = [price(f) or 0.0 for f in best]
            right = max(price(f) or 0.0 for f in formulas)
            heights = [f.scores[rung] for f in best]
            axes.step([*across, right], [*heights, heights[-1]], where="post", label="front",
                      color=colour("soft"), linewidth=1.1, zorder=1)  # fmt: skip
            axes.set(xlabel=label, ylabel=f"score on {rung}")
            _limits(axes, [f.scores[rung] for f in formulas])
            if name == "cost" and right > 4 * min(price(f) or 1.0 for f in formulas):
                _logarithmic(axes)
            legend(axes)
        about = f"Every formula that has a score on {rung}: 0 is chance, 1 the ceiling. "
        about += "On the line, nothing is both better and "
        about += "cheaper." if name == "cost" else "shorter."
        pictures.append(Picture(f"front-{name}", f"Score against {name}", about, figure, tips=tips))
    return pictures


def progress(discovery: Discovery) -> list[Picture]:
    """The best score so far of evolved and random formulas against the seconds spent on each."""
    pictures = []
    rungs = [r for r in discovery.rungs if len(scored(discovery.population, r)) > 1]
    for place, rung in enumerate(dict.fromkeys([*rungs[:1], *rungs[-1:]])):
        curves = {arm: best_so_far(discovery, arm, rung) for arm in ("evolved", "random")}
        if not any(curves.values()):
            continue
        longest = max(spent(discovery, "evolved"), spent(discovery, "random"))
        unit, length = ("minutes", 60.0) if longest > _LONG else ("seconds", 1.0)
        with drawing() as (figure, axes):
            for arm, points in curves.items():
                _curve(axes, discovery, arm, points, length)  # type: ignore[arg-type]
            _known(axes, discovery, rung)
            axes.set_xlim(left=0)
            axes.set(xlabel=f"{unit} spent on the arm", ylabel=f"best score on {rung}")
            _limits(axes, [score for points in curves.values() for _, score in points])
            legend(axes)
        about = f"The best score on {rung} that each arm had after so many {unit}. Formulas count "
        about += "in the order in which they were proposed."
        name = "progress" if place else "progress-first"
        pictures.append(Picture(name, f"Best so far on {rung}", about, figure))
    return pictures


def niches(discovery: Discovery, winner: Formula | None) -> list[Picture]:
    """The map of behaviours: how many formulas each niche has, and the best of them."""
    rung = top_rung(discovery)
    cells: dict[tuple[int, ...], list[Formula]] = {}
    for formula in scored(discovery.population, rung):
        if len(formula.niche) == len(BEHAVIOURS):
            cells.setdefault(formula.niche, []).append(formula)
    if len(cells) < 2:
        return []
    depths = sorted({cell[2] for cell in cells})
    with panels(1, len(depths), (2.6 * len(depths) + 1.0, 3.2)) as (figure, grid):
        for axes, depth in zip(grid[0], depths, strict=True):
            flat = {cell[:2]: group for cell, group in cells.items() if cell[2] == depth}
            own = winner.niche[:2] if winner is not None and winner.niche[2:] == (depth,) else ()
            _draw_cells(axes, flat, rung, own, _span(cells, rung))
            axes.set_title(f"{BEHAVIOURS[2]} {depth}")
            axes.set(xlabel=BEHAVIOURS[0])
        grid[0][0].set(ylabel=BEHAVIOURS[1])
    about = f"Cells of alike behaviour, by {', '.join(BEHAVIOURS)}, each in bins from low to high. "
    about += (
        f"In a cell the best score on {rung}, and below it the number of formulas; that of the "
    )
    about += "winner is framed."
    return [Picture("niches", "Niches", about, figure, wide=len(depths) > 1)]


def _span(cells: Mapping[tuple[int, ...], Sequence[Formula]], rung: str) -> tuple[float, float]:
    """The lowest and the highest of the best scores of all cells; below chance all are alike."""
    highest = [max(0.0, *(f.scores[rung] for f in group)) for group in cells.values()]
    return min(highest), max(highest)


def _draw_cells(
    axes: Axes,
    cells: Mapping[tuple[int, ...], Sequence[Formula]],
    rung: str,
    own: tuple[int, ...],
    span: tuple[float, float],
) -> None:
    from matplotlib.patches import Rectangle

    low, high = span
    for cell, group in cells.items():
        score = max(f.scores[rung] for f in group)
        share = max(0.0, (score - low) / (high - low)) if high > low else 1.0
        level = min(len(LEVELS) - 1, int(share * len(LEVELS)))
        text = f"{score:.2f}" if score > _FARTHEST else f"<{_FARTHEST}"
        edge = {"edgecolor": colour("good"), "linewidth": 2.6} if cell == own else {"linewidth": 0}
        corner = (cell[0] - 0.47, cell[1] - 0.47)
        axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=colour(LEVELS[level]),
                                 zorder=3 if cell == own else 2, **edge))  # fmt: skip
        axes.annotate(
            f"{text}\n{len(group)}", (cell[0], cell[1]), ha="center", va="center", zorder=4,
            fontsize=8.5, color=colour("ink" if level < 2 else "card"),
        )  # fmt: skip
    most = [max(3, *(cell[place] for cell in cells)) for place in (0, 1)]
    axes.set(xlim=(-0.6, most[0] + 0.6), ylim=(-0.6, most[1] + 0.6),
             xticks=range(most[0] + 1), yticks=range(most[1] + 1))  # fmt: skip
    axes.grid(visible=False)


def rung_pairs(discovery: Discovery, most: int = 4) -> list[Picture]:
    """Scores of one rung against those of the next: what its prediction is made of."""
    pictures = list[Picture]()
    for place, each in enumerate(discovery.predictions):
        later = scored(discovery.population, each.following)
        both = [f for f in later if math.isfinite(f.scores.get(each.rung, -math.inf))]
        if len(both) < 3 or len(pictures) == most:
            continue
        with drawing() as (figure, axes):
            tips = _points(axes, both, each.following, _score_on(each.rung))
            axes.set(xlabel=f"score on {each.rung}", ylabel=f"score on {each.following}")
            _limits(axes, [f.scores[each.following] for f in both])
            legend(axes)
        known = "" if each.correlation is None else f" Rank correlation {each.correlation:+.2f}."
        title = f"From {each.rung} to {each.following}"
        about = f"Every formula that has both scores.{known}"
        pictures.append(Picture(f"rungs-{place}", title, about, figure, tips=tips))
    return pictures


def _score_on(rung: str) -> Callable[[Formula], float | None]:
    return lambda formula: _height(formula, rung)


def ablation(discovery: Discovery) -> list[Picture]:
    """What is left of the winner's score without each of its parts, on the last rung tried."""
    rung = next((r for r in reversed(discovery.rungs) if _tried(discovery, r)), "")
    parts = _tried(discovery, rung)
    if not parts:
        return []
    whole = parts[0].scores[rung]
    values = [part.scores.get(rung, -math.inf) for part in parts]
    known = [value for value in values if math.isfinite(value)]
    if not known or not math.isfinite(whole):
        return []
    left = max(min([0.0, *known]), _FARTHEST)
    pictures = []
    for screen, size, room in (("desk", FOREST, 52), ("phone", PHONE, 22)):
        with drawing(size=(size[0], 0.95 + size[1] * len(values))) as (figure, axes):
            for place, value in enumerate(values):
                finite = math.isfinite(value)
                at = max(value, left) if finite else left
                axes.plot([whole, at], [place, place], color=colour("line"), linewidth=3, zorder=1)
                axes.scatter([at], [place], s=44, marker="o" if finite else "X", zorder=3,
                             color=colour("series-1" if finite else "bad"))  # fmt: skip
            axes.axvline(whole, color=colour("ink"), linewidth=1, linestyle=(0, (5, 3)), zorder=1)
            names = ["the whole formula", *(f"without {part.what}" for part in parts[1:])]
            shown = [_cut(printable(name, lines=False), room) for name in names]
            axes.set_yticks(range(len(values)), shown[: len(values)])
            axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=9)
            axes.set(ylim=(len(values) - 0.45, -0.6), xlabel=f"score on {rung}")
            axes.grid(visible=False)
        about = f"The score on {rung} without each part of the winner. Dashed: the whole formula. "
        about += "A cross: no score."
        name = "ablation" if screen == "desk" else "ablation-phone"
        pictures.append(Picture(name, "Ablation", about, figure, screen=screen))
    return pictures


def _tried(discovery: Discovery, rung: str) -> list[Ablated]:
    """The whole formula, and the parts without which it was tried on a rung; empty without any."""
    whole, *parts = discovery.ablations or (None,)
    tried = [part for part in parts if part is not None and (rung in part.scores or part.reason)]
    if whole is None or rung not in whole.scores or not any(rung in p.scores for p in tried):
        return []
    return [whole, *tried[:_MOST_PARTS]]


def _points(
    axes: Axes,
    formulas: Sequence[Formula],
    rung: str,
    price: Callable[[Formula], float | None],
) -> dict[str, list[str]]:
    """The formulas of every arm, and the texts over them."""
    tips = {}
    for arm, (tone, marker) in LOOKS.items():
        own = [f for f in formulas if f.arm == arm]
        group = thinned(own)
        if not group:
            continue
        axes.scatter(
            [price(f) or 0.0 for f in group], [_height(f, rung) for f in group],
            s=24, marker=marker, color=colour(tone), alpha=0.65, linewidths=0, zorder=2,
            label=_NAMES[arm], gid=f"points-{arm}",
        )  # fmt: skip
        tips[f"points-{arm}"] = [
            printable(f"{f.name} {formats.fixed(f.scores[rung])}: {f.formula}", lines=False)
            for f in group
        ]
    return tips


def _height(formula: Formula, rung: str) -> float:
    """The score on a rung; one far below chance is drawn at the edge, for no point may be outside.

    The texts over the points count those that are drawn.
    """
    return max(formula.scores[rung], _FARTHEST)


def _mark(
    axes: Axes, winner: Formula | None, rung: str, price: Callable[[Formula], float | None]
) -> None:
    """A ring around the winner."""
    if winner is None or price(winner) is None or rung not in winner.scores:
        return
    axes.scatter([price(winner) or 0.0], [_height(winner, rung)], s=150, facecolors="none",
                 edgecolors=colour("good"), linewidths=1.8, zorder=4, label="winner")  # fmt: skip


def _curve(
    axes: Axes, discovery: Discovery, arm: Arm, points: list[tuple[float, float]], length: float
) -> None:
    if not points:
        return
    seconds = [*(s / length for s, _ in points), spent(discovery, arm) / length]
    scores = [score for _, score in points]
    dash = "-" if arm == "evolved" else (0, (5, 1.5))
    axes.step(seconds, [*scores, scores[-1]], where="post", color=colour(LOOKS[arm][0]),
              linewidth=1.9, linestyle=dash, label=_NAMES[arm])  # fmt: skip


def _known(axes: Axes, discovery: Discovery, rung: str) -> None:
    """The registry's best on the rung, as a line."""
    known = scored((f for f in discovery.population if f.arm == "registry"), rung)
    if known:
        axes.axhline(known[0].scores[rung], color=colour("ink"), linewidth=1,
                     linestyle=(0, (1.5, 1.5)), label="registry's best")  # fmt: skip


def _limits(axes: Axes, scores: Sequence[float]) -> None:
    """An axis of scores from chance, or the lowest above the farthest, to the best."""
    low, high = max(_FARTHEST, min([0.0, *scores])), max([0.0, *scores])
    room = 0.06 * (high - low or 1.0)
    axes.set_ylim(low - room, high + room)
    axes.axhline(0, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)), zorder=1)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: formats.tick(x)))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
