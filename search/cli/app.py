"""The command line `attenergy`: what is registered, searching, and reading what was found.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from attenergy.search.budgets.clock import process_began
from attenergy.search.cli import analyse as commands_analyse
from attenergy.search.cli import bench as commands_bench
from attenergy.search.cli import compare as commands_compare
from attenergy.search.cli import discover as commands_discover
from attenergy.search.cli import doctor as commands_doctor
from attenergy.search.cli import explain as commands_explain
from attenergy.search.cli import search as commands_search
from attenergy.search.cli import study as commands_study
from attenergy.search.cli.entries import check as commands_check
from attenergy.search.cli.entries import plot as commands_plot
from attenergy.search.cli.entries import registry as commands_registry
from attenergy.search.cli.errors import Policy
from attenergy.search.cli.parameters.commands import ReportCommand, StudyCommand

#: Groups of commands in the help.
_TRAIN, _READ, _LOOK = "Search and compare", "Read a study", "Look at the registry"

app = typer.Typer(
    cls=Policy,
    help="Write an energy, get an attention layer, find out whether it beats the others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands_registry.energies.command("check")(commands_check.check)
commands_registry.energies.command("plot")(commands_plot.plot)
app.add_typer(commands_registry.energies, name="energies", rich_help_panel=_LOOK)
app.add_typer(commands_registry.mixers, name="mixers", rich_help_panel=_LOOK)
app.add_typer(commands_registry.tasks, name="tasks", rich_help_panel=_LOOK)
app.command(rich_help_panel=_TRAIN)(commands_search.search)
app.command(rich_help_panel=_TRAIN)(commands_compare.compare)
app.command(rich_help_panel=_TRAIN)(commands_discover.discover)
app.add_typer(commands_bench.bench, name="bench", rich_help_panel=_TRAIN)
app.command(cls=ReportCommand, rich_help_panel=_READ)(commands_study.report)
app.command(cls=StudyCommand, rich_help_panel=_READ)(commands_analyse.analyse)
app.command(cls=StudyCommand, rich_help_panel=_READ)(commands_study.dashboard)
app.command(cls=StudyCommand, rich_help_panel=_READ)(commands_study.export)
app.command(cls=StudyCommand, rich_help_panel=_READ)(commands_study.replay)
app.command("continue", cls=StudyCommand, rich_help_panel=_TRAIN)(commands_study.continue_)
app.command(rich_help_panel=_LOOK)(commands_registry.schema)
app.command(rich_help_panel=_LOOK)(commands_doctor.doctor)
app.command(rich_help_panel=_LOOK)(commands_explain.explain)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"attenergy {metadata.version('attenergy')}")
        raise typer.Exit


@app.callback()
def options(
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="MODULE",
            help="Module on Python's path, or in this folder, with code and registry files of "
            "yours; repeatable.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write an energy, get an attention layer, find out whether it beats the others."""
    if plugin:
        from attenergy.registry import name_plugins
        from attenergy.registry.plugins import search_folder

        name_plugins(plugin)
        search_folder(plugin, Path.cwd())


def main() -> None:
    """Run the command line; the entry point of the console script."""
    app(obj=process_began())
