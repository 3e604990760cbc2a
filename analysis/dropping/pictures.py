"""The pictures of what can be dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attenergy.analysis.drawing import Picture, colour, drawing, legend
from attenergy.analysis.dropping.evaluation import Worth
from attenergy.analysis.dropping.order import RandomDrops, Step
from attenergy.analysis.dropping.sublayers import SubLayer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES = (("attention", "attention", "series-1", "o"), ("mlp", "MLP", "series-2", "s"))


def depth(layers: Sequence[SubLayer], scores: Mapping[str, float]) -> Picture:
    """Draw the score of every attention layer, MLP and block over the depth of the model."""
    layers = [layer for layer in layers if layer.name in scores]
    blocks = list(dict.fromkeys(layer.block for layer in layers))
    place = {block: number for number, block in enumerate(blocks)}
    tips: dict[str, list[str]] = {}
    with drawing() as (figure, axes):
        for kind, label, tone, marker in _SERIES:
            some = [layer for layer in layers if layer.kind == kind]
            if not some:
                continue
            x, y = [place[s.block] for s in some], [scores[s.name] for s in some]
            (line,) = axes.plot(x, y, marker=marker, color=colour(tone), label=label)
            line.set_gid(f"redundancy-{kind}")
            tips[f"redundancy-{kind}"] = [f"{s.name}: {scores[s.name]:.3g}" for s in some]
        whole = [block for block in blocks if block in scores]
        if whole:
            y = [scores[block] for block in whole]
            x = [place[block] for block in whole]
            axes.plot(x, y, marker="^", color=colour("chance"), label="whole block", linestyle=":")
        axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # points at 0 are seen whole
        _whole_ticks(axes)
        axes.set_xlabel("block")
        axes.set_ylabel("1 - cos(input, output)")
        legend(axes)
    about = "How much every sub-layer and block turns its input; 0 where it changes nothing."
    return Picture("redundancy-scores", "Scores over depth", about, figure, tips=tips)


def decline(
    worth: Worth,
    steps: Sequence[Step],
    control: Sequence[RandomDrops],
    dropped: int,
    labels: tuple[str, str],
) -> Picture:
    """Draw the metric against the number of what is dropped, with the random control.

    Args:
        worth: of the whole model and of its embedding.
        steps: what is dropped one after the other.
        control: at random.
        dropped: how many the smaller model does without.
        labels: of what is dropped, and of the order.
    """
    with drawing() as (figure, axes):
        ends = (("whole model", worth.full, 1, "right"), ("bare embedding", worth.bare, 0, "left"))
        for label, value, side, align in ends:  # where the curve is elsewhere
            axes.axhline(value, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2)))
            axes.annotate(
                label, (side, value), xycoords=("axes fraction", "data"), xytext=(0, 2),
                textcoords="offset points", ha=align, fontsize=8.5, color=colour("soft"),
            )  # fmt: skip
        if control:
            counts = [0, *(drops.count for drops in control)]
            low = [worth.full, *(min(drops.values) for drops in control)]
            high = [worth.full, *(max(drops.values) for drops in control)]
            mean = [worth.full, *(drops.mean for drops in control)]
            tone = colour("series-2")
            axes.fill_between(counts, low, high, color=tone, alpha=0.18, linewidth=0)
            orders = len(control[0].values)
            label = f"at random (mean and range of {orders})"
            axes.plot(counts, mean, color=tone, linestyle="--", label=label)
        values = [worth.full, *(step.value for step in steps)]
        (line,) = axes.plot(
            range(len(values)), values, marker="o", color=colour("series-1"), label=labels[1]
        )  # fmt: skip
        line.set_gid("redundancy-steps")
        if dropped:
            axes.plot([dropped], [values[dropped]], marker="o", markersize=11, fillstyle="none",
                      color=colour("ink"), linestyle="", label="smaller model")  # fmt: skip
        _whole_ticks(axes)
        axes.set_xlabel(f"{labels[0]} dropped")
        axes.set_ylabel(worth.metric)
        legend(axes, columns=2)
    texts = ["nothing dropped", *(f"without {step.name}" for step in steps)]
    tips = {"redundancy-steps": [f"{t}: {v:.4g}" for t, v in zip(texts, values, strict=True)]}
    about = "What the model is worth after dropping, by score and at random."
    return Picture("redundancy-dropping", "What can be dropped", about, figure, tips=tips)


def _whole_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
