"""Commands for a study that exists: `report`, `dashboard`, `export`, `replay` and `continue`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attenergy.registry import ArgumentError
from attenergy.search.cli.parameters.commands import ALL
from attenergy.search.cli.parameters.options import (
    ExplainOption,
    FolderOption,
    Format,
    PlainOption,
    RunArgument,
    StudyArgument,
    emit,
)

if TYPE_CHECKING:
    from attenergy.search.report.analyses import Analysed

OneWorkerOption = Annotated[
    int, typer.Option("--workers", "-w", min=0, max=1, help="0: in this process.")
]
TextOption = Annotated[
    Path | None,
    typer.Option(
        *("--text", "--data"),
        metavar="PATH",
        help="File or folder of a task that reads a text or your data.",
    ),
]
AnywayOption = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Train a recorded run again even if it takes over an hour or 2 GiB, or the file of "
        "your model has changed.",
    ),
]


class ReportFormat(StrEnum):
    """How a report is written."""

    HTML = "html"
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def report(
    study: StudyArgument,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How to write it.")
    ] = ReportFormat.HTML,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File; else a page beside the study, or printed."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", metavar="DIR", help="Write every picture as PNG, too."),
    ] = None,
    analyse: Annotated[
        str | None,
        typer.Option(
            "--analyse",
            metavar="[WHAT,...]",
            help="Analyse the winner and the baseline, too, side by side: all analyses that fit, "
            "or those of --analyse=a,b.",
        ),
    ] = None,
    explain: ExplainOption = False,
    plain: PlainOption = None,
    folder: FolderOption = Path("runs"),
) -> None:
    """Report on a study: leaderboard, curves, costs, importances, formulas, how to repeat it.

    Of a discovery: the winner with its family tree, its ablation, the finals, the controls.

    The page is one file that needs nothing else: it opens without a network, light or dark, on a
    phone, and on paper. Markdown and JSON have the tables and every record; table is what the
    search printed at its end.
    """
    from attenergy.registry.files import refuse_folder, write_atomically
    from attenergy.search.cli.show import print_study, report_text, save_pictures
    from attenergy.search.results.study_folder import find_study

    place = find_study(study, folder)
    if form is ReportFormat.TABLE and out is not None:
        raise typer.BadParameter("a table is printed, not written", param_hint="--out")
    analysed = _analysed(place, analyse, plain)
    if form is ReportFormat.TABLE:
        print_study(place, explain=explain)
        if analysed:
            from attenergy.search.report.analyses import AnalysesScreen

            emit(Format.TABLE, None, AnalysesScreen(analysed, explain=explain))
        return
    if form is ReportFormat.HTML and out is None:
        out = place / "report.html"
    if out is not None:
        refuse_folder(out)
    text = report_text(place, form.value, analysed, out)
    if pictures is not None:
        _say(f"{len(save_pictures(place, pictures))} pictures written to {pictures}")
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text)
    _say(f"written to {out}")


def dashboard(
    study: StudyArgument,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="0 for any free one.")
    ] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The study's storage, if not the file in its folder."),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    folder: FolderOption = Path("runs"),
) -> None:
    """Show a search live in a browser, with Optuna's dashboard; Ctrl-C ends it."""
    import webbrowser

    from attenergy.search.display.dashboard import dashboard as make
    from attenergy.search.results.study_folder import find_study, read_study

    source = read_study(find_study(study, folder))
    try:
        server = make(source, host=host, port=port, storage=storage)
    except OSError as error:
        raise ArgumentError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port, 0 for any",
            topic="cluster",
        ) from error
    with server:
        address = f"http://{host}:{server.server_port}{server.page}"
        _say(f"{address} shows {study}; Ctrl-C ends it")
        if browse:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            _say("")


def export(
    study: StudyArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    trial: Annotated[
        str,
        typer.Option(
            help="'best', a row of the leaderboard, a variant, the key of a run, or trial-7."
        ),
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace an older export.")] = False,
    text: TextOption = None,
    anyway: AnywayOption = False,
    folder: FolderOption = Path("runs"),
) -> None:
    """Export a trained model as a folder that `attenergy.load` reads."""
    from attenergy.search.artifacts.export import export_run
    from attenergy.search.artifacts.select_run import choose_run, find_run
    from attenergy.search.results.study_folder import find_study, read_study

    source = read_study(find_study(study, folder))
    board = source.leaderboard()
    record = choose_run(source.records, find_run(source, trial).key, board)
    export_run(
        record, source.folder, out, force=force, say=_say, board=board, text=text, anyway=anyway
    )
    typer.echo(str(out))


def replay(
    study: StudyArgument,
    trial: RunArgument = "best",
    workers: OneWorkerOption = 1,
    text: TextOption = None,
    anyway: AnywayOption = False,
    folder: FolderOption = Path("runs"),
) -> None:
    """Train a recorded run again and compare it bit for bit: metrics, curve and weights.

    Ends with exit code 1 if anything differs, and names versions and machine where they do.
    """
    from attenergy.registry.printable import printable
    from attenergy.search.artifacts.replay import replay as repeat
    from attenergy.search.artifacts.select_run import find_run
    from attenergy.search.results.study_folder import find_study, read_study

    source = read_study(find_study(study, folder))
    record = find_run(source, trial)
    result = repeat(record, source.folder, workers=workers, text=text, anyway=anyway)
    for line in result.lines():
        typer.echo(printable(line))
    if not result.equal:
        raise typer.Exit(1)


def continue_(
    study: StudyArgument,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Training steps in all, more than it had.")
    ],
    trial: RunArgument = "best",
    workers: OneWorkerOption = 1,
    checkpoint_folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the search kept states, if not in its folder."),
    ] = None,
    text: TextOption = None,
    anyway: AnywayOption = False,
    plain: PlainOption = None,
    folder: FolderOption = Path("runs"),
) -> None:
    """Train a recorded run for more steps, from where its learning rate began to fall.

    For runs with the schedule constant_tail: the result is that of a run of N steps from the
    beginning, to the bit. It goes to the study STUDY-continued.
    """
    from attenergy.search.artifacts.select_run import choose_run, find_run
    from attenergy.search.artifacts.train_longer import compared, train_longer
    from attenergy.search.display.progress import make_listener
    from attenergy.search.results.study_folder import find_study, read_study

    source = read_study(find_study(study, folder))
    record = choose_run(source.records, find_run(source, trial).key, source.leaderboard())
    chance = source.task.chance.get(source.task.metric)
    with make_listener(
        plain, metric=source.task.metric, known=[record], task=record.config.task, chance=chance
    ) as listener:
        longer = train_longer(
            record,
            source.folder,
            steps,
            listener,
            workers=workers,
            checkpoint_folder=checkpoint_folder,
            text=text,
            anyway=anyway,
        )
    for line in compared(record, longer, source.task.metric):
        _say(line)
    if longer.status != "complete":
        raise typer.Exit(1)


def _analysed(place: Path, what: str | None, plain: bool | None) -> Sequence[Analysed]:
    """The winner and the baseline with what their analyses said, if that is asked for."""
    if what is None:
        return ()
    from attenergy.search.analyses.of_study import analyse_study
    from attenergy.search.cli.parameters.values import names
    from attenergy.search.display.analyses import analysis_display
    from attenergy.search.results.study_folder import read_study

    with analysis_display(plain) as display:
        return analyse_study(read_study(place), () if what == ALL else names(what), display)


def _say(text: str) -> None:
    from attenergy.registry.printable import printable

    typer.echo(printable(text), err=True)
