"""How every picture looks: one table of tones for light and dark, and figures as inline SVG.

A picture is drawn in the light tones. In its SVG each tone becomes a CSS variable, so the page
that holds it can be light or dark, and a picture follows without being drawn again.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from attenergy.registry import MissingPackage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Name of a tone -> (light, dark). Series differ in lightness too, and in their markers and dashes,
#: so that they are told apart without seeing colour.
TONES: dict[str, tuple[str, str]] = {
    "ink": ("#1d2733", "#e7ebf0"),
    "soft": ("#5a6877", "#a4b0bd"),
    "card": ("#ffffff", "#18212b"),
    "line": ("#d9dfe6", "#36414d"),
    "chance": ("#7b8794", "#8b98a6"),
    "good": ("#0b7a4b", "#4fd39b"),
    "bad": ("#b3261e", "#ff8f86"),
    "open": ("#8a5d00", "#e9bd55"),
    "series-1": ("#0068b5", "#5aaeee"),
    "series-2": ("#d45500", "#ff9357"),
    "series-3": ("#00875f", "#3dcca0"),
    "series-4": ("#b5478a", "#ea93c8"),
    "series-5": ("#a87400", "#e3b53f"),
    "series-6": ("#3aa5dd", "#9bd6f7"),
    "series-7": ("#5a48b0", "#b0a3f7"),
    "series-8": ("#8c6239", "#cfae86"),
    "series-9": ("#c2405a", "#ff9aac"),
    "series-10": ("#64750a", "#bccb4e"),
    "level-1": ("#c4d3e4", "#2d4057"),
    "level-2": ("#93b5dc", "#3a618f"),
    "level-3": ("#5890d2", "#5490d4"),
    "level-4": ("#1f64b4", "#86bcf2"),
    "level-5": ("#0a3870", "#cde6ff"),
}
LEVELS = tuple(name for name in TONES if name.startswith("level"))
_SERIES = tuple(name for name in TONES if name.startswith("series"))
_MARKERS = "osD^vPX"
#: Variants that are drawn most, each with a tone of its own; all others share them by their names.
_USUAL = (
    *("lse", "linear", "hyla", "graph_memory", "rbm"),
    *("polynomial", "entmax", "sparsemax", "zero_sink", "graph_hopfield"),
)
_PLAIN = "softmax"  # drawn in ink
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))
_KINDS = len(_MARKERS) * len(_DASHES)  # which have no common divisor

#: Inches. A picture is as wide as a phone's screen; two stand side by side on a desk.
SIZE, WIDE = (5.2, 3.5), (10.4, 3.9)
#: Width, and height of a row, of a picture that has one form for a desk and one for a phone.
FOREST, PHONE = (9.2, 0.36), (4.6, 0.36)
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "attenergy",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


class NoMatplotlib(MissingPackage, ValueError):
    """Pictures were asked for, and the package that draws them is not installed."""

    def __init__(self) -> None:
        super().__init__("pictures need matplotlib: `pip install attenergy[report]`")


@dataclass(frozen=True)
class Picture:
    """One drawing: a name for its file, what it shows, and the matplotlib figure.

    `tips` are the texts that a page shows over the points: under the name (`gid`) of an artist,
    one for each of its points.
    """

    name: str
    title: str
    about: str
    figure: Figure
    wide: bool = False
    tips: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: the screens that show it: "desk", "phone", or both
    screen: str = ""

    def svg(self, prefix: str = "") -> str:
        """The figure as an SVG element for a page; colours are the page's variables.

        Args:
            prefix: makes the names inside unique in a page of several studies.
        """
        name = f"{prefix}{self.name}"
        svg = _with_tips(_saved(self.figure), self.tips)
        return inline(svg, name, f"{self.title}. {self.about}")

    def save(self, folder: Path) -> Path:
        """Write the figure as PNG into a folder."""
        path = folder / f"{self.name}.png"
        with path.open("wb") as file:
            self.write(file, "png")
        return path

    def write(self, file: BinaryIO, form: str) -> None:
        """Write the figure on white into a file, as `png` or `svg`, which has the tips."""
        if form == "svg":
            file.write(_with_tips(_saved(self.figure, "white"), self.tips).encode())
            return
        with _style():
            self.figure.savefig(file, format=form, dpi=200, facecolor="white")


@dataclass(frozen=True)
class Look:
    """How one series is drawn everywhere in a page."""

    tone: str
    marker: str
    dash: object

    @property
    def colour(self) -> str:
        """The light tone."""
        return colour(self.tone)


def colour(tone: str) -> str:
    """The light colour of a tone."""
    return TONES[tone][0]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name: the tone goes by the name alone, so it is the same on all pages.

    Softmax is drawn in ink. Names that share a tone differ in marker and dashes.
    """
    given: dict[str, Look] = {}
    taken: dict[tuple[str, int], str] = {}
    for name in dict.fromkeys(names):
        number = _USUAL.index(name) if name in _USUAL else zlib.crc32(name.encode(errors="replace"))
        tone = "ink" if name == _PLAIN else _SERIES[number % len(_SERIES)]
        turn = 0 if name == _PLAIN else number
        while (tone, turn % _KINDS) in taken and turn < number + _KINDS:
            turn += 1
        taken[tone, turn % _KINDS] = name
        given[name] = Look(tone, _MARKERS[turn % len(_MARKERS)], _DASHES[turn % len(_DASHES)])
    return given


@contextmanager
def drawing(
    *, wide: bool = False, height: float | None = None, size: tuple[float, float] | None = None
) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one empty, styled set of axes.

    Args:
        wide: as wide as a page instead of half of it.
        height: in inches; by default that of the size.
        size: both in inches, instead.

    Raises:
        NoMatplotlib: if matplotlib is not installed.
    """
    across, up = size or (WIDE if wide else SIZE)
    with panels(1, 1, (across, height or up)) as (figure, grid):
        yield figure, grid[0][0]


@contextmanager
def panels(
    rows: int, columns: int, size: tuple[float, float] = WIDE
) -> Iterator[tuple[Figure, list[list[Axes]]]]:
    """A figure with a grid of empty, styled axes, `grid[row][column]`.

    Args:
        rows: of axes.
        columns: of axes.
        size: of the whole, in inches.

    Raises:
        NoMatplotlib: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlib from error
    with _style():
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).tolist()
        for axes in (each for row in grid for each in row):
            _dress(axes)
        yield figure, grid


def legend(axes: Axes, columns: int = 3) -> None:
    """A legend without a frame, below the axes."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.figure.legend(
        loc="outside lower center",
        ncols=min(columns, max(count, 1)),
        frameon=False,
        labelcolor=colour("ink"),
        fontsize=9,
        handlelength=2.2,
        columnspacing=1.4,
    )


def reference_lines(axes: Axes, *, chance: float | None, ceiling: float | None) -> None:
    """Horizontal lines at chance and at the ceiling, each with its name."""
    for name, value, above in (("chance", chance, True), ("ceiling", ceiling, False)):
        if value is None:
            continue
        axes.axhline(value, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        text = axes.annotate(
            name,
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2 if above else -2),
            textcoords="offset points",
            ha="right",
            va="bottom" if above else "top",
            fontsize=8.5,
            color=colour("soft"),
            annotation_clip=True,
        )
        text.set_in_layout(False)


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def _dress(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_color(colour("line"))
    axes.tick_params(colors=colour("line"), labelcolor=colour("soft"), length=3)
    axes.xaxis.label.set_color(colour("soft"))
    axes.yaxis.label.set_color(colour("soft"))
    axes.title.set_color(colour("ink"))
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)


def _saved(figure: Figure, background: str | None = None) -> str:
    file = io.StringIO()
    with _style():
        about: dict[str, Any] = {"metadata": {"Date": None}, "dpi": 200}
        about |= {"facecolor": background} if background else {"transparent": True}
        figure.savefig(file, format="svg", **about)
    return file.getvalue()


def _with_tips(svg: str, tips: Mapping[str, Sequence[str]]) -> str:
    """Give each point of the named artists a title, in the order in which they were drawn."""
    for name, texts in tips.items():
        place = svg.index(f'<g id="{name}">')
        for text in texts:
            start = svg.index("<use ", place)
            end = svg.index("/>", start)
            titled = f"{svg[start:end]}><title>{escape(text)}</title></use>"
            svg = svg[:start] + titled + svg[end + 2 :]
            place = start + len(titled)
    return svg


def inline(svg: str, name: str, label: str) -> str:
    """An SVG file as an element of a page, whose colours are the page's variables.

    Args:
        svg: the text of the file.
        name: makes the names inside unique.
        label: what it shows, for those who do not see it.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Names are unique inside one file only, and a page holds several.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for tone, (light, _) in TONES.items():
        svg = svg.replace(light, f"var(--{tone})")
    return svg.strip()
