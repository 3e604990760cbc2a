"""Learning curves: validation score and training loss against training steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from attenergy.analysis.drawing import Picture, drawing, legend, reference_lines
from attenergy.search.report.html.study_view import View, thinned
from attenergy.search.results import formats
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_RUNS = 60  # of a variant, drawn by themselves
Band = tuple[list[float], list[float], list[float], list[float]]  # step, mean, lowest, highest


def draw(view: View) -> list[Picture]:
    """The curves of the best configuration of each variant; empty without any curve."""
    rows = [row for row in view.leaders if any(r.curve for r in view.runs(row))]
    if not rows:
        return []
    pictures = []
    for name, quantity, label in (
        ("curves", view.metric, f"{view.metric} (valid)"),
        ("loss", "loss", "training loss"),
    ):
        with drawing() as (figure, axes):
            drawn = [_draw_row(axes, view, row.variant, view.runs(row), quantity) for row in rows]
            if not any(drawn):
                continue
            axes.set(xlabel="training step", ylabel=label)
            if quantity == "loss":
                _perhaps_logarithmic(axes)
            else:
                reference_lines(axes, **view.references)
            legend(axes)
        title = "Learning curves" if quantity != "loss" else "Training loss"
        each = "band from the lowest to the highest"
        if view.solved_from is not None:
            each = "thin lines for each, since a run solves the task or does not"
        about = f"{label} by training step; mean over seeds, {each}."
        about += view.about_axis if quantity != "loss" else ""
        pictures.append(Picture(name, title, about, figure))
    return pictures


def band(records: Sequence[RunRecord], quantity: str) -> Band:
    """Mean, lowest and highest value of a quantity over runs, at the steps that all of them have.

    Runs that were evaluated at different steps share only some; without a common step the lists
    are empty.
    """
    curves = [{p["step"]: p[quantity] for p in r.curve if quantity in p} for r in records]
    curves = [curve for curve in curves if curve]
    if not curves:
        return [], [], [], []
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    return (
        steps,
        values.mean(axis=0).tolist(),
        values.min(axis=0).tolist(),
        values.max(axis=0).tolist(),
    )


def _draw_row(
    axes: Axes, view: View, variant: str, records: Sequence[RunRecord], quantity: str
) -> bool:
    steps, mean, low, high = band(records, quantity)
    if not steps:
        return False
    look = view.looks[variant]
    axes.plot(
        steps,
        mean,
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker,
        markevery=max(1, len(steps) // 6),
        markersize=4.5,
        linewidth=1.8,
        label=variant,
    )
    if view.solved_from is not None:  # a band would hold what no run does
        for record in thinned(records, most=_MOST_RUNS):
            points = [(p["step"], p[quantity]) for p in record.curve if quantity in p]
            if len(records) > 1 and points:
                axes.plot(*zip(*points, strict=True), color=look.colour, linewidth=0.7, alpha=0.35)
    elif len(records) > 1:
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.14, linewidth=0)
    return True


def _perhaps_logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = axes.dataLim.intervaly
    if low > 0 and high / low > 30:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formats.tick(y)))
        axes.yaxis.set_minor_locator(NullLocator())
