"""The finding in one picture: finalists below each other, a dot for each seed, the interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attenergy.analysis.drawing import FOREST, PHONE, Picture, colour, drawing
from attenergy.search.report.html.study_view import View
from attenergy.search.report.terminal import CALLS
from attenergy.search.results import formats
from attenergy.search.results.ranking import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 10  # rows
_TONES = {"beats": "good", "loses": "bad", "undecided": "open"}
_SIDES = {"chance": "left", "ceiling": "right"}
_LABEL = 0.35  # of the axis: room for two names of lines beside each other


def draw(view: View) -> list[Picture]:
    """One picture for a desk and one for a phone; empty without any score.

    Without finalists its rows are the best trials of each variant, of one seed each.
    """
    rows = [row for row in view.finals or view.leaders if "valid" in row.scores]
    if not rows:
        return []
    shown = rows[:_MOST]
    shown += [row for row in rows[_MOST:] if row.baseline][:1]
    about = "A dot for each seed; the diamond is their mean, the bar its 95 % interval. "
    about += "Dashed: the baseline."
    if view.solved_from is not None:
        about = "A dot for each seed, which solves the task or does not; the diamond is their mean."
    if not view.finals:
        about = "Trials of one seed each, the best of each variant."
    about += view.about_axis
    title = f"{view.board.metric} (valid)"
    pictures = []
    for screen, size in (("desk", FOREST), ("phone", PHONE)):
        with drawing(size=(size[0], 0.95 + size[1] * len(shown))) as (figure, axes):
            tips = _draw_rows(axes, view, shown)
            _dress(axes, view, shown)
            _draw_lines(axes, view, shown, named=screen == "desk")
            axes.set(xlabel=title)
        name = "forest" if screen == "desk" else "forest-phone"
        pictures.append(Picture(name, title, about, figure, tips=tips, screen=screen))
    return pictures


def _draw_rows(axes: Axes, view: View, rows: Sequence[Row]) -> dict[str, list[str]]:
    tips: dict[str, list[str]] = {}
    solving = view.solved_from is not None
    for place, row in enumerate(rows):
        look, score = view.looks[row.variant], row.scores["valid"]
        values = row.values["valid"]
        if score.low is not None and score.high is not None and not solving:
            axes.plot([score.low, score.high], [place, place], color=look.colour, linewidth=5,
                      alpha=0.28, solid_capstyle="butt", zorder=2)  # fmt: skip
        axes.scatter(list(values.values()), [place] * len(values), s=20, color=look.colour,
                     alpha=0.65, linewidths=0, zorder=3, gid=f"seeds-{place}")  # fmt: skip
        tips[f"seeds-{place}"] = [f"{row.variant}, seed {s}: {v:.3f}" for s, v in values.items()]
        axes.scatter([score.mean], [place], s=60, marker="D", color=look.colour, linewidths=1.2,
                     edgecolors=colour("card"), zorder=4, gid=f"mean-{place}")  # fmt: skip
        tips[f"mean-{place}"] = [f"{row.variant}: {formats.score(score)}; {_about(row)}"]
    return tips


def _about(row: Row) -> str:
    return f"{row.seeds_shown} seeds; {formats.settings(row.settings)}"


def _draw_lines(axes: Axes, view: View, rows: Sequence[Row], *, named: bool) -> None:
    """Chance, ceiling, and the mean of the baseline, with their names where there is room."""
    lines = [(name, value) for name, value in view.references.items() if value is not None]
    for name, value in lines:
        axes.axvline(value, color=colour("chance"), linewidth=1.2, linestyle=(0, (1, 2)), zorder=1)
        _name_line(axes, f"{name} {value:.3f}", value, _SIDES[name], "soft")
    baseline = next((row for row in rows if row.baseline), None)
    if baseline is not None:
        mean, (left, right) = baseline.scores["valid"].mean, axes.get_xlim()
        axes.axvline(mean, color=colour("ink"), linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        if named and all(abs(value - mean) > _LABEL * (right - left) for _, value in lines):
            _name_line(axes, f"{baseline.variant} {mean:.3f}", mean, "center", "ink")


def _name_line(axes: Axes, text: str, value: float, side: Any, tone: str) -> None:
    axes.annotate(
        text, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha=side, va="bottom", fontsize=9, color=colour(tone),
    )  # fmt: skip


def _dress(axes: Axes, view: View, rows: Sequence[Row]) -> None:
    """Names at the left, calls at the right, and an axis that ends where scores do."""
    ends = [end for row in rows for end in _ends(row, view.solved_from is not None)]
    axes.set(xlim=view.limits(ends), ylim=(len(rows) - 0.45, -0.6))
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    axes.spines["left"].set_visible(False)
    several = len({row.variant for row in rows}) < len(rows)
    names = [f"{row.rank} {row.variant}" if several else row.variant for row in rows]
    axes.set_yticks(range(len(rows)), [_cut(name) for name in names])
    calls = {each.rank: each.call for each in view.board.verdict.rows}
    for place, row in enumerate(rows):
        call = calls.get(row.rank)
        text = CALLS[call][0] if call else "baseline" if row.baseline else ""
        axes.annotate(
            text, (1, place), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9.5,
            color=colour(_TONES.get(call or "", "soft")),
            fontweight="bold" if call in ("beats", "loses") else "normal",
        )  # fmt: skip


def _ends(row: Row, solving: bool) -> list[float]:
    score = row.scores["valid"]
    known = [score.mean, *row.values["valid"].values()]
    known += [] if solving else [end for end in (score.low, score.high) if end is not None]
    return known


def _cut(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:19]}…"
