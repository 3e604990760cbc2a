"""Puts a page together: the pictures and tables of a study, or of several, in one HTML text."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attenergy.analysis.drawing import TONES, Picture
from attenergy.registry import MissingPackage
from attenergy.registry.printable import printable
from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.report.analyses import Analysed
from attenergy.search.report.html import (
    analyses,
    coordinates,
    costs,
    curves,
    dependence,
    forest,
    importances,
    overview,
    profiles,
    tables,
)
from attenergy.search.report.html.study_view import View
from attenergy.search.report.text import MIDDLES, budgets, machines, middle_cells, plan_data
from attenergy.search.results import formats
from attenergy.search.results.pareto import front_cells, front_title
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.results.task_table import MATRIX, Matrix, read_matrix
from attenergy.search.runs.own_entries import REGISTRY, changed_entries, own_entries
from attenergy.search.runs.plugin_needs import modules_of, read_needs

if TYPE_CHECKING:
    from jinja2 import Environment

_DRAW = {
    "forest": forest.draw,
    "curves": curves.draw,
    "costs": costs.draw,
    "dependence": dependence.draw,
    "importances": importances.draw,
    "coordinates": coordinates.draw,
    "profiles": profiles.draw,
}


class NoTemplates(MissingPackage, ValueError):
    """A page was asked for, and the package that fills its template is not installed."""

    def __init__(self) -> None:
        super().__init__("an HTML page needs jinja2: `pip install attenergy[report]`")


def pictures(view: View) -> dict[str, list[Picture]]:
    """Every picture of a study by the section it belongs to; those that lack data are left out."""
    return {name: draw(view) for name, draw in _DRAW.items()}


def page(study: Study, analysed: Sequence[Analysed] = ()) -> str:
    """The page of one study.

    The text holds everything: no script, no font, no picture is fetched. Everything that came from
    a record is escaped. The same study gives the same text.

    Args:
        study: with its records.
        analysed: models of it with what their analyses said, side by side.

    Raises:
        NoMatplotlib: without matplotlib.
        NoTemplates: without jinja2.
    """
    return fill(
        "study.html.j2",
        study=_context(View(study), full=True),
        title=study.folder.name,
        analyses=analyses.sections(analysed, "analysis-"),
        analysed=analysed,
    )


def analyses_page(title: str, analysed: Sequence[Analysed]) -> str:
    """The page of the analyses of a model, or of two side by side.

    Args:
        title: of the page.
        analysed: the models with what their analyses said.

    Raises:
        NoTemplates: without jinja2.
    """
    done = {result.name for model in analysed for result in model.results}
    several = len(analysed) > 1
    missing = [
        (f"{model.name}: {name}" if several else name, reason)
        for model in analysed
        for name, reason in model.missing
        if name not in done
    ]
    return fill(
        "analyses.html.j2",
        title=title,
        models=analysed,
        sections=analyses.sections(analysed),
        missing=missing,
    )


def matrix_page(folder: Path) -> str:
    """The page of a comparison over several tasks: the matrix, then a section for each task.

    Raises:
        ValueError: if the folder holds no matrix that can be read; as `page` says.
    """
    matrix = read_matrix(folder)
    parts = {column.name: read_study(folder / column.name) for column in matrix.columns}
    views = {name: View(study, matrix.variants) for name, study in parts.items()}
    context = overview.context(matrix, views)
    studies = [_context(view, full=False) for view in views.values()]
    records = [record for study in parts.values() for record in study.records]
    registry = f"runs/{folder.name}/{REGISTRY}" if own_entries(records) else ""
    return fill(
        "matrix.html.j2",
        title=matrix.title,
        matrix=context,
        pictures=[shown(p, "") for p in overview.draw(matrix, views)],
        studies=studies,
        energies=list(
            {one["name"]: one for study in studies for one in study["energies"]}.values()
        ),
        entries=own_entries(records),
        changed=changed_entries(records),
        registry=registry,
        machines=list(dict.fromkeys(text for study in studies for text in study["machines"])),
        command=overview.command_line(
            matrix, [study.plan for study in parts.values()], _plugins(*parts.values()), registry
        ),
    )


def write_pictures(path: Path, folder: Path) -> list[Path]:
    """Write every picture of the study, or of the comparisons, at `path` as PNG into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (path / MATRIX).is_file():
        drawn = [p for group in pictures(View(read_study(path))).values() for p in group]
        return [picture.save(folder) for picture in drawn if picture.screen != "phone"]
    matrix: Matrix = read_matrix(path)
    parts = {column.name: read_study(path / column.name) for column in matrix.columns}
    views = {name: View(study, matrix.variants) for name, study in parts.items()}
    written = [picture.save(folder) for picture in overview.draw(matrix, views)]
    for name in parts:
        written += write_pictures(path / name, folder / name)
    return written


def _context(view: View, *, full: bool) -> dict[str, Any]:
    study = view.study
    name = re.sub(r"\W", "-", study.folder.name)
    drawn = pictures(view) if full else {n: _DRAW[n](view) for n in ("forest", "curves")}
    config = study.records[0].config
    plan = study.plan
    return {
        "id": name,
        "name": study.folder.name,
        "kind": "comparison" if isinstance(plan, ComparePlan) else "search",
        "task": view.board.task,
        "task_title": config.task_spec.title,
        "models": formats.models(record.config for record in study.records),
        "metric": view.metric,
        "verdict": tables.shown_verdict(view.board.verdict),
        "tiles": tables.tiles(view),
        "board": tables.leaderboard(view),
        "differences": tables.differences(view),
        "front": front_cells(view.board.front, with_settings=True) if view.board.front else None,
        "front_title": front_title(view.board.front, bool(view.board.cost_limits))
        if view.board.front
        else "",
        "middles": middle_cells(view.board),
        "about_middles": MIDDLES,
        # The page marks the baseline with a word, not with a star.
        "notes": [note for note in view.board.notes if not note.startswith("*")],
        "pictures": {
            section: [shown(p, f"{name}-") for p in group] for section, group in drawn.items()
        },
        "no_importances": importances.missing(view),
        "stacks": tables.stacks(view),
        "energies": tables.energies(view),
        "lost": tables.lost(view),
        "proposers": tables.proposers(view),
        "budgets": [_budget(row) for row in budgets(study)],
        "time_budget": [s.sentence for s in read_sessions(study.folder).sessions],
        "runs": tables.runs(view),
        "number": len(study.records),
        "command": _command(study),
        "entries": own_entries(study.records),
        "changed": changed_entries(study.records),
        "registry": _registry(study),
        "enqueued": bool(getattr(plan, "enqueue", ())),
        "plan": json.dumps(plan_data(plan), indent=2) if plan is not None else "",
        "machines": machines(study.records),
        "best": view.board.rows[0].keys[0] if view.board.rows else study.records[0].key,
    }


def _command(study: Study) -> str:
    if study.plan is None:
        return ""
    return command(study.plan, plugins=_plugins(study), registry=_registry(study))


def _registry(study: Study) -> str:
    """The file with a study's own entries, as one names it from the folder above `runs`."""
    return f"runs/{study.folder.name}/{REGISTRY}" if own_entries(study.records) else ""


def _plugins(*studies: Study) -> list[str]:
    """The modules that studies need, each once."""
    return modules_of(need for study in studies for need in read_needs(study.folder))


def shown(picture: Picture, prefix: str = "") -> dict[str, Any]:
    """A picture for a template; `prefix` makes the names inside unique in a page of several."""
    return {
        "svg": picture.svg(prefix),
        "title": picture.title,
        "about": picture.about,
        "wide": picture.wide,
        "screen": picture.screen,
    }


def _budget(row: dict[str, Any]) -> list[str]:
    best = row["best_valid"]
    return [
        row["variant"],
        f"{row['trials']}",
        f"{row['scored']}",
        formats.NOTHING if best is None else f"{best:.3f}",
        formats.duration(row["seconds"]),
    ]


def fill(template: str, **context: Any) -> str:
    """A page from one of the templates beside this file.

    Args:
        template: its name.
        **context: what it reads.

    Raises:
        NoTemplates: without jinja2.
    """
    script = (Path(__file__).parent / "script.js").read_text(encoding="utf-8")
    # The page may run this script and no other: the browser compares its hash.
    digest = b64encode(sha256(script.encode()).digest()).decode()
    text = _environment().get_template(template)
    return printable(text.render(tones=TONES, script=script, digest=digest, **context))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise NoTemplates from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> str:
    """A text with `names` in it, escaped, the names set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
