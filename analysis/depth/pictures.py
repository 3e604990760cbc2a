"""Pictures of energies along depth: against steps, and the change of every head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from attenergy.analysis.depth.steps import BlockChange, Change, LayerSteps
from attenergy.analysis.drawing import Picture, colour, drawing, legend
from attenergy.analysis.head_map import (
    Cell,
    draw_cells,
    name_rows,
    short_names,
    side_by_side,
    tone_key,
)

#: From the largest fall to the largest rise: below which change, its tone, and what it is.
_FALLS = (
    (-2.0, "level-5", "falls by over 2"),
    (-1.0, "level-4", "falls by 1 to 2"),
    (-0.5, "level-3", "falls by 0.5 to 1"),
    (-0.1, "level-2", "falls by 0.1 to 0.5"),
    (-0.05, "level-1", "falls by less"),
    (0.05, "line", "stays"),
    (0.5, "open", "rises by less than 0.5"),
    (float("inf"), "bad", "rises by more"),
)
_MOST_NAMES = 14  # layers whose names stand below the steps


def draw(layers: Sequence[LayerSteps], blocks: Sequence[BlockChange]) -> list[Picture]:
    """All pictures of what layers and blocks do."""
    pictures = [_steps(layers), _changes(layers, blocks)]
    return pictures + ([_blocks(blocks)] if blocks else [])


def _steps(layers: Sequence[LayerSteps]) -> Picture:
    """The energy of every head against the steps, layer after layer."""
    with drawing(wide=True) as (figure, axes):
        place, middles = 0.0, []
        for layer in layers:
            lines = _paths(layer)
            xs = [place + index for index in range(len(layer.steps) + 1)]
            for line in lines:
                axes.plot(xs, line, color=colour("level-3"), linewidth=0.8, alpha=0.8)
            mean = [sum(column) / len(column) for column in zip(*lines, strict=True)]
            axes.plot(xs, mean, color=colour("ink"), linewidth=2.2, marker="o", markersize=4)
            middles.append((xs[0] + xs[-1]) / 2)
            place = xs[-1] + 1
            axes.axvline(xs[-1] + 0.5, color=colour("line"), linewidth=0.8)
        names = short_names([layer.layer for layer in layers])
        many = len(layers) > _MOST_NAMES
        axes.set_xticks(middles, [str(i) for i in range(len(layers))] if many else names)
        axes.tick_params(axis="x", length=0)
        axes.axhline(0, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        axes.set_ylabel("energy since the layer's start, in spreads")
        axes.plot([], [], color=colour("level-3"), linewidth=0.8, label="a head")
        axes.plot([], [], color=colour("ink"), linewidth=2.2, marker="o", label="mean over heads")
        legend(axes, columns=2)
    return Picture(
        "energy-steps",
        "Energy along the forward pass",
        "The mean energy of every head after each step of its layer, from the layer's start, in "
        "units of the spread of that energy over states. Layers follow each other from left to "
        "right; their energies are different functions.",
        figure,
        wide=True,
    )


def _paths(layer: LayerSteps) -> list[list[float]]:
    """For every head its energy after each step, from 0, in units of its spread at the start."""
    first = layer.steps[0].spread
    paths = []
    for head, spread in enumerate(first):
        changes = [step.after[head] - step.before[head] for step in layer.steps]
        paths.append([0.0, *accumulate(change / spread if spread else 0.0 for change in changes)])
    return paths


def _changes(layers: Sequence[LayerSteps], changes: Sequence[BlockChange]) -> Picture:
    """The change of every head's energy, by the layer's steps and by the whole block."""
    steps = {layer.layer: [_cell(path[-1]) for path in _paths(layer)] for layer in layers}
    sides = {"": steps}
    if changes:
        blocks = {one.layer: [_cell(c) for c in one.own.in_spreads] for one in changes}
        sides = {
            "by the steps of the layer": steps,
            "by the whole block": {name: blocks.get(name, [None]) for name in steps},
        }
    shown = {cell.tone for rows in sides.values() for row in rows.values() for cell in row if cell}
    with side_by_side(list(sides), rows=len(steps)) as (figure, every):
        for axes, rows in zip(every, sides.values(), strict=True):
            draw_cells(axes, rows)
        tone_key(figure, {text: tone for _, tone, text in _FALLS if tone in shown})
    return Picture(
        "energy-heads",
        "How far the energy of each head falls",
        "Every cell is a head, with the mean change of its energy in units of its spread over "
        "states: left by the steps of its layer, right by the whole block around it.",
        figure,
        wide=len(sides) > 1,
    )


def _blocks(changes: Sequence[BlockChange]) -> Picture:
    """The share of states whose energy a block lowers: its own heads' and the next block's."""
    with side_by_side([""], rows=len(changes)) as (figure, (axes,)):
        axes.axvline(0.5, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        for control, tone, marker, text in (
            (False, "series-1", "o", "its own heads"),
            (True, "series-2", "D", "the next block's heads (control)"),
        ):
            places = [_mean_fell(one.control if control else one.own) for one in changes]
            known = [(x, y) for y, x in enumerate(places) if x is not None]
            if known:
                xs, ys = zip(*known, strict=True)
                axes.scatter(xs, ys, color=colour(tone), marker=marker, s=34, label=text, zorder=3)
        for y in range(len(changes)):
            axes.axhline(y, color=colour("line"), linewidth=0.7, zorder=0)
        name_rows(axes, [one.layer for one in changes])
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("share of states whose energy the block lowers")
        legend(axes, columns=1)
    return Picture(
        "energy-blocks",
        "Does a block descend the energies of its own heads?",
        "The share of states whose energy is lower at what the block returned than at what it was "
        "given, for its own heads and for those of the next block.",
        figure,
    )


def _mean_fell(change: Change | None) -> float | None:
    return None if change is None else sum(change.fell) / len(change.fell)


def _cell(change: float | None) -> Cell | None:
    if change is None:
        return None
    tone = next(tone for most, tone, _ in _FALLS if change <= most)
    text = f"{change:+.1f}" if abs(change) < 9.95 else f"{change:+.0f}"
    return Cell(tone, "0" if abs(change) < 0.05 else text)
