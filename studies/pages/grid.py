"""Steps, beta and step size of `lse`: what each does to the accuracy, as a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt

from attenergy.search.results import formats
from attenergy.search.results.statistics import mean_interval
from attenergy.search.runs.config import RunRecord
from attenergy.testing.docs_pages import markdown
from pages.output import GREY, LINES, save, write_page
from pages.tables import about, complete, plus_minus, value

Cell = tuple[float, float, float]  # steps, beta, step size
SPLITS = ("valid", "test", "ood")
SHOWN = "ood"  # in the picture
USUAL_BETA = 0.354  # 1 / sqrt(head_dim), where the entry begins


def cells_of(records: Iterable[RunRecord]) -> dict[Cell, dict[int, RunRecord]]:
    """Complete runs by cell and seed."""
    result: dict[Cell, dict[int, RunRecord]] = {}
    for record in complete(records):
        settings = record.config.settings
        steps, beta, size = (float(settings[name]) for name in ("steps", "beta", "step_size"))
        result.setdefault((steps, beta, size), {})[record.config.seed] = record
    return result


def effects(
    cells: dict[Cell, dict[int, RunRecord]], split: str
) -> dict[str, tuple[list[float], int]]:
    """Differences between cells that differ in one quantity, and how many cells they come from.

    Of each seed the mean over cells is one value, so that intervals count seeds alone; with one
    seed the values are those of the cells.
    """
    result: dict[str, dict[int, list[float]]] = {}
    for (steps, beta, size), runs in cells.items():
        others = {
            f"{steps:g} steps minus 1": (1.0, beta, 1.0) if size == 1.0 and steps > 1 else None,
            f"step size {size:g} minus 1": (steps, beta, 1.0) if size != 1.0 else None,
            f"beta {beta:g} minus {USUAL_BETA:g}": (steps, USUAL_BETA, size)
            if beta != USUAL_BETA
            else None,
        }
        for name, other in others.items():
            there = cells.get(other, {}) if other is not None else {}
            for seed in runs.keys() & there.keys():
                difference = value(runs[seed], split) - value(there[seed], split)
                result.setdefault(name, {}).setdefault(seed, []).append(difference)
    return {
        name: (
            [sum(v) / len(v) for v in by_seed.values()]
            if len(by_seed) > 1
            else next(iter(by_seed.values())),
            len(next(iter(by_seed.values()))),
        )
        for name, by_seed in sorted(result.items())
    }


def _effects_table(cells: dict[Cell, dict[int, RunRecord]]) -> list[str]:
    by_split = {split: effects(cells, split) for split in SPLITS}
    rows = [
        [name, str(cells_of_it), *(plus_minus(by_split[split][name][0]) for split in SPLITS)]
        for name, (_, cells_of_it) in by_split[SHOWN].items()
    ]
    head = ["difference", "pairs of cells", *map(formats.split, SPLITS)]
    return markdown.table(head, rows).splitlines()


def _cells_table(cells: dict[Cell, dict[int, RunRecord]]) -> list[str]:
    rows = []
    order = sorted(cells, key=lambda c: -_mean([value(r, SHOWN) for r in cells[c].values()]))
    for steps, beta, size in order:
        runs = list(cells[steps, beta, size].values())
        scores = [plus_minus([value(r, split) for r in runs]) for split in SPLITS]
        shown = f"{size:g}" if steps > 1 else ""
        flops = f"{runs[0].cost['forward_flops'] / 1e6:.1f}"
        rows.append([f"{steps:g}", f"{beta:g}", shown, str(len(runs)), *scores, flops])
    head = ["steps", "beta", "step size", "seeds", *map(formats.split, SPLITS), "MFLOPs"]
    return markdown.table(head, rows).splitlines()


def _mean(values: Sequence[float]) -> float:
    return mean_interval(values).mean if values else math.nan


def draw_grid(records: Sequence[RunRecord]) -> None:
    """Write `results/grid.md` and `study-grid.png`."""
    cells = cells_of(records)
    means = {c: _mean([value(r, SHOWN) for r in runs.values()]) for c, runs in cells.items()}
    steps, betas, sizes = (sorted({cell[i] for cell in cells}) for i in range(3))
    low, high = min(means.values()), max(means.values())
    figure, all_axes = plt.subplots(
        1, len(steps), figsize=(2.4 * len(steps) + 1.2, 2.8), layout="constrained", squeeze=False
    )
    for axes, step in zip(all_axes[0], steps, strict=True):
        # One step reads weights before it moves, so it has no size.
        columns = sizes if step > 1 else [1.0]
        rows = [[means.get((step, beta, size), math.nan) for size in columns] for beta in betas]
        axes.set_facecolor(LINES)  # of what is not run
        image = axes.imshow(rows, vmin=low, vmax=high, cmap="viridis", aspect="auto")
        for i, row in enumerate(rows):
            for j, number in enumerate(row):
                if math.isnan(number):
                    axes.text(j, i, "not run", ha="center", va="center", fontsize=6, c=GREY)
                else:
                    shade = "white" if number < (low + high) / 2 else "black"
                    axes.text(j, i, f"{number:.3f}", ha="center", va="center", fontsize=7, c=shade)
        names = [f"{size:g}" for size in columns] if step > 1 else ["none"]
        axes.set_xticks(range(len(columns)), names, fontsize=8)
        axes.set_yticks(range(len(betas)), [f"{b:g}" for b in betas], fontsize=8)
        axes.set_title(f"{step:g} steps" if step > 1 else "1 step", fontsize=9)
        axes.set_xlabel("step size", fontsize=8)
    all_axes[0][0].set_ylabel("beta at the start", fontsize=8)
    bar = figure.colorbar(image, ax=list(all_axes[0]), fraction=0.03)
    bar.set_label("accuracy on held-out pairs (ood)", fontsize=8)
    most = max(len(runs) for runs in cells.values())
    seeds = "one seed" if most == 1 else f"means over up to {most} seeds"
    figure.suptitle(f"lse on raven-small, {seeds}; grey: not run", fontsize=9)
    save(figure, "grid")
    text = ["# Steps, beta and step size of `lse`", "", *about(records, "grid")]
    text += [
        "## What one quantity does", "",
        "Means over pairs of cells that differ in nothing else, paired by seed; intervals are over "
        "seeds, and where there is one seed over the pairs.", "",
        *_effects_table(cells), "", "## Every cell", "", *_cells_table(cells), "",
    ]  # fmt: skip
    write_page("grid", text)
