"""Accuracy against instances, layers and width: fitted curves, a table and a picture.

One quantity at a time is changed from two blocks of width 64 and 204,800 instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import compared
import matplotlib.pyplot as plt
import numpy as np

from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.tasks import make_task
from attenergy.testing.docs_pages import markdown
from pages.curves import LevellingOff, Line, Points, levelling_off, line
from pages.output import LINES, OF_LAYERS, save, write_page
from pages.tables import complete, plus_minus, value

Curves = dict[str, dict[float, list[float]]]  # variant -> quantity -> accuracies over seeds
Fits = Mapping[str, LevellingOff | Line | None]
QUANTITIES = ("instances", "layers", "width")
SPLIT = "ood"
_OF_CURVES = ("levels off at", "starts at", "power", "residual", "last, from the others")
_OF_LINES = ("by a doubling",)


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
        if record.config.variant not in compared.SCALED or len(changed) > 1:
            continue
        for quantity in changed or QUANTITIES:
            points = result[quantity].setdefault(record.config.variant, {})
            points.setdefault(size[quantity], []).append(value(record, SPLIT))
    return result


def fits_of(quantity: str, curves: Curves, ceiling: float) -> Fits:
    """By variant the curve against a quantity: only of instances there are enough to level off."""
    if quantity == "instances":
        return {variant: levelling_off(points, ceiling) for variant, points in curves.items()}
    return {variant: line(points) for variant, points in curves.items()}


def _cells(curve: LevellingOff | Line | None, points: Points) -> list[str]:
    """What is shown of a curve; of one that levels off, what it would have said of the last."""
    if curve is None:
        return []
    if isinstance(curve, Line):
        return [f"{curve.doubling:+.3f} ({curve.low:+.3f} to {curve.high:+.3f})"]
    high = f"{curve.high:.2f}" if curve.high < curve.ceiling else "the ceiling"
    last = max(points)
    before = levelling_off({x: a for x, a in points.items() if x != last}, curve.ceiling)
    return [
        f"{curve.plateau:.2f} ({curve.low:.2f} to {high})",
        f"{curve.start:,.3g}",
        f"{curve.power:.2f}",
        f"{curve.residual:.3f}",
        f"{before(last):.3f}" if before is not None else "",
    ]


def _table(quantity: str, curves: Curves, fits: Fits) -> list[str]:
    sizes = sorted({x for points in curves.values() for x in points})
    of_fits = _OF_CURVES if quantity == "instances" else _OF_LINES
    rows = []
    for variant, points in curves.items():
        cells = [f"`{variant}`"]
        cells += [plus_minus(points[x]) if x in points else "" for x in sizes]
        of_curve = _cells(fits[variant], points)
        rows.append([*cells, *of_curve, *[""] * (len(of_fits) - len(of_curve))])
    head = ["variant", *(f"{x:,.0f}" for x in sizes), *of_fits]
    runs = sum(len(values) for points in curves.values() for values in points.values())
    return [
        f"## {quantity.capitalize()}",
        "",
        f"{runs} runs.",
        "",
        *markdown.table(head, rows).splitlines(),
        "",
    ]


def _panel(axes: Any, quantity: str, curves: Curves, fits: Fits) -> None:
    sizes = sorted({x for points in curves.values() for x in points})
    for variant, points in curves.items():
        colour = OF_LAYERS[variant]
        for x, values in points.items():
            axes.plot([x] * len(values), values, ".", color=colour, markersize=5)
        if (curve := fits[variant]) is not None:
            across = np.geomspace(min(points), max(points), 100)
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
        "seeds.",
        "",
        "Against instances `a = plateau * (1 - (instances / start)^-power)` is fitted by least "
        "squares: where it levels off, with all plateaus that fit about as well (95 %, F test), "
        "where it leaves zero, and the root mean square of accuracies about it; then what the "
        "curve through all but the most instances says of these. Against layers and width a "
        "straight line in the logarithm: by how much twice as much raises the accuracy.",
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
    order = {variant: place for place, variant in enumerate(compared.SCALED)}
    figure, all_axes = plt.subplots(
        1, len(QUANTITIES), figsize=(9, 3.5), layout="constrained", sharey=True
    )
    text = ["# Size and data", "", *_about(base, ceiling.value, task.chance["accuracy"]), ""]
    for axes, quantity in zip(all_axes, QUANTITIES, strict=True):
        chosen = dict(sorted(curves[quantity].items(), key=lambda item: order[item[0]]))
        fits = fits_of(quantity, chosen, ceiling.value)
        text += _table(quantity, chosen, fits)
        _panel(axes, quantity, chosen, fits)
    all_axes[0].set_ylabel("accuracy on held-out combinations", fontsize=8)
    handles = {v: plt.Line2D([], [], color=OF_LAYERS[v], marker=".") for v in compared.SCALED}
    figure.legend(handles.values(), handles, fontsize=7, loc="outside lower center", ncols=6)
    save(figure, "scaling")
    write_page("scaling", text)
