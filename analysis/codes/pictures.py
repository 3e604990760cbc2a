"""Pictures of latent codes: decoding by layer, codes in the plane, cosines of the classes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attenergy.analysis.codes.decoding import ALL, LabelDecoding
from attenergy.analysis.codes.maps import ClassMeans, CodeMap
from attenergy.analysis.drawing import (
    LEVELS,
    TONES,
    Picture,
    colour,
    drawing,
    legend,
    panels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES = [name for name in TONES if name.startswith("series")]
_MARKERS = "osD^vPX"
#: Classes with a tone of their own; the others are drawn together.
_MOST_CLASSES = len(_SERIES)
#: Labels of classes whose maps are drawn.
_MOST_MAPS = 3


def draw(
    decodings: Sequence[LabelDecoding],
    maps: Sequence[CodeMap],
    means: Sequence[ClassMeans],
    shown: Mapping[str, tuple[Tensor, tuple[str, ...]]],
) -> list[Picture]:
    """All pictures of a result, whose parts these are."""
    pictures = [_decoding(each) for each in decodings]
    pictures += [_map(maps, label, *shown[label]) for label in list(shown)[:_MOST_MAPS]]
    first = next((each for each in decodings if each.classes), None)
    if first is not None:
        of_label = [each for each in means if each.label == first.label]
        best = [each for each in of_label if each.layer == first.best.layer]
        pictures.append(_cosines((best or of_label)[-1]))
    return pictures


def _decoding(decoding: LabelDecoding) -> Picture:
    """Each layer's figure on held-out combinations, beside what controls reach."""
    layers = decoding.layers
    with drawing(height=3.9) as (_, axes):
        at = range(len(layers))
        low = [min(each.permuted) for each in layers]
        high = [max(each.permuted) for each in layers]
        for x, bottom, top in zip(at, low, high, strict=True):
            axes.fill_between(
                [x - 0.32, x + 0.32], bottom, top, color=colour("line"), linewidth=0,
                label="permuted labels" if x == 0 else None,
            )  # fmt: skip
        axes.axhline(
            decoding.majority.value, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)),
            label="without code",
        )  # fmt: skip
        axes.plot(
            [x + 0.16 for x in at], [each.scrambled.value for each in layers], "x",
            color=colour("bad"), label="scrambled heads",
        )  # fmt: skip
        if decoding.on_held_out:
            axes.plot(
                [x - 0.16 for x in at], [each.fresh.value for each in layers], "D",
                markerfacecolor="none", color=colour("series-3"), label="seen combinations",
            )  # fmt: skip
        axes.errorbar(
            list(at), [each.judged.value for each in layers],
            yerr=[0.0 if each.judged.error != each.judged.error else each.judged.error
                  for each in layers],
            fmt="o", capsize=2, color=colour("series-1"),
            label="held-out combinations" if decoding.on_held_out else "fresh instances",
        )  # fmt: skip
        names, pattern = short_names([each.layer for each in layers])
        axes.set_xticks(list(at), names)
        axes.set_xlabel(pattern)
        axes.set_xlim(-0.6, len(layers) - 0.4)
        axes.set_ylabel(decoding.metric)
        if decoding.of_numbers:
            axes.set_ylim(bottom=max(-0.5, axes.get_ylim()[0]))
        else:
            axes.set_ylim(0, 1)
        legend(axes, columns=2)
    where = "held-out combinations" if decoding.on_held_out else "fresh instances"
    about = (
        f"{decoding.metric.capitalize()} of {decoding.label} from the code of each layer, on "
        f"{where}; the grey bar is the range of decoders fitted to permuted labels."
    )
    title = f"What the code tells of {decoding.label}"
    return Picture(_name("decoding", decoding.label), title, about, axes.figure)  # type: ignore[arg-type]


def _map(maps: Sequence[CodeMap], label: str, ids: Tensor, names: tuple[str, ...]) -> Picture:
    """PCA above t-SNE, a column for each layer."""
    rows = 2 if any(each.tsne is not None for each in maps) else 1
    height = 0.9 + 2.35 * rows
    across = max(5.2, 2.6 * len(maps))
    with panels(rows, len(maps), (across, height)) as (figure, grid):
        for column, each in enumerate(maps):
            axes = grid[0][column]
            _points(axes, each.pca, ids[each.points], names, named=column == 0)
            axes.set_title(each.layer)
            shares = f"PCA ({each.explained[0]:.0%} and {each.explained[1]:.0%})"
            axes.set_xlabel(shares if any(each.explained) else "codes do not differ")
            if rows == 2:
                below = grid[1][column]
                if each.tsne is None:
                    below.set_axis_off()
                else:
                    _points(below, each.tsne, ids[each.points], names)
                    below.set_xlabel("t-SNE")
        longest = max(len(name) for name in names)
        count = len(grid[0][0].get_legend_handles_labels()[0])
        lines = math.ceil(count / max(1, int(across / (0.6 + 0.085 * longest))))
        legend(grid[0][0], columns=math.ceil(count / max(1, lines)))
    about = f"Codes of {len(maps[0].points)} instances in each layer, coloured by {label}."
    title = f"Codes by {label}"
    return Picture(_name("map", label), title, about, figure, wide=len(maps) > 2)


def _points(
    axes: Axes, at: Tensor, ids: Tensor, names: Sequence[str], *, named: bool = False
) -> None:
    there = [c for c in torch.unique(ids).tolist() if c >= 0]
    ordered = all(_is_number(names[c]) for c in there)
    for place, c in enumerate(there[:_MOST_CLASSES]):
        chosen = at[ids == c]
        tone = LEVELS[place * len(LEVELS) // len(there)] if ordered else _SERIES[c % len(_SERIES)]
        axes.plot(
            chosen[:, 0].tolist(), chosen[:, 1].tolist(), _MARKERS[c % len(_MARKERS)],
            color=colour(tone), markersize=2.6, markeredgewidth=0, linestyle="none",
            label=names[c] if named else None,
        )  # fmt: skip
    rest = at[torch.isin(ids, torch.tensor(there[_MOST_CLASSES:], dtype=ids.dtype))]
    if len(rest):
        axes.plot(
            rest[:, 0].tolist(), rest[:, 1].tolist(), ".", color=colour("chance"), markersize=2,
            linestyle="none",
            label=f"{len(there) - _MOST_CLASSES} others" if named else None,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+( to -?[\d.]+)?", text) is not None


def _cosines(means: ClassMeans) -> Picture:
    """Cosines of the mean codes, as they are and less their mean."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list(
        "cosines", [colour("series-2"), colour("card"), colour("series-1")]
    )
    count = len(means.classes)
    side = 1.6 + 0.32 * count
    with panels(1, 2, (min(10.4, 2 * side + 0.8), side)) as (figure, (grid,)):
        for axes, cosines, title in (
            (grid[0], means.cosines, "mean codes"),
            (grid[1], means.centred, "less the mean of all"),
        ):
            mesh = axes.pcolormesh(
                cosines.numpy(), vmin=-1, vmax=1, cmap=scale,
                edgecolors=colour("card"), linewidth=0.6,
            )  # fmt: skip
            axes.set_title(title)
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.grid(visible=False)
            middles = [i + 0.5 for i in range(count)]
            axes.set_xticks(middles, means.classes, rotation=90, fontsize=8)
            axes.set_yticks(middles, means.classes if axes is grid[0] else [], fontsize=8)
            if count <= 10:
                for i, line in enumerate(cosines.tolist()):
                    for j, value in enumerate(line):
                        tone = "card" if abs(value) > 0.7 else "ink"
                        axes.text(
                            j + 0.5, i + 0.5, f"{value:.1f}".replace("-0.0", "0.0"),
                            ha="center", va="center", fontsize=6.5, color=colour(tone),
                        )  # fmt: skip
        bar = figure.colorbar(mesh, ax=grid, shrink=0.7)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=colour("line"), labelcolor=colour("soft"), labelsize=8)
    about = (
        f"Cosine between the mean codes of the classes of {means.label} in {means.layer}, as they "
        "are and with the mean of them all subtracted."
    )
    title = f"Mean codes of each {means.label}"
    return Picture(_name("cosines", means.label), title, about, figure, wide=True)


def short_names(layers: Sequence[str]) -> tuple[list[str], str]:
    """Where the names of layers differ, and what they have in common: 0, 1, of blocks.*.mixer."""
    parts = [name.split(".") for name in layers if name != ALL]
    if len(parts) < 2 or len({len(each) for each in parts}) > 1:
        return list(layers), ""
    varies = [len(set(each)) > 1 for each in zip(*parts, strict=True)]
    names = [".".join(itertools.compress(each, varies)) for each in parts]
    common = ["*" if own else part for own, part in zip(varies, parts[0], strict=True)]
    return [*names, "all"][: len(layers)], f"layer ({'.'.join(common)})"


def _name(kind: str, label: str) -> str:
    return f"latent-code-{kind}-" + (
        re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "label"
    )
