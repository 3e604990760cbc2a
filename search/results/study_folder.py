"""What a study's folder holds, as one page of Markdown or one JSON document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy.registry import ArgumentError, AttenergyError, UnknownName
from attenergy.registry.files import read_regular
from attenergy.registry.printable import markdown, markdown_code, markdown_json
from attenergy.search.planning.plan import COMPARE_PLAN, RECORDED, ComparePlan, SearchPlan
from attenergy.search.results import formats
from attenergy.search.results.leaderboard import Leaderboard, leaderboard
from attenergy.search.results.statistics import Interval
from attenergy.search.results.task_table import MATRIX, read_matrix
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.plugin_needs import check_needs
from attenergy.search.runs.records import (
    MAX_FILE,
    RECORDS,
    first_problem,
    read_records,
    write_atomically,
)
from attenergy.tasks import Task, make_task

#: How to read a table of `middle_cells`.
MIDDLES = (
    "Mean of the middle half of the seeds, which one wild run moves less than the mean, and its "
    "95 % bootstrap interval; that is too narrow below some ten seeds."
)


class NoRuns(AttenergyError, ValueError):
    """A study in which no run has finished."""


@dataclass(frozen=True)
class Study:
    """A study read from its folder: the plan (None if lost), the records, and the task."""

    folder: Path
    plan: SearchPlan | ComparePlan | None
    records: list[RunRecord]
    task: Task

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        if isinstance(self.plan, ComparePlan):
            return self.plan.variants[0]
        return self.plan.baseline if self.plan is not None else "softmax"

    def leaderboard(self) -> Leaderboard:
        """The study's leaderboard."""
        return leaderboard(self.records, self.task, baseline=self.baseline)


def find_study(study: str, folder: str | Path = "runs") -> Path:
    """Return the folder of a study that is named by its path, or by its name inside `folder`.

    A comparison over several tasks is found as well: its folder holds a `matrix.json`.

    Raises:
        UnknownName: if there is none; the message names those that exist.
    """
    for path in (Path(folder) / study, Path(study)):
        if any((path / file).is_file() for file in (RECORDS, MATRIX)):
            return path
    known = sorted(
        {path.parent.name for file in (RECORDS, MATRIX) for path in Path(folder).glob(f"*/{file}")}
    )
    raise UnknownName(f"study in {folder}/", study, known)


def read_study(folder: Path) -> Study:
    """Read a study; nothing but its folder is needed.

    Raises:
        MissingPlugin: a plug-in that it needs is not loaded.
        NoRuns: if no run has finished yet, or the folder is of a comparison over several tasks.
        ValueError: if a file in it is damaged.
    """
    check_needs(folder)
    records = read_records(folder)
    if not records and (folder / MATRIX).is_file():
        parts = ", ".join(f"{folder.name}/{c.name}" for c in read_matrix(folder).columns)
        raise NoRuns(f"{folder} holds several comparisons; name one of them: {parts}")
    if not records:
        raise NoRuns(f"{folder}: no run has finished yet")
    return Study(folder, _plan(folder), records, task_of(records[0].config))


def task_of(config: RunConfig) -> Task:
    """The task of a run, rebuilt from its configuration alone.

    A text that the record names is not looked for: Python's library, which is always there, takes
    its place, for nothing of the text is needed.

    Raises:
        ValueError: it cannot be.
    """
    spec = config.task_spec
    if spec.class_ == "Text":
        options = {k: v for k, v in spec.options.items() if k in {"length", "max_bytes"}}
        spec = spec.model_copy(update={"options": options})
    try:
        return make_task(spec, seed=config.seed, split_seed=config.split_seed)
    except ValueError:
        raise
    except Exception as error:  # options that somebody else wrote, of any size
        raise ArgumentError(
            f"the task {config.task} cannot be made: {in_one_line(error)}"
        ) from error


def write_leaderboard(study: Study) -> Leaderboard:
    """Write `leaderboard.md` and `leaderboard.json` into the study's folder."""
    board = study.leaderboard()
    write_atomically(study.folder / "leaderboard.md", board.markdown())
    write_atomically(study.folder / "leaderboard.json", board.json() + "\n")
    return board


def as_markdown(study: Study) -> str:
    """The leaderboard, what each variant was given and reached, the plan and the machines."""
    header = ["variant", "what it is", "trials", "scored", "best valid", "seconds"]
    board = study.leaderboard()
    parts = [board.markdown().rstrip()]
    middles = middle_cells(board)
    if middles:
        parts += [
            "## Interquartile mean",
            formats.markdown_table(["#", "variant", *board.columns], middles),
            MIDDLES,
        ]
    parts += [
        "## Budget of every variant",
        formats.markdown_table(header, [_budget_cells(b) for b in budgets(study)]),
    ]
    definitions = _definitions(study.records)
    if definitions:
        parts.append("## Energies")
        parts.append("\n".join(map(_definition, definitions.items())))
    if study.plan is not None:
        plan = json.dumps(plan_data(study.plan), indent=2)
        parts += ["## Plan", markdown_json(plan)]
    found = machines(study.records)
    parts += ["## Machines", "\n".join(f"- {markdown(text)}" for text in found)]
    return "\n\n".join(parts) + "\n"


def as_json(study: Study) -> str:
    """The same as data: leaderboard, budgets, formulas, plan, and every record."""
    return json.dumps(_data(study), indent=2)


def several_as_markdown(folder: Path) -> str:
    """A comparison over several tasks: the matrix, then `as_markdown` of every task."""
    matrix = read_matrix(folder)
    parts = [as_markdown(read_study(folder / column.name)) for column in matrix.columns]
    return "\n".join([matrix.markdown(), *parts])


def several_as_json(folder: Path) -> str:
    """The same as data: the matrix, and under `studies` every task by its name."""
    matrix = read_matrix(folder)
    parts = {column.name: _data(read_study(folder / column.name)) for column in matrix.columns}
    return json.dumps({**json.loads(matrix.json()), "studies": parts}, indent=2)


def middle_cells(board: Leaderboard) -> list[list[str]]:
    """Rank, variant and interquartile means, with their intervals, of rows over several seeds."""
    return [
        [f"{row.rank}", row.variant, *(_middle(row.middles.get(c)) for c in board.columns)]
        for row in board.rows
        if row.final and len(row.seeds) > 1
    ]


def _middle(value: Interval | None) -> str:
    if value is None or value.low is None:
        return formats.NOTHING
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _data(study: Study) -> dict[str, Any]:
    return {
        "leaderboard": json.loads(study.leaderboard().json()),
        "budgets": budgets(study),
        "energies": _definitions(study.records),
        "plan": plan_data(study.plan) if study.plan is not None else None,
        "machines": machines(study.records),
        "records": [r.model_dump(mode="json", by_alias=True) for r in study.records],
    }


def budgets(study: Study) -> list[dict[str, Any]]:
    """How many trials every variant was given and what it reached, in order of appearance."""
    rows: dict[str, dict[str, Any]] = {}
    for record in study.records:
        config = record.config
        row = rows.setdefault(
            config.variant,
            {
                "variant": config.variant,
                "title": config.layer.title,
                "trials": 0,
                "scored": 0,
                "best_valid": None,
                "seconds": 0.0,
            },
        )
        row["seconds"] += record.cost.get("seconds", 0.0)
        if record.purpose != "trial":
            continue
        row["trials"] += 1
        value = record.metrics.get("valid", {}).get(study.task.metric)
        if record.status == "complete" and value is not None:
            row["scored"] += 1
            best = row["best_valid"]
            row["best_valid"] = value if best is None else max(best, value)
    return list(rows.values())


def _budget_cells(row: dict[str, Any]) -> list[str]:
    best = row["best_valid"]
    return [
        row["variant"],
        row["title"],
        f"{row['trials']}",
        f"{row['scored']}",
        formats.NOTHING if best is None else f"{best:.3f}",
        f"{row['seconds']:.0f}",
    ]


def _definitions(records: list[RunRecord]) -> dict[str, str]:
    layers = {r.config.variant: r.config.layer for r in records}
    formulas = {name: getattr(layer, "formula", None) for name, layer in layers.items()}
    return {name: formula for name, formula in formulas.items() if formula is not None}


def _definition(named: tuple[str, str]) -> str:
    return f"- {markdown_code(named[0])}: {markdown_code(named[1])}"


def machines(records: list[RunRecord]) -> list[str]:
    """The kinds of machine that the runs were made on, each once."""
    texts = (", ".join(f"{k} {v}" for k, v in r.machine.items()) for r in records)
    return list(dict.fromkeys(text or "unknown" for text in texts))


def _plan(folder: Path) -> SearchPlan | ComparePlan | None:
    kinds: tuple[tuple[str, type[SearchPlan | ComparePlan]], ...] = (
        ("plan.json", SearchPlan),
        (COMPARE_PLAN, ComparePlan),
    )
    for name, kind in kinds:
        path = folder / name
        if path.exists():
            try:
                data = read_regular(path, MAX_FILE, within=folder)
                return kind.model_validate_json(data, context={RECORDED: True})
            except ValidationError as error:
                text = f"{path}: cannot be read as a plan: {first_problem(error)}"
                raise ArgumentError(text) from error
    return None


def plan_data(plan: SearchPlan | ComparePlan) -> dict[str, Any]:
    """The plan as plain data, without where it is kept."""
    # Where a study lies says nothing about it, and a path may name its owner.
    return plan.model_dump(mode="json", exclude={"folder", "storage"})
