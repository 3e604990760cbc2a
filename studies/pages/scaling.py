"""Accuracy against instances, layers and width: fitted curves, a table and a picture.

One quantity at a time is changed from two blocks of width 64 and 204,800 instances. Along each the
odds of the accuracy among what the exact solver reaches are fitted by a power of the quantity,

    a / (c - a) = (x / h)^g,      a: accuracy, c: ceiling, h: where half of it is reached,

a straight line in logarithms, by least squares over all runs: 2^g is by how much a doubling
multiplies the odds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import raven

from attenergy.search.results.statistics import t_quantile
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.tasks import make_task
from attenergy.testing.docs_pages import markdown
from pages.output import BLUE, GREEN, LINES, ORANGE, RED, save, write_page
from pages.tables import complete, plus_minus, value

Curves = dict[str, dict[float, list[float]]]  # variant -> quantity -> accuracies over seeds
QUANTITIES = ("instances", "layers", "width")
COLOURS = dict(zip(raven.SCALED, (BLUE, ORANGE, GREEN, RED), strict=True))
SPLIT = "ood"


@dataclass(frozen=True)
class Fit:
    """The odds of the accuracy as a power of a quantity.

    Attributes:
        half: where half of the ceiling is reached.
        growth: the exponent g.
        low: lower end of its 95 % interval, by Student's t over the runs about the line.
        high: the upper end.
        residual: root mean square of accuracies minus the curve.
        ceiling: of the accuracy.
    """

    half: float
    growth: float
    low: float
    high: float
    residual: float
    ceiling: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        odds = (np.asarray(x) / self.half) ** self.growth
        result: np.ndarray = self.ceiling * odds / (1 + odds)
        return result


def fit(points: Mapping[float, Sequence[float]], ceiling: float) -> Fit | None:
    """Fit one curve; None for fewer than three runs, or where nothing grows.

    Args:
        points: quantity -> accuracies.
        ceiling: the highest that can be.
    """
    pairs = [(x, a) for x, values in points.items() for a in values]
    if len(pairs) < 3 or len(points) < 2:
        return None
    x, a = np.array(pairs, dtype=float).T
    share = np.clip(a / ceiling, 1e-4, 1 - 1e-4)  # an accuracy may be none at all
    across, up = np.log(x), np.log(share / (1 - share))
    centred = across - across.mean()
    spread = float(centred @ centred)
    growth = float(centred @ up) / spread
    left = up - up.mean() - growth * centred
    error = math.sqrt(float(left @ left) / (len(x) - 2) / spread)
    margin = t_quantile(len(x) - 2) * error
    if growth <= 0:
        return None
    half = math.exp(float(across.mean() - up.mean() / growth))
    curve = Fit(half, growth, growth - margin, growth + margin, 0.0, ceiling)
    residual = float(np.sqrt(np.mean((a - curve(x)) ** 2)))
    return Fit(half, growth, growth - margin, growth + margin, residual, ceiling)


def size_of(config: RunConfig) -> dict[str, float]:
    training, model = config.training, config.model
    return {
        "instances": training.steps * training.batch_size,
        "layers": model.layers,
        "width": model.width,
    }


def curves_of(records: Iterable[RunRecord], base: RunConfig) -> dict[str, Curves]:
    """Accuracies along each quantity, where the others are as in `base`."""
    result: dict[str, Curves] = {quantity: {} for quantity in QUANTITIES}
    usual = size_of(base)
    for record in complete(records):
        size = size_of(record.config)
        changed = [q for q in QUANTITIES if size[q] != usual[q]]
        if record.config.variant not in raven.SCALED or len(changed) > 1:
            continue
        for quantity in changed or QUANTITIES:
            points = result[quantity].setdefault(record.config.variant, {})
            points.setdefault(size[quantity], []).append(value(record, SPLIT))
    return result


def _table(quantity: str, curves: Curves, fits: dict[str, Fit | None]) -> list[str]:
    sizes = sorted({x for points in curves.values() for x in points})
    head = ["variant", *(f"{x:,.0f}" for x in sizes), "half at", "odds by a doubling", "residual"]
    rows = []
    for variant, points in curves.items():
        cells = [f"`{variant}`"]
        cells += [plus_minus(points[x]) if x in points else "" for x in sizes]
        curve = fits[variant]
        if curve is None:
            cells += ["", "", ""]
        else:
            low, middle, high = (2**g for g in (curve.low, curve.growth, curve.high))
            near = sizes[0] / 10 <= curve.half <= 10 * sizes[-1]
            cells += [f"{curve.half:,.3g}" if near else "far off"]
            cells += [f"x {middle:.2f} ({low:.2f} to {high:.2f})", f"{curve.residual:.3f}"]
        rows.append(cells)
    runs = sum(len(values) for points in curves.values() for values in points.values())
    return [
        f"## {quantity.capitalize()}",
        "",
        f"{runs} runs.",
        "",
        *markdown.table(head, rows).splitlines(),
        "",
    ]


def _panel(axes: Any, quantity: str, curves: Curves, fits: dict[str, Fit | None]) -> None:
    sizes = sorted({x for points in curves.values() for x in points})
    across = np.geomspace(sizes[0], sizes[-1], 100)
    for variant, points in curves.items():
        colour = COLOURS[variant]
        for x, values in points.items():
            axes.plot([x] * len(values), values, ".", color=colour, markersize=5)
        if (curve := fits[variant]) is not None:
            axes.plot(across, curve(across), color=colour, lw=1.3, label=variant)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [_short(x) for x in sizes], fontsize=7, minor=False)
    axes.minorticks_off()
    axes.set_xlabel(quantity, fontsize=8)
    axes.grid(color=LINES, lw=0.6)


def _short(x: float) -> str:
    return f"{x / 1e6:.1f}M" if x >= 1e6 else f"{x / 1000:.0f}k" if x >= 1000 else f"{x:g}"


def _about(base: RunConfig, ceiling: float, chance: float) -> list[str]:
    usual = size_of(base)
    return [
        "Accuracy on held-out combinations, where one quantity is changed from "
        f"{usual['layers']:g} blocks of width {usual['width']:g} and {usual['instances']:,.0f} "
        f"instances. The ceiling is {ceiling:.3f}, chance {chance:.2g}; intervals are 95 %, over "
        "seeds. `half at` is where the fitted curve reaches half of the ceiling, `odds by a "
        "doubling` by how much twice as much multiplies a / (ceiling - a), `residual` the root "
        "mean square of accuracies about the curve."
    ]


def draw_scaling(recorded: Mapping[str, Sequence[RunRecord]], base: RunConfig) -> None:
    """Write `results/scaling.md` and `study-scaling.png`.

    Args:
        recorded: records by part; those of `zoo` have the usual size, of `deep` four blocks.
        base: a run of the usual size.
    """
    records = [r for part in ("zoo", "deep", "scaling") for r in recorded.get(part, ())]
    task = make_task(base.task_spec, split_seed=base.split_seed)
    ceiling = task.ceiling(SPLIT)
    assert ceiling is not None
    curves = curves_of(records, base)
    order = {variant: place for place, variant in enumerate(raven.SCALED)}
    figure, all_axes = plt.subplots(
        1, len(QUANTITIES), figsize=(9, 3.2), layout="constrained", sharey=True
    )
    text = ["# Size and data", "", *_about(base, ceiling.value, task.chance["accuracy"]), ""]
    for axes, quantity in zip(all_axes, QUANTITIES, strict=True):
        chosen = dict(sorted(curves[quantity].items(), key=lambda item: order[item[0]]))
        fits = {variant: fit(points, ceiling.value) for variant, points in chosen.items()}
        text += _table(quantity, chosen, fits)
        _panel(axes, quantity, chosen, fits)
    all_axes[0].set_ylabel("accuracy on held-out combinations", fontsize=8)
    all_axes[0].legend(fontsize=7, loc="upper left")
    save(figure, "scaling")
    write_page("scaling", text)
