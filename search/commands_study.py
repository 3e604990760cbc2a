"""Commands that read a study: `report` and `export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attenergy.search.options import FolderOption

StudyArgument = Annotated[str, typer.Argument(help="Name of a study, or its folder.")]


class ReportFormat(StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    JSON = "json"


def report(
    study: StudyArgument,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How to write it.")
    ] = ReportFormat.MARKDOWN,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; else printed.")] = None,
    folder: FolderOption = Path("runs"),
) -> None:
    """Report on a study: leaderboard, budgets, formulas, plan, machines."""
    from attenergy.search.records import write_atomically
    from attenergy.search.report import as_json, as_markdown, find_study, read_study

    found = read_study(find_study(study, folder))
    text = as_markdown(found) if form is ReportFormat.MARKDOWN else as_json(found) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text)
    typer.echo(f"written to {out}", err=True)


def export(
    study: StudyArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    trial: Annotated[
        str, typer.Option(help="'best', a row of the leaderboard, or the key of a run.")
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace an older export.")] = False,
    folder: FolderOption = Path("runs"),
) -> None:
    """Export a trained model as a folder that `attenergy.load` reads."""
    from attenergy.search.export import choose_run, export_run
    from attenergy.search.report import find_study, read_study

    found = read_study(find_study(study, folder))
    record = choose_run(found.records, trial, found.leaderboard())
    export_run(record, found.folder, out, force=force, say=_say)
    typer.echo(str(out))


def _say(text: str) -> None:
    typer.echo(text, err=True)
