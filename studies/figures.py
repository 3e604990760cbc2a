"""Tables and pictures of the Raven study from its records: `make study-figures`.

Writes the tables `studies/results/zoo.md` (every energy and mixer on raven-small), `rates.md` (each
at three rates), `heads.md` (their number and width), `paper.md` (the paper's size), `grid.md`
(steps, beta and step size of `lse`), `scaling.md` (instances, layers and width), `stacks.md`
(couplings of places and attention in one model), `rules.md` (accuracies by rule) and `claims.md`
(claims of the field, and what was seen here); pictures of most of them as
`docs/pictures/study-*.png`; and the scores for the pages of the entries. What has no records yet is
left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import raven
from claims import write_claims
from pages import output, zoo
from pages.grid import draw_grid
from pages.heads import draw_heads
from pages.paper import draw_paper
from pages.rates import draw_rates
from pages.rules import draw_rules
from pages.scaling import draw_scaling
from pages.stacks import draw_stacks
from pages.tables import calls_of_races, column, scores_of

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.registry.stacks import is_stack_name
from attenergy.search.results.statistics import mean_interval
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.tasks import make_task

#: What the pages of energies and mixers show of the study.
SCORES = raven.HERE.parent / "benchmarks" / "results" / "study.json"
#: What `attenergy energies show` says of it.
SHOWN = raven.HERE.parent / "search" / "cli" / "entries" / "in_the_study.json"
TASK = "raven-small"  # of the entries as they are


def write_scores(recorded: Mapping[str, Sequence[RunRecord]]) -> None:
    """Write the mean of every variant on `ood`, for the pages of energies and mixers."""
    rows = []
    for part, records in recorded.items():
        shown = part == "zoo" or part.startswith("paper-")
        for variant, runs in scores_of(records).items() if shown else ():
            if is_stack_name(variant):  # which has no page
                continue
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
    raced = calls_of_races(zoo.RACES, TASK)
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
    if recorded["zoo"]:
        zoo.draw_zoo(recorded["zoo"], RunStore(folder / "zoo" / raven.AGAIN).all())
    if recorded["rates"]:
        draw_rates(recorded["rates"], recorded["zoo"])
    if recorded["stacks"]:
        draw_stacks(recorded["stacks"], recorded["zoo"])
    if recorded["heads"]:
        draw_heads(recorded)
    if recorded["grid"]:
        draw_grid(recorded["grid"])
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
