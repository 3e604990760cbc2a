"""Performance profiles: the share of runs that score above each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attenergy.analysis.drawing import Look, Picture, drawing, legend
from attenergy.search.report.html.study_view import View
from attenergy.search.results.statistics import profile

_FEWEST = 2  # runs of a variant below which a share says nothing


def draw(view: View) -> list[Picture]:
    """Profiles over the trials of every variant, and over the seeds of its best configuration."""
    shown = [row.variant for row in view.leaders]
    trials: dict[str, list[float]] = {name: [] for name in shown}
    for record in view.trials:
        if record.config.variant in trials:
            trials[record.config.variant].append(record.metrics["valid"][view.metric])
    seeds = {
        row.variant: list(row.values["valid"].values())
        for row in view.leaders
        if row.final and "valid" in row.values
    }
    pictures = []
    for name, values, title, unit in (
        ("profile-seeds", seeds, "Profile over seeds", "seeds of its best configuration"),
        ("profile-trials", trials, "Profile over trials", "trials"),
    ):
        enough = {n: v for n, v in values.items() if len(v) >= _FEWEST}
        if len(enough) < 2:
            continue
        about = f"The share of a variant's {unit} above each score; further right is better."
        pictures.append(
            one(name, title, about, enough, view.looks, xlabel=f"{view.metric} (valid)")
        )
    return pictures


def one(
    name: str,
    title: str,
    about: str,
    values: Mapping[str, Sequence[float]],
    styles: Mapping[str, Look],
    *,
    xlabel: str,
) -> Picture:
    """One picture of profiles: a falling step line for each name."""
    scores = [score for group in values.values() for score in group]
    low, high = min(scores), max(scores)
    margin = 0.04 * (high - low or 1.0)
    levels = np.linspace(low - margin, high + margin, 200).tolist()
    with drawing() as (figure, axes):
        for label, group in values.items():
            look = styles[label]
            axes.step(
                levels,
                profile(group, levels),
                where="post",
                color=look.colour,
                linestyle=look.dash,
                linewidth=1.8,
                label=f"{label} ({len(group)})",
            )
        axes.set(xlabel=xlabel, ylabel="share of runs above", ylim=(-0.03, 1.03))
        legend(axes)
    return Picture(name, title, about, figure)
