"""The paper's size: tables, and accuracy against training instances with each optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import compared
import matplotlib.pyplot as plt

from attenergy.search.runs.config import RunRecord
from attenergy.tasks import make_task
from pages.output import GREY, LINES, OF_LAYERS, save, write_page
from pages.tables import about, complete, scores_of, table, value

#: Schug et al. 2025, Table A1: accuracy on held-out combinations after 20 M instances, its standard
#: error over three seeds.
PUBLISHED = {"hyla": (0.6913, 0.0190), "softmax": (0.5656, 0.0105), "linear": (0.5630, 0.0111)}
#: By how much their stars are moved aside, so that two that are equal are seen.
_ASIDE = {"softmax": 0.92, "linear": 1.09}
#: In the order of the page; the last has a table alone.
TITLES = {"adamw": "AdamW, 1e-3, decay 0.1", "muon": "Muon, 0.02, decay 0.1"}
WIDE = ("wide", "Muon, heads of 8 components instead of 4")


def draw_paper(by_part: Mapping[str, Sequence[RunRecord]]) -> None:
    """Write `results/paper.md` and `study-paper.png`.

    Args:
        by_part: records of the parts `paper-OPTIMISER-LENGTH`, also of runs that were broken off.
    """
    text = ["# The paper's size", ""]
    figure, all_axes = plt.subplots(
        1, 2, figsize=(9.4, 4), layout="constrained", sharey=True, sharex=True
    )
    ceiling = _ceiling(by_part)
    for axes, (optimizer, title) in zip(all_axes, TITLES.items(), strict=True):
        for part, records in by_part.items():
            if f"-{optimizer}-" not in part:
                continue
            text += _section(title, part, records)
            for variant in compared.LEADERS:
                runs = [r for r in records if r.config.variant == variant and r.curve]
                if runs:
                    _curve(axes, variant, runs)
        for variant, (mean, error) in PUBLISHED.items() if optimizer == "adamw" else ():
            place = 20e6 * _ASIDE.get(variant, 1.0)
            axes.errorbar(
                place, mean, error, fmt="*", color=OF_LAYERS[variant], markersize=9, capsize=2
            )
        axes.axhline(ceiling, color=GREY, ls=":", lw=1)
        axes.text(3e5, ceiling - 0.035, f"exact solver, {ceiling:.3f}", fontsize=7, color=GREY)
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("training instances (stars: published, trained to 20M)", fontsize=8)
        axes.grid(color=LINES, lw=0.6)
    all_axes[0].set_ylabel("accuracy on held-out combinations (ood)")
    handles = {
        label: handle
        for axes in all_axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    all_axes[1].legend(list(handles.values()), list(handles), fontsize=7, loc="center right")
    save(figure, "paper")
    kind, title = WIDE
    for part, records in by_part.items():
        text += _section(title, part, records) if f"-{kind}-" in part else []
    write_page("paper", text)


def _section(title: str, part: str, records: Sequence[RunRecord]) -> list[str]:
    """The table of a part."""
    return [
        *(f"## {title}, {part.rsplit('-', 1)[-1]} instances", ""),
        *about(records, part),
        *(*table(scores_of(records), "softmax", ("valid", "test", "ood")), ""),
    ]


def _ceiling(by_part: Mapping[str, Sequence[RunRecord]]) -> float:
    config = complete(next(iter(by_part.values())))[0].config
    ceiling = make_task(config.task_spec, split_seed=config.split_seed).ceiling("ood")
    assert ceiling is not None
    return ceiling.value


def _curve(axes: plt.Axes, variant: str, runs: Sequence[RunRecord]) -> None:
    """Accuracy on held-out combinations of every run, thin, and their mean."""
    colour, points = OF_LAYERS.get(variant, "black"), {}
    for run in runs:
        last, size = run.config.training.steps, run.config.training.batch_size
        own = {
            int(point["step"]): point["ood_accuracy"]
            for point in run.curve
            if "ood_accuracy" in point and point["step"] < last
        }
        if run.config.pause is None:
            own[last] = value(run, "ood")
        axes.plot(
            [size * s for s in own],
            list(own.values()),
            color=colour,
            lw=0.6,
            alpha=0.5,
            marker=".",
            ms=3,
        )
        for step, accuracy in own.items():
            points.setdefault(size * step, []).append(accuracy)
    steps = runs[0].config.settings.get("steps", 1)
    name = variant if steps == 1 else f"{variant}, {steps} steps"
    x = sorted(points)
    means = [sum(points[at]) / len(points[at]) for at in x]
    axes.plot(x, means, color=colour, lw=1.6, label=name, marker="o" if len(x) == 1 else None)
