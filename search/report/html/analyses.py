"""Analyses as a page shows them: one section each, of one model or of two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attenergy.analysis.result import Table
from attenergy.analysis.saved import SavedPicture, SavedResult
from attenergy.registry import AttenergyError
from attenergy.search.report.analyses import Analysed, full_rows
from attenergy.search.results import formats

_MOST_ROWS = 200  # of a table in a page


def sections(models: Sequence[Analysed], prefix: str = "") -> list[dict[str, Any]]:
    """One section for every analysis that any of the models has, for the template.

    Args:
        models: one, or several side by side.
        prefix: makes names unique in a page.
    """
    titles = {result.name: result.title for model in models for result in model.results}
    return [_section(models, name, title, prefix) for name, title in titles.items()]


def _section(models: Sequence[Analysed], name: str, title: str, prefix: str) -> dict[str, Any]:
    done = [(model, model.result(name)) for model in models]
    slots: dict[str, list[dict[str, Any]]] = {}
    for number, (model, result) in enumerate(done, start=1):
        own = f"{prefix}{number}-" if len(models) > 1 else prefix
        for picture in result.pictures if result is not None else ():
            assert result is not None
            shown = {
                "model": model.name,
                "svg": _svg(result, picture, own),
                "title": picture.title,
                "about": picture.about,
                "wide": picture.wide,
                "screen": picture.screen,
            }
            slots.setdefault(picture.name, []).append(shown)
    notes = (note for _, result in done if result is not None for note in result.notes)
    return {
        "id": f"{prefix}{name}",
        "title": title,
        "columns": [_column(model, result, name) for model, result in done],
        "pictures": [shown for slot in slots.values() for shown in slot],
        "notes": list(dict.fromkeys(notes)),
    }


def _column(model: Analysed, result: SavedResult | None, name: str) -> dict[str, Any]:
    if result is None:
        return {"name": model.name, "result": None, "reason": model.reason(name)}
    return {
        "name": model.name,
        "reason": "",
        "result": {
            "sentence": result.sentence,
            "facts": _facts(result),
            "tables": [_table(table) for table in result.tables],
        },
    }


def _svg(result: SavedResult, picture: SavedPicture, prefix: str) -> str:
    """A picture, or what is in the way of it."""
    from markupsafe import escape

    try:
        return result.svg(picture, prefix)
    except (AttenergyError, OSError) as error:
        return f'<p class="soft">{escape(str(error))}</p>'


def _table(table: Table) -> dict[str, Any]:
    rows = full_rows(table)
    return {
        "title": table.title,
        "header": table.header,
        "rows": rows[:_MOST_ROWS],
        "texts": table.texts,
        "left_out": max(0, len(rows) - _MOST_ROWS),
    }


def _facts(result: SavedResult) -> str:
    """How long it took, and with what settings, in a line."""
    about, parts = result.about, []
    settings = about.get("settings")
    if isinstance(settings, dict):
        parts += [formats.settings({n: v for n, v in settings.items() if v is not None})]
    if isinstance(about.get("seconds"), (int, float)):
        parts += [f"{about['seconds']:.1f} s"]
    return ", ".join(parts)
