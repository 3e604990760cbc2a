"""Every energy and mixer on raven-small: the table, the runs made again, and the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import raven

from attenergy.registry import MixerSpec
from attenergy.search.results import formats
from attenergy.search.results.statistics import mean_interval
from attenergy.search.runs.config import RunRecord
from attenergy.tasks import make_task
from attenergy.testing.docs_pages import markdown
from pages.output import AMBER, BLUE, GREY, LINES, RED, save, write_page
from pages.tables import about, column, complete, races, scores_of, table, value

RACES = raven.HERE / "races"
SPLITS = ("valid", "test", "ood")
REFERENCE = "softmax"


def draw_zoo(records: Sequence[RunRecord], again: Sequence[RunRecord] = ()) -> None:
    """Write `results/zoo.md` and `study-zoo.png`.

    Args:
        records: of the part.
        again: of the same runs on another machine.
    """
    text = ["# Every energy and mixer on raven-small", "", *about(records, "zoo")]
    text += [*table(scores_of(records), REFERENCE, SPLITS), "", *races(RACES)]
    write_page("zoo", [*text, *repeated(records, again)])
    _draw(records)


def repeated(records: Iterable[RunRecord], again: Iterable[RunRecord]) -> list[str]:
    """Runs that two machines have made, in Markdown: one row for each."""
    first = {record.key: record for record in complete(records)}
    rows = []
    for record in complete(again):
        before = first[record.key]
        cells = [f"`{record.config.variant}`", str(record.config.seed)]
        for split in SPLITS:
            cells.append(f"{value(before, split):.3f}, {value(record, split):.3f}")
        rows.append([*cells, _where(before), _where(record)])
    if not rows:
        return []
    head = ["variant", "seed", *map(formats.split, SPLITS), "first", "again"]
    shown = markdown.table(head, sorted(rows)).splitlines()
    return ["## Made again on another machine", "", "First and again:", "", *shown, ""]


def _where(record: RunRecord) -> str:
    program = record.machine.get("program", "single run").split(" of ")[0]
    device = record.machine.get("device", "cpu")
    return f"{device}, {program}, PyTorch {record.versions['torch']}"


def _draw(records: Sequence[RunRecord]) -> None:
    scores = scores_of(records)
    means = {v: mean_interval(list(column(r, "ood").values())) for v, r in scores.items()}
    order = sorted(means, key=lambda v: means[v].mean)
    config = records[0].config
    chance = make_task(config.task_spec, split_seed=config.split_seed).chance["accuracy"]
    figure, axes = plt.subplots(figsize=(7.4, 0.19 * len(order) + 1.3), layout="constrained")
    marks = []
    if REFERENCE in means:
        mean = means[REFERENCE].mean
        marks.append(axes.axvline(mean, color=RED, lw=0.8, label=f"{REFERENCE}, {mean:.3f}"))
    marks.append(axes.axvline(chance, color=GREY, lw=0.8, ls=":", label=f"chance, {chance:.3f}"))
    for place, variant in enumerate(order):
        interval, runs = means[variant], scores[variant]
        mixer = isinstance(runs[min(runs)].config.layer, MixerSpec)
        colour, several = AMBER if mixer else BLUE, interval.low is not None
        values = list(column(runs, "ood").values())
        axes.plot(values, [place] * len(values), ".", color="#9aa5ad", markersize=4)
        axes.plot(
            interval.mean, place, "D" if mixer else "s", color=colour, markersize=4.5,
            markerfacecolor=colour if several else "white",
        )  # fmt: skip
        if interval.low is not None:
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=1.2)
    for label, mark, colour, face in (
        ("energy, mean over seeds, 95 %", "s", BLUE, BLUE),
        ("mixer, the same", "D", AMBER, AMBER),
        ("one seed", "s", GREY, "white"),
        ("one run", ".", "#9aa5ad", "#9aa5ad"),
    ):
        marks += axes.plot([], [], mark, color=colour, markerfacecolor=face, label=label)
    axes.legend(handles=marks, fontsize=7, loc="lower right")
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_ylim(-1, len(order))
    axes.set_xlabel("accuracy on held-out pairs of rules (ood)")
    axes.grid(axis="x", color=LINES, lw=0.6)
    save(figure, "zoo")
