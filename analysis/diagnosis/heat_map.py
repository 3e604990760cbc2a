"""Small heat maps side by side: one for each measure, layers down and heads across."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attenergy.analysis.diagnosis.facts import HeadFacts, Measure
from attenergy.analysis.drawing import LEVELS, Picture, colour, drawing

#: Maps in a row, and layers above which not every one is named.
ACROSS, MOST_NAMES = 5, 14


def draw(heads: Sequence[HeadFacts], measures: Sequence[Measure]) -> Picture:
    """One picture of all measures.

    Raises:
        NoMatplotlib: without matplotlib.
    """
    blocks = list(dict.fromkeys(head.block for head in heads))
    width = 1 + max(head.head for head in heads)
    down = -(-len(measures) // ACROSS)
    size = (10.4, 0.7 + down * (0.9 + 0.16 * min(max(len(blocks), 3), 24)))
    with drawing(size=size) as (figure, axes):
        from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

        axes.remove()
        tones = [colour(tone) for tone in LEVELS]
        blues = LinearSegmentedColormap.from_list("levels", tones)
        shades = blues.with_extremes(bad=colour("card"))
        grid = figure.subplots(down, ACROSS, squeeze=False)
        for place, measure in zip(grid.flat, measures, strict=False):
            values = [[math.nan] * width for _ in blocks]
            for head in heads:
                values[blocks.index(head.block)][head.head] = float(getattr(head, measure.key))
            low, high = _limits(values, measure)
            scale = (LogNorm if measure.log else Normalize)(low, high, clip=True)
            image = place.imshow(values, cmap=shades, norm=scale, aspect="auto")
            bar = figure.colorbar(image, ax=place, pad=0.03)
            bar.ax.tick_params(labelsize=7, colors=colour("soft"), length=2)
            bar.ax.minorticks_off()
            bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
            bar.outline.set_visible(False)
            place.set_title(measure.title, fontsize=9, color=colour("ink"))
            place.grid(visible=False)
            place.tick_params(labelsize=7, colors=colour("soft"), length=0)
            place.set_xticks(range(0, width, max(1, width // 6)))
            named = range(0, len(blocks), max(1, -(-len(blocks) // MOST_NAMES)))
            place.set_yticks(named, [str(i) for i in named])
            for spine in place.spines.values():
                spine.set_visible(False)
        for place in list(grid.flat)[len(measures) :]:
            place.set_axis_off()
        figure.supxlabel("head", fontsize=9, color=colour("soft"))
        figure.supylabel("layer", fontsize=9, color=colour("soft"))
    about = "Every measure of every head: layers down, heads across; white where there is none."
    return Picture("laws", "Laws on the trained model", about, figure, wide=True)


def _limits(values: Sequence[Sequence[float]], measure: Measure) -> tuple[float, float]:
    """The measure's own ends; wider where a value on a linear scale lies outside."""
    there = [v for row in values for v in row if math.isfinite(v)]
    low, high = min([measure.low, *there]), max([measure.high, *there])
    return (measure.low, measure.high) if measure.log else (low, high)
