"""A study as one page of Markdown or one JSON document; a comparison over several tasks as well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from attenergy.registry.printable import markdown, markdown_code, markdown_json
from attenergy.registry.stacks import entries_of
from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.report.analyses import Analysed, as_data
from attenergy.search.report.analyses import as_markdown as analyses_as_markdown
from attenergy.search.report.over_tasks import verdict_over
from attenergy.search.results import formats
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.statistics import Interval
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.results.task_table import Matrix, read_matrix
from attenergy.search.results.verdict import Verdict
from attenergy.search.runs.config import RunRecord

_FEW = 1000  # records
#: How to read a table of `middle_cells`.
MIDDLES = (
    "Mean of the middle half of the seeds, which one wild run moves less than the mean, and its "
    "95 % bootstrap interval; that is too narrow below some ten seeds."
)


def as_markdown(study: Study, analysed: Sequence[Analysed] = (), place: Path = Path()) -> str:
    """The leaderboard, what each variant and the time were spent on, the plan, the machines.

    Args:
        study: with its records.
        analysed: models of it with what their analyses said.
        place: folder of the file that the text is for.
    """
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
    if analysed:
        parts += ["## Analyses", analyses_as_markdown(analysed, place, level=3).rstrip()]
    sessions = read_sessions(study.folder).sessions
    if sessions:
        parts += ["## Time budget", "\n".join(f"- {markdown(s.sentence)}" for s in sessions)]
    if study.plan is not None:
        plan = json.dumps(plan_data(study.plan), indent=2)
        parts += ["## Plan", markdown_json(plan)]
    kinds = machines(study.records)
    parts += ["## Machines", "\n".join(f"- {markdown(text)}" for text in kinds)]
    return "\n\n".join(parts) + "\n"


def as_json(study: Study, analysed: Sequence[Analysed] = ()) -> str:
    """The same as data: leaderboard, budgets in trials and in time, formulas, plan, records."""
    data = _data(study)
    if analysed:
        data["analyses"] = as_data(analysed)
    if len(study.records) > _FEW:  # Python's own encoder takes minutes with an indent
        return to_json(data, indent=2, inf_nan_mode="constants").decode()
    return json.dumps(data, indent=2)


def multi_task_as_markdown(folder: Path) -> str:
    """A comparison over several tasks: the finding, the matrix, then every task by itself."""
    matrix, studies, said = _multi_task(folder)
    title, rest = matrix.markdown().split("\n\n", 1)
    finding = markdown(said.sentence, code=True)
    return "\n".join(
        [f"{title}\n\n{finding}\n\n{rest}", *(as_markdown(study) for study in studies.values())]
    )


def multi_task_as_json(folder: Path) -> str:
    """The same as data: the matrix, the verdict, and under `studies` every task by its name."""
    matrix, studies, said = _multi_task(folder)
    parts = {name: _data(study) for name, study in studies.items()}
    return json.dumps(
        {**json.loads(matrix.json()), "verdict": asdict(said), "studies": parts}, indent=2
    )


def _multi_task(folder: Path) -> tuple[Matrix, dict[str, Study], Verdict]:
    matrix = read_matrix(folder)
    studies = {column.name: read_study(folder / column.name) for column in matrix.columns}
    verdicts = {name: study.leaderboard().verdict for name, study in studies.items()}
    return matrix, studies, verdict_over(matrix, verdicts)


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
        "time_budget": read_sessions(study.folder).model_dump(mode="json")["sessions"],
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
    singles = dict(e for name, layer in layers.items() for e in entries_of(name, layer).items())
    formulas = {name: getattr(layer, "formula", None) for name, layer in singles.items()}
    return {name: formula for name, formula in formulas.items() if formula is not None}


def _definition(named: tuple[str, str]) -> str:
    return f"- {markdown_code(named[0])}: {markdown_code(named[1])}"


def machines(records: list[RunRecord]) -> list[str]:
    """The kinds of machine that the runs were made on, each once."""
    texts = (", ".join(f"{k} {v}" for k, v in r.machine.items()) for r in records)
    return list(dict.fromkeys(text or "unknown" for text in texts))


def plan_data(plan: SearchPlan | ComparePlan) -> dict[str, Any]:
    """The plan as plain data, without where it is kept."""
    # Where a study lies says nothing about it, and a path may name its owner.
    return plan.model_dump(mode="json", exclude={"folder", "storage"})
