"""Parallel coordinates: one line per trial through everything that was varied, to its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attenergy.analysis.drawing import LEVELS, Picture, colour, drawing
from attenergy.search.report.html.study_view import View, thinned
from attenergy.search.results.ranking import short_settings, varying_in
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST = 5  # trials
_MOST = 9  # axes beside the variant and the score
_WORDS = 16  # letters of a name on an axis


@dataclass(frozen=True)
class Scale:
    """One axis: where a value lies between 0 and 1, and what is written beside it."""

    name: str
    marks: tuple[tuple[float, str], ...]
    low: float
    high: float
    log: bool
    words: tuple[str, ...]  # of an axis of names; else empty

    def place(self, value: Any) -> float | None:
        """Height of a value on the axis; None if a trial has none."""
        if value is None:
            return None
        if self.words:
            return (self.words.index(str(value)) + 0.5) / len(self.words)
        if self.high == self.low:
            return 0.5
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low)


def draw(view: View) -> list[Picture]:
    """One wide picture; empty for fewer than five trials with a score or nothing varied."""
    trials = sorted(thinned(view.trials), key=lambda r: r.metrics["valid"][view.metric])
    if len(trials) < _FEWEST:
        return []
    rows = _rows(trials, view.metric)
    scales = scales_of(rows)
    if len(scales) < 3:
        return []
    with drawing(wide=True) as (figure, axes):
        for index, row in enumerate(rows):
            # Trials are ordered by score, so a fifth of them has each tone.
            tone = LEVELS[index * len(LEVELS) // len(rows)]
            _draw_line(axes, [scale.place(row.get(scale.name)) for scale in scales], tone)
        for position, scale in enumerate(scales):
            _draw_scale(axes, position, scale)
        axes.set(xlim=(-0.35, len(scales) - 0.65), ylim=(-0.04, 1.08))
        axes.axis("off")
    about = (
        "Each line is a trial; the strongest tone is the best fifth of them. A line leaves out an "
        "axis that its variant does not have."
    )
    if len(trials) < len(view.trials):
        about += f" Of {len(view.trials)} trials {len(trials)} are drawn, evenly taken."
    return [
        Picture("coordinates", "All trials at a glance", about, figure, wide=True, screen="desk")
    ]


def scales_of(rows: Sequence[dict[str, Any]]) -> list[Scale]:
    """The axes: first the variant, last the score, between them what most trials have."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in row:
            counts[name] = counts.get(name, 0) + 1
    first, last = next(iter(rows[0])), list(rows[0])[-1]
    between = [
        name
        for name in sorted(counts, key=lambda n: -counts[n])
        if name not in {first, last} and len({repr(r[name]) for r in rows if name in r}) > 1
    ]
    names = [first, *between[:_MOST], last]
    known = {name: [r[name] for r in rows if r.get(name) is not None] for name in names}
    return [_scale(name, known[name], log=name != last) for name in names]


def _rows(trials: Sequence[RunRecord], metric: str) -> list[dict[str, Any]]:
    varying = varying_in(trials)
    return [
        {
            "variant": record.config.variant,
            **short_settings(record.config, varying),
            f"{metric} (valid)": record.metrics["valid"][metric],
        }
        for record in trials
    ]


def _scale(name: str, values: Sequence[Any], *, log: bool) -> Scale:
    if any(isinstance(value, (str, bool)) for value in values):
        words = tuple(sorted({str(value) for value in values}))
        places = ((i + 0.5) / len(words) for i in range(len(words)))
        marks = tuple(zip(places, map(_cut, words), strict=True))
        return Scale(name, marks, 0.0, 1.0, False, words)
    low, high = min(values), max(values)
    log = log and low > 0 and high / low > 10
    scale = Scale(name, (), low, high, log, ())
    distinct = sorted(set(values))
    few = len(distinct) <= 5 and all(isinstance(value, int) for value in distinct)
    shown = distinct if few else _round_numbers(low, high, log)
    marks = tuple((scale.place(value) or 0.0, f"{value:.3g}") for value in shown)
    return Scale(name, marks, low, high, log, ())


def _round_numbers(low: float, high: float, log: bool) -> list[float]:
    """Round numbers between two values, both ends left out where they are not round."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    subs = (1.0,) if high > 1000 * low > 0 else (1.0, 2.0, 5.0)
    locator = LogLocator(subs=subs, numticks=12) if log else MaxNLocator(5)
    return [float(v) for v in locator.tick_values(low, high) if low <= v <= high]


def _draw_line(axes: Axes, heights: Sequence[float | None], tone: str) -> None:
    points = [(x, y) for x, y in enumerate(heights) if y is not None]
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, color=colour(tone), linewidth=1.2, alpha=0.85, zorder=1)


def _draw_scale(axes: Axes, position: int, scale: Scale) -> None:
    axes.plot([position, position], [0, 1], color=colour("soft"), linewidth=1, zorder=2)
    axes.text(
        position,
        1.05,
        _cut(scale.name),
        ha="center",
        va="bottom",
        color=colour("ink"),
        zorder=3,
        fontsize=9,
    )
    for height, text in scale.marks:
        axes.annotate(
            text,
            (position, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=colour("ink"),
            zorder=3,
        )


def _cut(text: str) -> str:
    return text if len(text) <= _WORDS else f"{text[: _WORDS - 1]}…"
