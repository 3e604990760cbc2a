"""Pictures of the paths and heads of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attenergy.analysis.head_map import short_names
from attenergy.analysis.paths.measures import MOST_SHOWN, Measures

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: Order -> tone, marker and dashes.
_ORDERS: dict[str, tuple[str, str, Any]] = {
    "alignment": ("series-1", "o", "-"),
    "magnitude": ("series-2", "s", (0, (5, 1.5))),
    "random": ("chance", "D", (0, (1.5, 1))),
}


def pictures_of(measures: Measures) -> list[Picture]:
    """Alignment per path or head, overlaps of paths, and the score against removed heads."""
    pictures = [_bars(measures)]
    if measures.overlaps is not None and len(measures.paths) > 1:
        pictures.append(_overlaps(measures))
    if measures.curves:
        pictures.append(_curves(measures))
    return pictures


def _bars(measures: Measures) -> Picture:
    from attenergy.analysis.drawing import Picture, colour, drawing, legend

    alignment, patterns, what = measures.path_relevance, measures.alignment, "path"
    if alignment is not None and patterns is not None:
        shown = measures.shown_paths()
        names = [measures.path_name(measures.paths[i]) for i in shown]
    else:
        alignment, patterns, what = measures.head_relevance, measures.head_alignment, "head"
        order = alignment.value.argsort(descending=True, stable=True)
        shown = [int(i) for i in order[:MOST_SHOWN]]
        short = dict(zip(measures.layers, short_names(measures.layers), strict=True))
        heads = [measures.every_head[i] for i in shown]
        names = [f"{short[name]}, head {head}" for name, head in heads]
    of = "what it writes" if alignment is not patterns else "its patterns"
    with drawing(wide=True, height=1.1 + 0.24 * len(shown)) as (figure, axes):
        places = list(range(len(shown)))
        value, error, high, null = (
            [float(x[i]) for i in shown]
            for x in (alignment.value, alignment.error, alignment.high, alignment.null)
        )
        axes.barh(
            places, value, xerr=error, height=0.6, color=colour("series-1"),
            error_kw={"ecolor": colour("ink"), "elinewidth": 1, "capsize": 2},
            label=f"{of}, +- standard error",
        )  # fmt: skip
        if alignment is not patterns:
            axes.plot(
                [float(patterns.value[i]) for i in shown], places, linestyle="", marker="D",
                markersize=4.5, color=colour("series-2"), label="its patterns on the input alone",
            )  # fmt: skip
        axes.barh(
            places, [h - n for h, n in zip(high, null, strict=True)], left=null, height=0.9,
            color=colour("chance"), alpha=0.45, label=f"{of}, shuffled targets: mean to 95 %",
        )  # fmt: skip
        axes.set_yticks(places, names)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, max(*value, *high, 0.05) * 1.12)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=colour("line"), linewidth=0.7)
        axes.set_xlabel("alignment with the targets")
        axes.set_ylabel(f"{what}, first layer > last" if what == "path" else "layer and head")
        legend(axes, 2)
    total = len(measures.paths) if what == "path" else len(measures.every_head)
    return Picture(
        "paths-alignment",
        f"How well each {what} fits the task",
        f"Centred alignment with the targets of the kernel of each {what} ({of}), the best "
        f"{len(shown)} of {total}; grey: the same with shuffled targets.",
        figure,
        wide=True,
    )


def _overlaps(measures: Measures) -> Picture:
    from matplotlib.colors import LinearSegmentedColormap

    from attenergy.analysis.drawing import LEVELS, Picture, colour, drawing

    assert measures.overlaps is not None
    shown = measures.shown_paths()
    matrix = measures.overlaps[shown][:, shown].tolist()
    names = [measures.path_name(measures.paths[i]) for i in shown]
    side = 1.9 + 0.2 * len(shown)
    shades = LinearSegmentedColormap.from_list(
        "levels", [colour("card"), *(colour(level) for level in LEVELS)]
    )
    with drawing(size=(side + 1.4, side)) as (figure, axes):
        image = axes.imshow(matrix, vmin=0, vmax=1, cmap=shades)
        axes.grid(visible=False)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.tick_params(colors=colour("line"), labelcolor=colour("soft"), length=3)
        bar.outline.set_edgecolor(colour("line"))
        bar.set_label("alignment of two kernels", color=colour("soft"))
    return Picture(
        "paths-overlap",
        "Which paths carry the same",
        "Centred alignment between the kernels of two paths (their patterns on the input), of the "
        f"{len(shown)} that fit the task best; 1: the same up to scale.",
        figure,
    )


def _curves(measures: Measures) -> Picture:
    from matplotlib.ticker import MaxNLocator

    from attenergy.analysis.drawing import Picture, colour, drawing, legend

    with drawing() as (figure, axes):
        for curve in measures.curves:
            tone, marker, dashes = _ORDERS[curve.order]
            axes.plot(
                curve.removed, curve.scores, color=colour(tone), marker=marker, linestyle=dashes,
                markersize=5, label=curve.order,
            )  # fmt: skip
            _band(axes, curve.removed, curve.scores, curve.spread, colour(tone))
        weak = len(measures.irrelevant)
        if 0 < weak < len(measures.every_head):
            axes.axvline(weak, color=colour("soft"), linewidth=1, linestyle=(0, (2, 2)))
            axes.annotate(
                "heads within the null", (weak, 0), xycoords=("data", "axes fraction"),
                xytext=(-4, 3), textcoords="offset points", ha="right", va="bottom", rotation=90,
                fontsize=8.5, color=colour("soft"),
            )  # fmt: skip
        axes.set_xlabel("removed heads")
        axes.set_ylabel(measures.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(axes, 3)
    return Picture(
        "paths-pruning",
        "What removing heads costs",
        f"The {measures.metric} against the number of removed heads: the least aligned first, the "
        "smallest output map first, and at random (mean and standard deviation of "
        f"{measures.draws} orders).",
        figure,
    )


def _band(
    axes: Any, removed: Sequence[int], scores: Sequence[float], spread: Sequence[float], tone: str
) -> None:
    if any(spread):
        low, high = zip(*((s - d, s + d) for s, d in zip(scores, spread, strict=True)), strict=True)
        axes.fill_between(removed, low, high, color=tone, alpha=0.2, linewidth=0)
