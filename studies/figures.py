"""Tables and pictures of the Raven study from its records: `make study-figures`.

Writes the tables `studies/results/zoo.md` (every energy and mixer on raven-small), `paper.md` (the
paper's size), `grid.md` (steps, beta and step size of `lse`), `scaling.md` (instances, layers and
width), `rules.md` (accuracies by rule) and `claims.md` (claims of the field, and what was seen
here); pictures of all but the last as `docs/pictures/study-*.png`; and the scores for the pages of
the entries. What has no records yet is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import output
import raven
from claims import write_claims
from grid import draw_grid
from output import AMBER, BLUE, GREEN, GREY, LINES, ORANGE, PURPLE, RED, save, write_page
from rules import draw_rules
from scaling import draw_scaling
from tables import about, calls_of_races, column, races, scores_of, table, value

from attenergy.registry import MixerSpec, load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.results.statistics import mean_interval
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.tasks import make_task

RACES = raven.HERE / "races"
#: What the pages of energies and mixers show of the study.
SCORES = raven.HERE.parent / "benchmarks" / "results" / "study.json"
#: What `attenergy energies show` says of it.
SHOWN = raven.HERE.parent / "search" / "cli" / "entries" / "in_the_study.json"
#: Schug et al. 2025, Table A1: accuracy on held-out combinations after 20 M instances, its standard
#: error over three seeds.
PUBLISHED = {"hyla": (0.6913, 0.0190), "softmax": (0.5656, 0.0105), "linear": (0.5630, 0.0111)}
COLOURS = dict(
    zip(
        raven.LEADERS,
        (BLUE, RED, GREEN, PURPLE, AMBER, GREY, ORANGE),
        strict=True,
    )
)
TASK = "raven-small"  # of the entries as they are


def draw_zoo(records: Sequence[RunRecord]) -> None:
    scores = scores_of(records)
    text = ["# Every energy and mixer on raven-small", "", *about(records, "zoo")]
    text += [*table(scores, "softmax", ("valid", "test", "ood")), "", *races(RACES)]
    write_page("zoo", text)
    means = {v: mean_interval(list(column(r, "ood").values())) for v, r in scores.items()}
    order = sorted(means, key=lambda v: means[v].mean)
    figure, axes = plt.subplots(figsize=(7, 0.17 * len(order) + 1), layout="constrained")
    for place, variant in enumerate(order):
        interval = means[variant]
        layer = scores[variant][min(scores[variant])].config.layer
        mixer = isinstance(layer, MixerSpec)
        values = list(column(scores[variant], "ood").values())
        axes.plot(values, [place] * len(values), ".", color="#9aa5ad", markersize=4)
        axes.plot(interval.mean, place, "o" if mixer else "s", color=BLUE, markersize=5)
        if interval.low is not None:
            axes.plot([interval.low, interval.high], [place, place], color=BLUE, lw=1)
    axes.set_yticks(range(len(order)), order, fontsize=7)
    axes.set_xlabel("accuracy on held-out combinations (ood)")
    axes.grid(axis="x", color=LINES, lw=0.6)
    save(figure, "zoo")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def draw_paper(by_part: dict[str, list[RunRecord]]) -> None:
    text = ["# The paper's size", ""]
    columns = [("adamw", "AdamW, 1e-3, decay 0.1"), ("muon", "Muon, 0.02, decay 0.1")]
    figure, all_axes = plt.subplots(
        1, 2, figsize=(9, 3.8), layout="constrained", sharey=True, squeeze=False
    )
    for axes, (optimizer, title) in zip(all_axes[0], columns, strict=True):
        for part, records in by_part.items():
            if f"-{optimizer}-" not in part:
                continue
            text += [f"## {title}, {part.rsplit('-', 1)[-1]} instances", ""]
            text += about(records, part)
            scores = scores_of(records)
            text += [*table(scores, "softmax", ("valid", "test", "ood")), ""]
            for variant in raven.LEADERS:
                runs = [r for r in records if r.config.variant == variant and r.curve]
                if runs:
                    _curve(axes, variant, runs)
        for variant, (mean, error) in PUBLISHED.items():
            if optimizer == "adamw":
                axes.errorbar(
                    20e6, mean, error, fmt="*", color=COLOURS[variant], markersize=9, capsize=2
                )
        axes.axhline(0.927, color=GREY, ls=":", lw=1)
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("training instances (stars: published, 20M)", fontsize=8)
        axes.grid(color=LINES, lw=0.6)
    all_axes[0][0].set_ylabel("accuracy on held-out combinations")
    handles = {
        label: handle
        for axes in all_axes[0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    all_axes[0][1].legend(list(handles.values()), list(handles), fontsize=7, loc="upper left")
    save(figure, "paper")
    write_page("paper", text)


def _curve(axes: plt.Axes, variant: str, runs: Sequence[RunRecord]) -> None:
    """Mean over seeds of the accuracy on held-out combinations, and its range."""
    points: dict[int, list[float]] = {}
    for run in runs:
        last = run.config.training.steps
        for point in run.curve:
            if "ood_accuracy" in point and point["step"] < last:
                points.setdefault(int(point["step"]), []).append(point["ood_accuracy"])
        if run.config.pause is None:
            points.setdefault(last, []).append(value(run, "ood"))
    size = runs[0].config.training.batch_size
    steps = sorted(points)
    colour = COLOURS.get(variant, "black")
    x = [size * step for step in steps]
    axes.plot(x, [_mean(points[s]) for s in steps], color=colour, lw=1.4, label=variant)
    axes.fill_between(
        x, [min(points[s]) for s in steps], [max(points[s]) for s in steps],
        color=colour, alpha=0.15, lw=0,
    )  # fmt: skip


def write_scores(recorded: Mapping[str, Sequence[RunRecord]]) -> None:
    """Write the mean of every variant on `ood`, for the pages of energies and mixers."""
    rows = []
    for part, records in recorded.items():
        shown = part == "zoo" or part.startswith("paper-")
        for variant, runs in scores_of(records).items() if shown else ():
            interval = mean_interval(list(column(runs, "ood").values()))
            rows.append(
                {
                    "variant": variant,
                    "task": next(iter(runs.values())).config.task,
                    "metric": "accuracy",
                    "split": "ood",
                    "mean": round(interval.mean, 4),
                    "interval": [
                        None if end is None else round(end, 4)
                        for end in (interval.low, interval.high)
                    ],
                    "seeds": len(runs),
                    "how": "study, as it is" if part == "zoo" else f"study, {part}",
                }
            )
    write_atomically(SCORES, json.dumps(rows, indent=1) + "\n")
    write_shown(rows)


def write_shown(rows: Iterable[dict[str, Any]]) -> None:
    """Write what `attenergy energies show` says of an entry: its row on the small task."""
    task = make_task(TASK)
    ceiling = task.ceiling("ood")
    assert ceiling is not None
    shown_of_an_entry = ("mean", "interval", "seeds")
    raced = calls_of_races(RACES, TASK)
    content = {
        "task": TASK,
        "chance": task.chance[task.metric],
        "ceiling": round(ceiling.value, 4),
        "entries": {
            row["variant"]: {key: row[key] for key in shown_of_an_entry}
            | ({"race": raced[row["variant"]]} if row["variant"] in raced else {})
            for row in rows
            if row["task"] == TASK
        },
    }
    write_atomically(SHOWN, json.dumps(content, indent=1) + "\n")


def main(folder: Path = raven.RECORDS) -> None:
    registry = load_registry(plugins=False)
    recorded = {name: RunStore(folder / name).all() for name in raven.parts(registry)}
    output.RESULTS.mkdir(exist_ok=True)
    output.PICTURES.mkdir(exist_ok=True)
    draw: dict[str, Callable[[Sequence[RunRecord]], None]] = {"zoo": draw_zoo, "grid": draw_grid}
    for name, call in draw.items():
        if recorded[name]:
            call(recorded[name])
    draw_rules(recorded)
    if recorded["scaling"]:
        base = raven.parts(registry)["zoo"].configs("zoo", registry)[0]
        draw_scaling(recorded, base)
    paper = {
        name: [*records, *RunStore(folder / name / raven.PAUSED).all()]  # which have curves
        for name, records in recorded.items()
        if name.startswith("paper-") and scores_of(records)
    }
    if paper:
        draw_paper(paper)
    write_scores(recorded)
    write_claims(recorded, output.RESULTS / "claims.md")


if __name__ == "__main__":
    sys.exit(main())
