"""A symbolic Raven matrix as a picture: the puzzle on the left, what is behind it on the right."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attenergy.registry import ArgumentError, MissingPackage
from attenergy.tasks.raven.instance import RavenInstance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All lengths are in tiles, and a tile is so many inches.
_INCH, _GAP, _SPACE, _HEAD, _MARGIN = 0.42, 0.24, 0.9, 0.85, 0.35
_INK, _LINE, _PAPER, _MARK = "#22303c", "#b3bdc7", "#f3f5f7", "#d6336c"
_CENTRE: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(instance: RavenInstance, path: str | Path) -> None:
    """Draw the matrix to `path`; the ending (.png, .svg, .pdf) decides the format.

    Left: the panels as a model sees them, each a block of K numbers, the last one hidden. Right:
    every feature alone, its entries gathered from the panels, with its rule; then the last panel.
    Numbers that follow each other modulo F have colours that follow each other on the colour wheel.

    Raises:
        ImportError: without matplotlib, with the line that installs it.
        ValueError: if `path` has an ending that matplotlib cannot write.

    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = "a picture needs matplotlib: `pip install attenergy[report]`"
        raise MissingPackage(message) from error

    layout = _Layout.of(instance)
    size = ((layout.width + 2 * _MARGIN) * _INCH, (layout.height + 2 * _MARGIN) * _INCH)
    figure = Figure(figsize=size)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-_MARGIN, layout.width + _MARGIN), ylim=(layout.height + _MARGIN, -_MARGIN))
    axis.axis("off")
    _puzzle(axis, instance, layout)
    axis.plot([layout.right - _SPACE] * 2, [0, layout.height], color=_LINE, linewidth=0.8)
    for feature in range(layout.features):
        _feature(axis, *layout.block(feature), instance, feature)
    _answer(axis, *layout.block(layout.features), instance, layout)
    try:
        figure.savefig(path, dpi=160)
    except ValueError as error:  # of matplotlib: an ending that it does not know
        raise ArgumentError(str(error)) from error


@dataclass(frozen=True)
class _Layout:
    """Where things are: panels of across x down tiles, then blocks in columns from `right` on."""

    grid: int
    features: int
    across: int
    down: int
    columns: int
    right: float

    @classmethod
    def of(cls, instance: RavenInstance) -> _Layout:
        grid, features = instance.shown.shape[0], instance.shown.shape[-1]
        across = math.ceil(math.sqrt(features))
        down = math.ceil(features / across)
        blocks = features + 1  # one for each feature, one for the answer
        columns = blocks if blocks < 4 else math.ceil(blocks / 2)
        return cls(grid, features, across, down, columns, grid * (across + _GAP) + 2 * _SPACE)

    @property
    def step(self) -> tuple[float, float]:
        return max(self.grid, self.across) + _SPACE, max(self.grid, self.down) + _HEAD + _SPACE / 2

    @property
    def width(self) -> float:
        return self.right + self.columns * self.step[0] - _SPACE

    @property
    def height(self) -> float:
        rows = math.ceil((self.features + 1) / self.columns)
        return max(self.grid * (self.down + _GAP) + _HEAD, rows * self.step[1]) - _GAP

    def block(self, number: int) -> tuple[float, float]:
        row, column = divmod(number, self.columns)
        return self.right + column * self.step[0], row * self.step[1]


def _puzzle(axis: Axes, instance: RavenInstance, layout: _Layout) -> None:
    across, down, last = layout.across, layout.down, layout.grid - 1
    _title(axis, 0, 0, layout.grid * (across + _GAP) - _GAP, "What comes last?")
    for r, c in product(range(layout.grid), repeat=2):
        x, y = c * (across + _GAP), _HEAD + r * (down + _GAP)
        hidden = r == c == last
        _box(axis, x, y, layout, marked=hidden)
        if hidden:
            middle = (x + across / 2, y + down / 2 + 0.07)
            axis.text(*middle, "?", color=_MARK, fontsize=26, fontweight="bold", **_CENTRE)
        else:
            _panel(axis, x, y, instance.shown[r, c], instance, across)


def _feature(axis: Axes, x: float, y: float, instance: RavenInstance, feature: int) -> None:
    numbers = instance.grid[..., feature].tolist()
    last = len(numbers) - 1
    _title(axis, x, y, last + 1, _words(instance.rules[feature]))
    for r, c in product(range(last + 1), repeat=2):
        _tile(axis, x + c, y + _HEAD + r, numbers[r][c], instance, marked=r == c == last)


def _answer(axis: Axes, x: float, y: float, instance: RavenInstance, layout: _Layout) -> None:
    wide, high = max(layout.grid, layout.across), max(layout.grid, layout.down)
    _title(axis, x, y, wide, "answer", color=_MARK)
    left, top = x + (wide - layout.across) / 2, y + _HEAD + (high - layout.down) / 2
    _box(axis, left, top, layout, marked=True)
    _panel(axis, left, top, instance.shown[-1, -1], instance, layout.across)


def _panel(
    axis: Axes, x: float, y: float, numbers: Tensor, instance: RavenInstance, across: int
) -> None:
    for f, number in enumerate(numbers.tolist()):
        _tile(axis, x + f % across, y + f // across, number, instance)


def _title(axis: Axes, x: float, y: float, width: float, text: str, *, color: str = _INK) -> None:
    axis.text(x + width / 2, y + _HEAD / 2 - 0.05, text, color=color, fontsize=9.5, **_CENTRE)


def _tile(
    axis: Axes, x: float, y: float, number: int, instance: RavenInstance, *, marked: bool = False
) -> None:
    from matplotlib.patches import FancyBboxPatch

    values = instance.tokens.shape[-1]
    tile = FancyBboxPatch(
        (x + 0.08, y + 0.08), 0.84, 0.84, boxstyle="round,pad=0,rounding_size=0.18",
        facecolor=colorsys.hsv_to_rgb(number / values, 0.38, 0.97),
        edgecolor=_MARK if marked else "white", linewidth=2 if marked else 0.6,
    )  # fmt: skip
    axis.add_patch(tile)
    middle = (x + 0.5, y + 0.52)
    axis.text(*middle, str(number), color=_INK, fontsize=11, fontweight="bold", **_CENTRE)


def _box(axis: Axes, x: float, y: float, layout: _Layout, *, marked: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (x, y), layout.across, layout.down, boxstyle="round,pad=0.03,rounding_size=0.2",
        facecolor="white" if marked else _PAPER, edgecolor=_MARK if marked else _LINE,
        linewidth=1.5 if marked else 0.8, linestyle="--" if marked else "-",
    )  # fmt: skip
    axis.add_patch(box)


def _words(rule: str) -> str:
    minus = " \N{MINUS SIGN}"
    return rule.replace("_plus_", " +").replace("_minus_", minus).replace("_", " ")
