"""Pictures of fixed points: the class of every head, states by layer, and basins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attenergy.analysis.attractors.basins import RADII
from attenergy.analysis.attractors.classes import CLASSES
from attenergy.analysis.attractors.heads import (
    DIVERGES,
    KINDS,
    UNCLASSED,
    UNSETTLED,
    HeadFixedPoints,
    by_layer,
    class_shares,
)
from attenergy.analysis.drawing import LEVELS, Picture, colour, drawing, legend, looks
from attenergy.analysis.head_map import Cell, draw_cells, name_rows, side_by_side, tone_key

#: Kind of a head -> tone: the fewer patterns, the darker.
TONE_OF = {
    **{one.name: tone for one, tone in zip(CLASSES, LEVELS, strict=True)},
    UNCLASSED: "line",
    UNSETTLED: "open",
    DIVERGES: "bad",
}
_MOST_LINES = 16


def draw(heads: Sequence[HeadFixedPoints], before: Sequence[HeadFixedPoints] = ()) -> list[Picture]:
    """All pictures of the heads of a model, beside those before training if there are any."""
    sides = {"before training": before, "after training": heads} if before else {"": heads}
    pictures = [_heads(sides), _shares(sides)]
    if any(head.returned for head in heads):
        pictures.append(_basins(heads))
    return pictures


def _heads(sides: Mapping[str, Sequence[HeadFixedPoints]]) -> Picture:
    """Every head as a cell in the tone of its class, with its median k."""
    with side_by_side(list(sides), rows=_rows(sides)) as (figure, every):
        for axes, heads in zip(every, sides.values(), strict=True):
            rows = {name: [_cell(h) for h in row] for (name,), row in by_layer(heads).items()}
            draw_cells(axes, rows)
        present = {head.kind for heads in sides.values() for head in heads}
        tone_key(figure, {kind: TONE_OF[kind] for kind in KINDS if kind in present})
    return Picture(
        "fixed-points-heads",
        "What each head rests on",
        "Every cell is a head, in the tone of its class: the darker, the fewer patterns. The "
        "number is the median k, patterns that hold 90 % of a state's weight at rest.",
        figure,
        wide=len(sides) > 1,
    )


def _cell(head: HeadFixedPoints) -> Cell:
    k = head.k if head.rests else None
    return Cell(TONE_OF[head.kind], "" if k is None else f"{k:.0f}")


def _rows(sides: Mapping[str, Sequence[HeadFixedPoints]]) -> int:
    return max(len(by_layer(heads)) for heads in sides.values())


def _shares(sides: Mapping[str, Sequence[HeadFixedPoints]]) -> Picture:
    """The share of each layer's states in every class, as bars."""
    shown: set[str] = set()
    with side_by_side(list(sides), rows=_rows(sides)) as (figure, every):
        for axes, heads in zip(every, sides.values(), strict=True):
            layers = by_layer(heads)
            for y, row in enumerate(layers.values()):
                left = 0.0
                for kind, share in class_shares(row).items():
                    bar = axes.barh(y, share, left=left, height=0.8, color=colour(TONE_OF[kind]))
                    bar[0].set(edgecolor=colour("card"), linewidth=0.6)
                    left += share
                    shown |= {kind} if share else set()
            name_rows(axes, [name for (name,) in layers])
            axes.set_xlim(0, 1)
            axes.set_xlabel("share of states")
        tone_key(figure, {kind: TONE_OF[kind] for kind in KINDS if kind in shown})
    return Picture(
        "fixed-points-shares",
        "What states rest on, by layer",
        "The share of each layer's states in every class; every head counts alike.",
        figure,
        wide=len(sides) > 1,
    )


def _basins(every: Sequence[HeadFixedPoints]) -> Picture:
    """The share of starts that return, against their distance, for each layer."""
    layers = by_layer([head for head in every if head.returned])
    given = looks([name for (name,) in layers][:_MOST_LINES])
    with drawing(height=3.2 + 0.12 * len(given)) as (figure, axes):
        axes.axhline(0.5, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        for (name, look), heads in zip(given.items(), layers.values(), strict=False):
            mean = [sum(h.returned[i] for h in heads) / len(heads) for i in range(len(RADII))]
            (line,) = axes.plot(RADII, mean, color=look.colour, marker=look.marker, label=name)
            line.set(linestyle=look.dash, linewidth=1.5, markersize=4)
        axes.set_xscale("log", base=2)
        axes.set_xticks(RADII, [f"{radius:g}" for radius in RADII])
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("distance of the start, in spreads of the patterns")
        axes.set_ylabel("share that returns")
        legend(axes, columns=2)
    return Picture(
        "fixed-points-basins",
        "How wide the basins are",
        "The share of starts at a distance from a fixed point that come back to it, mean over a "
        "layer's heads.",
        figure,
    )
