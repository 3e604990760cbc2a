"""Every energy and mixer at three rates of Muon: the table of the best of them, and the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt

from attenergy.search.runs.config import RunRecord
from attenergy.testing.docs_pages import markdown
from pages.output import AMBER, BLUE, GREY, LINES, RED, save, write_page
from pages.tables import about, complete, value

Rates = dict[float, RunRecord]  # Muon's rate -> the run of one seed
REFERENCE = "softmax"
CHOSEN_BY, SHOWN = "valid", "ood"
_COLOURS = (AMBER, BLUE, RED)


def rates_of(records: Iterable[RunRecord], seed: int = 1) -> dict[str, Rates]:
    """The runs of one seed by variant and rate, of variants with more than one rate."""
    result: dict[str, Rates] = {}
    for record in complete(records):
        if record.config.seed == seed:
            rate = record.config.training.muon_learning_rate
            result.setdefault(record.config.variant, {})[rate] = record
    return {variant: runs for variant, runs in result.items() if len(runs) > 1}


def best(runs: Rates) -> float:
    """The rate with the highest accuracy on `valid`, as a search would choose it."""
    return max(runs, key=lambda rate: value(runs[rate], CHOSEN_BY))


def draw_rates(records: Sequence[RunRecord], zoo: Sequence[RunRecord]) -> None:
    """Write `results/rates.md` and `study-rates.png`.

    Args:
        records: of the part.
        zoo: of the part with the rate of the registry.
    """
    variants = rates_of([*records, *zoo])
    order = sorted(variants, key=lambda v: -value(variants[v][best(variants[v])], SHOWN))
    rates = sorted({rate for runs in variants.values() for rate in runs})
    default = next(r for r in complete(zoo)).config.training.muon_learning_rate
    text = ["# Every energy and mixer at three rates", "", *about(records, "rates")]
    text += [
        f"The rate of Muon, one seed each; {default:g} is the task's, from the part `zoo`. The "
        f"best is chosen by `{CHOSEN_BY}`. Another seed alone moves a run by about .03, so smaller "
        "gains say nothing.", "",
        *_table(variants, order, rates, default), "",
    ]  # fmt: skip
    write_page("rates", text)
    _draw(variants, order, rates)


def _table(
    variants: dict[str, Rates], order: Sequence[str], rates: Sequence[float], default: float
) -> list[str]:
    head = ["variant", *(f"valid at {rate:g}" for rate in rates), "best", "iid", "ood"]
    rows = []
    for variant in order:
        runs = variants[variant]
        chosen = best(runs)
        cells = [f"{value(runs[r], CHOSEN_BY):.3f}" if r in runs else "" for r in rates]
        gain = ""
        if chosen != default and default in runs:
            gain = f" ({value(runs[chosen], SHOWN) - value(runs[default], SHOWN):+.3f})"
        shown = [f"{value(runs[chosen], 'test'):.3f}", f"{value(runs[chosen], SHOWN):.3f}{gain}"]
        rows.append([f"`{variant}`", *cells, f"{chosen:g}", *shown])
    return markdown.table(head, rows).splitlines()


def _draw(variants: dict[str, Rates], order: Sequence[str], rates: Sequence[float]) -> None:
    order = list(reversed(order))
    figure, axes = plt.subplots(figsize=(7.4, 0.17 * len(order) + 1.2), layout="constrained")
    if REFERENCE in variants:
        runs = variants[REFERENCE]
        at = value(runs[best(runs)], SHOWN)
        axes.axvline(at, color=GREY, lw=0.8, label=f"{REFERENCE} at its best, {at:.3f}")
    for place, variant in enumerate(order):
        runs = variants[variant]
        values = [value(run, SHOWN) for run in runs.values()]
        axes.plot([min(values), max(values)], [place, place], color=LINES, lw=2.5, zorder=1)
    for rate, colour in zip(rates, _COLOURS, strict=False):
        places = [i for i, variant in enumerate(order) if rate in variants[variant]]
        values = [value(variants[order[i]][rate], SHOWN) for i in places]
        axes.scatter(values, places, s=16, color=colour, label=f"rate {rate:g}", zorder=2)
    chosen = [value(variants[v][best(variants[v])], SHOWN) for v in order]
    axes.scatter(
        chosen, range(len(order)), s=48, facecolors="none", edgecolors="black", linewidths=0.7,
        label="best by valid", zorder=3,
    )  # fmt: skip
    axes.legend(fontsize=7, loc="lower right")
    axes.set_yticks(range(len(order)), order, fontsize=7.5)
    axes.set_ylim(-1, len(order))
    axes.set_xlabel("accuracy on held-out pairs of rules (ood), one seed")
    axes.grid(axis="x", color=LINES, lw=0.6)
    save(figure, "rates", dpi=90)
