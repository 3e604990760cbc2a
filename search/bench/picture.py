"""The picture of a bench: regret against the minutes that a search may take."""

from __future__ import annotations

from pathlib import Path

from attenergy.analysis.drawing import colour, drawing, legend, looks
from attenergy.registry import ArgumentError
from attenergy.search.bench.evaluate import BenchResult


def check_ending(path: Path) -> None:
    """See that a picture can be drawn, before there is anything to draw.

    Raises:
        NoMatplotlib: without matplotlib.
        ValueError: an ending that matplotlib cannot write.
    """
    with drawing() as (figure, _):
        known = figure.canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in known:
        raise ArgumentError(f"{path}: a picture must end in one of {', '.join(known)}")


def draw(result: BenchResult, path: Path) -> None:
    """Draw the mean regret of every policy, with its 95 % interval, for every length of a search.

    Args:
        result: of a bench.
        path: of a PNG, SVG or PDF file; see `check_ending`.
    """
    names = list(dict.fromkeys(each.policy for each in result.outcomes))
    styles = looks(names)
    lengths = sorted({each.minutes for each in result.outcomes})
    with drawing(size=(7.2, 4.6)) as (figure, axes):
        for place, name in enumerate(names):
            own = sorted(
                (each for each in result.outcomes if each.policy == name),
                key=lambda each: each.minutes,
            )
            shift = 1 + 0.012 * (place - len(names) / 2)  # intervals stand side by side
            means = [each.regret.mean for each in own]
            axes.errorbar(
                [each.minutes * shift for each in own],
                means,
                [
                    [m - (each.regret.low or m) for m, each in zip(means, own, strict=True)],
                    [(each.regret.high or m) - m for m, each in zip(means, own, strict=True)],
                ],
                label=name,
                color=styles[name].colour,
                marker=styles[name].marker,
                linestyle=styles[name].dash,
                linewidth=1.4,
                markersize=5,
                capsize=2,
            )
        reference = result.reference
        axes.axhline(
            reference.regret.mean, color=colour("chance"), linewidth=1, linestyle=(0, (2, 2))
        )
        axes.set_xscale("log")
        axes.set_xticks(lengths, [f"{each:g}" for each in lengths])
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"simulated minutes of {result.workers} workers")
        axes.set_ylabel("regret (mean of the best minus that of the choice)")
        axes.set_title(
            f"{result.table}: {result.repeats} replays each; dotted: {reference.policy} "
            f"at {reference.minutes:g} minutes",
            loc="left",
        )
        legend(axes, columns=4)
        figure.savefig(path, dpi=160, facecolor="white")
