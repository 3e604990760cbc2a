"""What `search` and `compare` have in common: checks before, display during, result after."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from attenergy.search.cli.parameters.options import Format, emit
from attenergy.search.runs.errors import NoResult

if TYPE_CHECKING:
    from attenergy.registry import Registry
    from attenergy.search.discovery.results.discovery import Discovery
    from attenergy.search.planning.plan import ComparePlan
    from attenergy.search.report.analyses import Analysed
    from attenergy.search.results.leaderboard import Leaderboard
    from attenergy.search.results.study_folder import Study
    from attenergy.search.results.task_table import Matrix
    from attenergy.search.runs.config import RunRecord


def show_matrix(matrix: Matrix, folder: Path, form: Format, *, explain: bool = False) -> None:
    """Write and print the table of a comparison over several tasks.

    Raises:
        NoResult: no variant has a score on any task.
    """
    from attenergy.search.comparison.multi_task import write_matrix
    from attenergy.search.report.over_sweep import with_finding
    from attenergy.search.report.over_tasks import TasksScreen
    from attenergy.search.results.study_folder import read_study
    from attenergy.search.runs.own_entries import write_own_entries

    matrix = with_finding(matrix)
    write_matrix(matrix, folder)
    parts = {column.name: read_study(folder / column.name) for column in matrix.columns}
    write_own_entries(folder, [record for part in parts.values() for record in part.records])
    verdicts = {name: part.leaderboard().verdict for name, part in parts.items()}
    emit(form, matrix.json(), TasksScreen(matrix, verdicts, explain))
    names = ", ".join(column.name for column in matrix.columns)
    say = partial(typer.secho, err=form is Format.JSON)
    _say_where(folder, f"matrix.md, matrix.json, and one comparison each: {names}", say)
    _need_scores(matrix)


def _need_result(records: Sequence[RunRecord]) -> None:
    """Raise NoResult if no run has come to its end."""
    if any(record.status == "complete" for record in records):
        return
    first = next((f": {r.reason}" for r in records if r.reason), "")
    counts = Counter(record.status for record in records)
    ends = " and ".join(f"{number} {status}" for status, number in counts.items())
    raise NoResult(f"no run gave a result ({ends or 'none was made'}){first}")


def _need_scores(matrix: Matrix) -> None:
    """Raise NoResult if no variant has a score on any task."""
    if any(column.scores for column in matrix.columns):
        return
    reasons = (reason for column in matrix.columns for reason in column.missing.values())
    raise NoResult(f"no run gave a result: {next(reasons, 'none was made')}")


def check_formulas(registry: Registry, chosen: tuple[str, ...]) -> None:
    """Raise RegistryError if an entry of the chosen energies makes no layer."""
    from attenergy.attention.solvers.catalogue import solver_problems
    from attenergy.energies import formula_problems
    from attenergy.registry import RegistryError, StackSpec

    stacks = [spec for spec in map(registry.variant, chosen) if isinstance(spec, StackSpec)]
    every = dict.fromkeys([*chosen, *(name for stack in stacks for name in stack.entries)])
    names = [n for n in every if n in registry.energies]
    problems = formula_problems(registry, names) + solver_problems(registry, names)
    if problems:
        raise RegistryError(problems)


def seeds_too_few(plan: ComparePlan) -> str:
    """What to say where nothing can be called with the seeds that are asked for; else empty."""
    from attenergy.search.planning.final_budget import NONE
    from attenergy.search.results import formats
    from attenergy.search.results.sequential import least_seeds
    from attenergy.search.results.verdict import LEVEL

    contenders = len(set(plan.variants)) - 1
    if contenders < 1 or plan.final_budget != NONE:
        return ""
    fewest = least_seeds(contenders, LEVEL)
    if plan.seeds >= fewest:
        return ""
    return (
        f"{formats.counted(plan.seeds, 'seed')} can show no sure difference: for "
        f"{formats.counted(contenders, 'contender')} it takes {fewest} or more; without --seeds "
        "they are added until all is decided"
    )


def show(
    folder: Path,
    form: Format,
    records: Sequence[RunRecord],
    *,
    export: bool,
    explain: bool = False,
) -> None:
    """Write and print the leaderboard of a finished study, and export its best model.

    Raises:
        NoResult: no run has come to its end.
    """
    from attenergy.search.report.terminal import Screen
    from attenergy.search.results.study_folder import read_study, write_leaderboard

    study = read_study(folder)
    board = write_leaderboard(study)
    emit(form, board.json(), Screen(study.with_next_step(board, folder), explain))
    # JSON stands alone on the output stream.
    say = partial(typer.secho, err=form is Format.JSON)
    _say_where(folder, "leaderboard.md, leaderboard.json, records.jsonl", say)
    if export:
        _export_best(study, board, say)
    _need_result(records)


def show_discovery(folder: Path, form: Format, *, explain: bool = False) -> None:
    """Print what a discovery has come to, and where it is.

    Raises:
        NoResult: no formula has a score.
    """
    discovery = print_discovery(folder, form, explain=explain)
    say = partial(typer.secho, err=form is Format.JSON)
    _say_where(folder, "discovery.html, discovered.yaml, records.jsonl", say)
    if not any(formula.scores for formula in discovery.population):
        raise NoResult("no formula has a score yet: give it more time, and --resume")


def print_study(folder: Path, *, explain: bool) -> None:
    """Print what was printed at the end of a study or a discovery, from its records."""
    from attenergy.search.report.over_tasks import TasksScreen
    from attenergy.search.report.terminal import Screen
    from attenergy.search.results.study_folder import read_study
    from attenergy.search.results.task_table import MATRIX, read_matrix

    if _is_discovery(folder):
        print_discovery(folder, Format.TABLE, explain=explain)
        return
    if (folder / MATRIX).is_file():
        matrix = read_matrix(folder)
        parts = {column.name: read_study(folder / column.name) for column in matrix.columns}
        verdicts = {name: part.leaderboard().verdict for name, part in parts.items()}
        emit(Format.TABLE, None, TasksScreen(matrix, verdicts, explain))
        return
    study = read_study(folder)
    board = study.with_next_step(study.leaderboard(), folder)
    emit(Format.TABLE, None, Screen(board, explain))


def print_discovery(folder: Path, form: Format, *, explain: bool = False) -> Discovery:
    """Print what a discovery has come to, from its folder, and return it."""
    from attenergy.search.discovery.results.discovery import read_discovery
    from attenergy.search.discovery.results.finding import judge, read_finals
    from attenergy.search.discovery.results.terminal import DiscoveryScreen

    discovery = read_discovery(folder)
    finding = judge(discovery, read_finals(folder, discovery))
    emit(form, discovery.model_dump_json(indent=2), DiscoveryScreen(discovery, finding, explain))
    return discovery


def report_text(
    folder: Path, form: str, analysed: Sequence[Analysed] = (), out: Path | None = None
) -> str:
    """The report on a study, a comparison over several tasks or a discovery.

    Args:
        folder: of the study.
        form: `html`, `markdown` or `json`.
        analysed: models of a study with what their analyses said.
        out: the file that it is for; paths in it go from there.
    """
    from attenergy.search.report.text import (
        as_json,
        as_markdown,
        multi_task_as_json,
        multi_task_as_markdown,
    )
    from attenergy.search.results.study_folder import read_study
    from attenergy.search.results.task_table import MATRIX
    from attenergy.search.runs.own_entries import write_own_entries

    if _is_discovery(folder):
        return _discovery_text(folder, form)
    multi_task = (folder / MATRIX).is_file()
    if form == "html":
        from attenergy.search.report.html.build import matrix_page, page

        if multi_task:
            return matrix_page(folder)
        study = read_study(folder)
        write_own_entries(folder, study.records)  # the page names the file
        return page(study, analysed)
    if multi_task:
        markdown = form == "markdown"
        return multi_task_as_markdown(folder) if markdown else multi_task_as_json(folder) + "\n"
    study = read_study(folder)
    if form == "json":
        return as_json(study, analysed) + "\n"
    return as_markdown(study, analysed, Path.cwd() if out is None else out.parent)


def _is_discovery(folder: Path) -> bool:
    """Whether the folder holds what a discovery has come to.

    Raises:
        NoRuns: it is a discovery that has written nothing yet.
    """
    from attenergy.search.planning.plan import DISCOVER_PLAN
    from attenergy.search.results.study_folder import DISCOVERED, NoRuns

    if (folder / DISCOVERED).is_file():
        return True
    if (folder / DISCOVER_PLAN).is_file():
        from attenergy.search.discovery.command_line import going_on

        raise NoRuns(
            f"{folder}: this discovery has written no result yet; to go on with it:\n"
            f"  {going_on(folder)}"
        )
    return False


def _discovery_text(folder: Path, form: str) -> str:
    from attenergy.search.discovery.results.discovery import read_discovery
    from attenergy.search.discovery.results.page import page
    from attenergy.search.discovery.results.write import as_markdown

    discovery = read_discovery(folder)
    if form == "html":
        return page(folder, discovery)
    if form == "markdown":
        return as_markdown(folder, discovery)
    return discovery.model_dump_json(indent=1) + "\n"


def save_pictures(folder: Path, out: Path) -> list[Path]:
    """Write every picture of a report as PNG into a folder."""
    if _is_discovery(folder):
        from attenergy.search.discovery.results.discovery import read_discovery
        from attenergy.search.discovery.results.page import write_pictures as write

        return write(folder, read_discovery(folder), out)
    from attenergy.search.report.html.build import write_pictures

    return write_pictures(folder, out)


def _say_where(folder: Path, files: str, say: Callable[..., None]) -> None:
    """Where the results are, and the command that makes a page of them."""
    say(f"\nresults: {folder} ({files})", dim=True)
    say("a page with every picture:", dim=True)
    say(shlex.join(_command(folder, "report")), fg="cyan")


def _command(folder: Path, *words: str) -> list[str]:
    """A call of `attenergy` on a study, with the plug-ins that it needs."""
    study = folder.name if folder.parent == Path("runs") else str(folder)
    plugins = [word for module in _plugins(folder) for word in ("--plugin", module)]
    return ["attenergy", *plugins, *words, study]


def _plugins(folder: Path) -> list[str]:
    from attenergy.search.runs.plugin_needs import modules_of, read_needs

    return modules_of(read_needs(folder))


def _export_best(study: Study, board: Leaderboard, say: Callable[..., None]) -> None:
    from attenergy.search.artifacts.export import export_run, loading_line
    from attenergy.search.artifacts.select_run import choose_run

    if not board.rows:
        say("nothing to export: no run has a score")
        return
    record = choose_run(study.records, "best", board)
    if record.weights and not (study.folder / record.weights).is_file():
        say(
            f"the best model is run {record.key}; its weights are where it was trained. "
            "To export it there, or to train it again here:",
            dim=True,
        )
        words = ("--trial", record.key[:8], "--out", "FOLDER")
        say(shlex.join([*_command(study.folder, "export"), *words]), fg="cyan")
        return
    out = study.folder / "exported"
    export_run(record, study.folder, out, force=True, say=say, board=board)
    say(f"the best model ({record.config.variant}), in Python:", dim=True)
    say(loading_line(out, _plugins(study.folder)), fg="cyan")
