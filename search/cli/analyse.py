"""The command `analyse`: what a trained model does, in sentences, pictures and tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attenergy.registry import AnalysisError
from attenergy.search.cli.parameters.completion import complete_study
from attenergy.search.cli.parameters.options import (
    ExplainOption,
    FolderOption,
    ModelOptionsOption,
    PlainOption,
    RegistryOption,
    name_model,
)
from attenergy.search.cli.parameters.values import assignments

if TYPE_CHECKING:
    from attenergy.search.analyses.session import Session
    from attenergy.search.analyses.sources import Source
    from attenergy.tasks import Task

_OTHERS = "the folder of an export or of a Hugging Face model, or module:function"
_MODEL, _INPUTS, _RESULT = "The model", "What it is fed", "What is done and kept"


class AnalysisFormat(StrEnum):
    """How analyses are printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def analyse(  # noqa: PLR0913, PLR0917 - the options of a command
    model: Annotated[
        str | None,
        typer.Argument(
            help="A study, an export, a folder of a Hugging Face model, or module:function.",
            autocompletion=complete_study,
        ),
    ] = None,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WHAT]...", help="Names of analyses; by default all that fit."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List analyses, with options.", rich_help_panel=_RESULT)
    ] = False,
    trial: Annotated[
        str,
        typer.Option(
            help="Of a study: 'best', a row of the leaderboard, a variant, the key of a run, "
            "trial-7, or 'baseline'.",
            rich_help_panel=_MODEL,
        ),
    ] = "best",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A second one, side by side: another run of the study ('baseline'), or any model.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    from_config: Annotated[
        bool,
        typer.Option(
            "--from-config",
            help="Random weights for a Hugging Face model.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    options: ModelOptionsOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            *("--data", "--text"),
            metavar="PATH",
            help="Your file or folder, for a recorded task that reads one.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Build a model of any size.", rich_help_panel=_MODEL),
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(
            help="Name of a task; by default the one recorded with the model.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    registry: RegistryOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[ANALYSIS.]OPTION=VALUE",
            help="Set an option of an analysis (fixed-points.max_steps=200) or of the task "
            "(features=3); repeatable.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Of the task; by default valid.", rich_help_panel=_INPUTS),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Instances of a forward pass; 32 of a task, 8 otherwise.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Instances in all; 256 of a task, one batch otherwise.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Arguments of the model as safetensors or JSON, or a text (.txt), a line each.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Tokens of random inputs or a text.", rich_help_panel=_INPUTS
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**31 - 1,
            metavar="N",
            help="Of everything that is drawn.",
            rich_help_panel=_INPUTS,
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the results; by default analysis/ in the study, or here.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Do again what is there already.", rich_help_panel=_RESULT),
    ] = False,
    form: Annotated[
        AnalysisFormat,
        typer.Option("--format", "-f", help="How to print the result.", rich_help_panel=_RESULT),
    ] = AnalysisFormat.TABLE,
    every: Annotated[
        bool, typer.Option("--all", help="Print all tables here, too.", rich_help_panel=_RESULT)
    ] = False,
    explain: ExplainOption = False,
    plain: PlainOption = None,
    folder: FolderOption = Path("runs"),
) -> None:
    """Say what the attention of a trained model does: landscapes, fixed points, codes, redundancy.

    Every analysis gives a sentence, pictures (PNG and SVG), a table and its numbers in JSON, and a
    section of one page. What is there already, of the same model, inputs and options, is not done
    again.
    """
    from attenergy.search.analyses.series import choose
    from attenergy.search.analyses.sources import Loading, find_source, is_function
    from attenergy.search.analyses.subjects import Feeding
    from attenergy.search.results.study_folder import UnknownStudy

    if listing:
        _list(form)
        return
    if model is None:
        raise UnknownStudy("", folder, note=f"or {_OTHERS}; --list names the analyses")
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; results need a folder", param_hint="--out")
    given = assignments(settings, "--set")
    choices = choose(what or (), {n: v for n, v in given.items() if "." in n})
    asked = _task(task, registry, {n: v for n, v in given.items() if "." not in n})
    loading = Loading(folder, data, from_config, anyway, assignments(options, "--model-option"),
                      asked, seed)  # fmt: skip
    for name in filter(None, (model, against)):
        if is_function(name):
            name_model(name)
    sources = [find_source(model, loading, trial)]
    if against is not None:
        sources.append(_second(model, against, loading))
    feeding = Feeding(asked, split, batch, instances, inputs, length, seed)
    from attenergy.search.analyses.session import Session

    session = Session(sources, feeding, out)
    _run(session, choices, plain=plain, force=force)
    _print(session, form, missing=not what, explain=explain, every=every)
    for bug in session.bugs:
        raise bug
    _need_results(session, named=bool(what))


def _task(name: str | None, registry: list[Path] | None, options: dict[str, Any]) -> Task | None:
    """The task of the command line, if there is one."""
    from attenergy.search.cli.parameters.options import load
    from attenergy.tasks import make_task

    if name is None:
        if options:
            raise AnalysisError(
                f"--set {next(iter(options))}=... is an option of a task: give --task, or name the "
                "analysis (--set fixed-points.max_steps=200)"
            )
        if registry:
            raise AnalysisError("--registry is where a task is looked up: give --task")
        return None
    return make_task(name, registry=load(registry), **options)


def _second(model: str, against: str, loading: Any) -> Source:
    """Another run of the same study, or any other model."""
    from attenergy.registry import UnknownName
    from attenergy.search.analyses.sources import find_source
    from attenergy.search.artifacts.select_run import NoSuchRun
    from attenergy.search.results.study_folder import find_study

    try:
        find_study(model, loading.folder)
    except UnknownName:
        return find_source(against, loading)
    try:
        return find_source(model, loading, against)
    except NoSuchRun as error:
        try:
            return find_source(against, loading)
        except UnknownName:
            raise error from None


def _run(session: Session, choices: Any, *, plain: bool | None, force: bool) -> None:
    """Do the analyses; the page holds what is finished, also if they are broken off."""
    from attenergy.search.display.analyses import analysis_display

    try:
        with analysis_display(plain) as display:
            session.run(choices, display, force=force)
    finally:
        for path in session.write():
            _say(f"written to {path}")


def _print(
    session: Session, form: AnalysisFormat, *, missing: bool, explain: bool, every: bool
) -> None:
    """The finding of every analysis, and of one alone, or with `every`, pictures and tables."""
    import json

    from attenergy.search.cli.parameters.options import Format, emit
    from attenergy.search.report.analyses import AnalysesScreen, as_data, as_markdown

    analysed, page = session.analysed, None if every else session.page
    if form is AnalysisFormat.JSON:
        typer.echo(json.dumps(as_data(analysed), indent=2))
    elif form is AnalysisFormat.MARKDOWN:
        typer.echo(as_markdown(analysed, Path.cwd()), nl=False)
    else:
        emit(Format.TABLE, None, AnalysesScreen(analysed, missing, explain, page))


def _need_results(session: Session, *, named: bool) -> None:
    """Refuse a model of which nothing, or not what was named, could be said.

    Raises:
        ArgumentError: there is no result, or none of an analysis that was named.
    """
    reasons = [
        f"{member.subject.name}: {outcome.kind.name}: {outcome.reason}"
        for member in session.members
        for outcome in member.outcomes
        if outcome.result is None
    ]
    done = any(o.result is not None for m in session.members for o in m.outcomes)
    if reasons and (named or not done):
        raise AnalysisError("\n".join(reasons))


def _list(form: AnalysisFormat) -> None:
    """The analyses with what each answers, and what can be set."""
    import json

    from attenergy.analysis import ANALYSES
    from attenergy.search.cli.parameters.options import Format, emit
    from attenergy.search.report.analyses import CatalogueScreen, catalogue_as_data
    from attenergy.search.results.formats import markdown_table

    kinds = list(ANALYSES.values())
    screen = CatalogueScreen(kinds)
    if form is AnalysisFormat.JSON:
        typer.echo(json.dumps(catalogue_as_data(kinds), indent=2))
    elif form is AnalysisFormat.MARKDOWN:
        typer.echo(markdown_table(screen.HEADER, screen.rows))
    else:
        emit(Format.TABLE, None, screen)


def _say(text: str) -> None:
    from attenergy.registry.printable import printable

    typer.echo(printable(text), err=True)
