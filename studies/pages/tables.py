"""Tables of the Raven study: means, differences, what is called, and the races."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attenergy.search.results import formats
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.statistics import mean_interval, paired_difference
from attenergy.search.results.study_folder import read_study
from attenergy.search.results.verdict import calls
from attenergy.search.runs.config import RunRecord
from attenergy.tasks import make_task
from attenergy.testing.docs_pages import markdown

Scores = dict[str, dict[int, RunRecord]]  # variant -> seed -> record


def complete(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Runs that reached their last step: none that failed or was broken off."""
    return [r for r in records if r.status == "complete" and r.config.pause is None]


def scores_of(records: Iterable[RunRecord]) -> Scores:
    """Complete runs by variant and seed."""
    result: Scores = {}
    for record in complete(records):
        result.setdefault(record.config.variant, {})[record.config.seed] = record
    return result


def value(record: RunRecord, split: str) -> float:
    return record.metrics[split]["accuracy"]


def column(runs: dict[int, RunRecord], split: str) -> dict[int, float]:
    return {seed: value(record, split) for seed, record in runs.items()}


def plus_minus(values: Sequence[float]) -> str:
    """A mean with half of its 95 % interval."""
    interval = mean_interval(values)
    if interval.high is None:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ± {interval.high - interval.mean:.3f}"


def table(scores: Scores, reference: str, splits: Sequence[str]) -> list[str]:
    """Rows in Markdown, the best on held-out combinations first, with differences to one of them.

    Differences are paired by seed. `call` is that of a race: whether a difference is sure,
    corrected for all rows and for every look at the records.
    """
    last = splits[-1]
    means = {v: mean_interval(list(column(r, last).values())).mean for v, r in scores.items()}
    head = [
        "variant",
        "seeds",
        *map(formats.split, splits),
        f"{last} minus {reference}",
        "call",
        "parameters",
    ]
    columns = {variant: column(runs, last) for variant, runs in scores.items()}
    called = calls({v: c for v, c in columns.items() if v != reference}, columns.get(reference, {}))
    rows = []
    for variant in sorted(scores, key=lambda v: -means[v]):
        runs = scores[variant]
        cells = [f"`{variant}`", str(len(runs))]
        cells += [plus_minus(list(column(runs, split).values())) for split in splits]
        difference = paired_difference(columns.get(reference, {}), columns[variant])
        if variant == reference or difference is None:
            cells.append("")
        elif difference.high is None:
            cells.append(f"{difference.mean:+.3f}")
        else:
            cells.append(f"{difference.mean:+.3f} ± {difference.high - difference.mean:.3f}")
        cells.append(called[variant][0] if variant in called else "")
        cells.append(f"{next(iter(runs.values())).cost['parameters']:,.0f}")
        rows.append(cells)
    return markdown.table(head, rows).splitlines()


def about(records: Sequence[RunRecord], part: str) -> list[str]:
    """Chance, ceiling, budget and machines of a part, as sentences."""
    records = complete(records)
    first = records[0].config
    task = make_task(first.task_spec, split_seed=first.split_seed)
    ceilings = {s: task.ceiling(s) for s in ("valid", "ood")}
    shown = ", ".join(f"{s} {c.value:.3f}" for s, c in ceilings.items() if c is not None)
    training = first.training
    devices = sorted({r.machine.get("device", "cpu") for r in records})
    versions = sorted({r.versions["torch"] for r in records})
    programs = sorted({r.machine.get("program", "single runs").split(" of ")[0] for r in records})
    return [
        f"Chance {task.chance['accuracy']:.2g}; the exact solver reaches {shown}. "
        f"{training.steps} steps of {training.batch_size} "
        f"({training.steps * training.batch_size:,} instances) for every run. "
        f"{formats.counted(len(records), 'run')}, recorded in "
        f"`studies/records/{part}/records.jsonl`, on {', '.join(devices)} "
        f"({'; '.join(programs)}), PyTorch {', '.join(versions)}. "
        "Intervals are 95 %, by Student's t over seeds; the seed chooses weights and training "
        "instances, the held-out combinations are "
        "the same for all.",
        "",
    ]


def _boards(folder: Path) -> Iterator[tuple[str, Leaderboard]]:
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield place.name, read_study(place).leaderboard()


def races(folder: Path) -> list[str]:
    """What the races over further seeds have called, in Markdown: one row for each folder."""
    rows = []
    for name, board in _boards(folder):
        link = f"[{name}](../races/{name}/leaderboard.md)"
        rows.append([link, board.task, board.verdict.sentence])
    if not rows:
        return []
    text = ["## Called by races", "", "Over seeds that had no part in the choice:", ""]
    return [*text, *markdown.table(["race", "task", "verdict"], rows).splitlines(), ""]


def calls_of_races(folder: Path, task: str) -> dict[str, dict[str, str | int | float]]:
    """Variant -> what the races on a task have called of it."""
    called: dict[str, dict[str, str | int | float]] = {}
    for _, board in _boards(folder):
        for row in board.verdict.rows if board.task == task else ():
            if row.call == "undecided" and row.variant in called:
                continue  # another race has called it, or had it first
            called[row.variant] = {
                "call": row.call, "difference": round(row.difference, 4),
                "column": "valid", "seeds": row.seeds,
            }  # fmt: skip
    return called
