"""A map of layers by heads: one cell for each head of a model, side by side for several models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from attenergy.analysis.drawing import SIZE, WIDE, colour, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_TEXTS = 16  # heads in a row with texts in their cells
_LONGEST = 26  # letters of a layer's name
#: Tones that text stands on in the tone of the page.
_DARK = frozenset({"level-4", "level-5", "open", "bad"})


class Cell(NamedTuple):
    """One head: the tone of its box, and a short text in it."""

    tone: str
    text: str = ""


@contextmanager
def side_by_side(names: Sequence[str], *, rows: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with one set of axes for each name, side by side, for the same rows.

    Args:
        names: titles; the figure is half a page wide for one, a page for more.
        rows: how many rows they have.
    """
    across = (SIZE if len(names) == 1 else WIDE)[0]
    with panels(1, len(names), (across, 1.5 + 0.32 * rows)) as (figure, (every,)):
        for index, (each, name) in enumerate(zip(every, names, strict=True)):
            each.set_title(name)
            each.grid(visible=False)
            each.tick_params(length=0, labelleft=index == 0)
            for spine in each.spines.values():
                spine.set_visible(False)
        yield figure, every


def draw_cells(axes: Axes, rows: Mapping[str, Sequence[Cell | None]]) -> None:
    """One row of cells for each layer, the first on top; None leaves a place empty."""
    from matplotlib.patches import Rectangle

    most = max(map(len, rows.values()))
    for y, cells in enumerate(rows.values()):
        for x, cell in enumerate(cells):
            if cell is None:
                continue
            box = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour(cell.tone))
            box.set(edgecolor=colour("card"), linewidth=1.2)
            axes.add_patch(box)
            if cell.text and most <= _MOST_TEXTS:
                ink = colour("card" if cell.tone in _DARK else "ink")
                axes.text(x, y, cell.text, ha="center", va="center", fontsize=8, color=ink)
    name_rows(axes, list(rows))
    axes.set_xlim(-0.5, most - 0.5)
    axes.set_xticks(range(0, most, 1 if most <= _MOST_TEXTS else 4))
    axes.set_xlabel("head")


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top."""
    axes.set_yticks(range(len(names)), short_names(names))
    axes.set_ylim(len(names) - 0.5, -0.5)


def short_names(names: Sequence[str]) -> list[str]:
    """Paths of layers without what all share, but for one part: `layer.3` of a long path."""
    paths = [name.split(".") for name in names]
    least = min(map(len, paths))
    if len(set(names)) > 1:
        end = next(i for i in range(least + 1) if i == least or not _same(paths, -1 - i))
        paths = [path[: len(path) - end] for path in paths]
        least = min(map(len, paths))
        start = next(i for i in range(least + 1) if i == least or not _same(paths, i))
        paths = [path[max(start - 1, 0) :] for path in paths]
    shown = [".".join(path) for path in paths]
    return [n if len(n) <= _LONGEST else f"\u2026{n[1 - _LONGEST :]}" for n in shown]


def _same(paths: Sequence[Sequence[str]], place: int) -> bool:
    return len({path[place] for path in paths}) == 1


def tone_key(figure: Figure, tones: Mapping[str, str]) -> None:
    """What each tone means, text -> tone, below the axes."""
    from matplotlib.patches import Patch

    columns = 5 if figure.get_figwidth() > SIZE[0] else 3
    patches = [Patch(facecolor=colour(tone), label=text) for text, tone in tones.items()]
    style = {"frameon": False, "labelcolor": colour("ink"), "fontsize": 9}
    figure.legend(
        handles=patches, loc="outside lower center", ncols=min(columns, len(patches)),
        handlelength=1.2, columnspacing=1.4, **style,
    )  # fmt: skip
