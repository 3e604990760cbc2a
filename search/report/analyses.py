"""What analyses said of a model, or of two side by side, as text, Markdown and data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from attenergy.analysis.result import Table
from attenergy.analysis.saved import SavedResult
from attenergy.registry import as_written
from attenergy.registry.printable import markdown, printable
from attenergy.search.results import formats

if TYPE_CHECKING:
    from attenergy.analysis.catalogue import AnalysisKind

_MOST_ROWS = 30  # of a table on a terminal


@dataclass(frozen=True, eq=False)
class Analysed:
    """A model with what its analyses said.

    Attributes:
        name: of the model.
        notes: what it is, and what it was fed, a sentence each.
        results: the analyses that were done.
        missing: names of the others, with why they were not.
    """

    name: str
    notes: Sequence[str]
    results: Sequence[SavedResult]
    missing: Sequence[tuple[str, str]] = ()

    def result(self, name: str) -> SavedResult | None:
        """What an analysis said; None if it was not done."""
        return next((result for result in self.results if result.name == name), None)

    def reason(self, name: str) -> str:
        """Why an analysis was not done."""
        return next((reason for other, reason in self.missing if other == name), "it was not tried")


@dataclass(frozen=True, eq=False)
class AnalysesScreen:
    """What a terminal shows of analyses: the finding, where the pictures are, then the tables.

    Attributes:
        models: with what their analyses said.
        missing: whether to say which were not done.
        explain: whether to say how to read them.
        page: where everything is, if the tables of several analyses are not to be shown: of those
            it is said what they hold.
    """

    models: Sequence[Analysed]
    missing: bool = True
    explain: bool = False
    page: Path | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        short = self.page is not None and len(self._names()) > 1
        for title, result in self._results():
            yield Text(title, style="bold")
            yield Text(printable(result.sentence))
            if result.pictures and not short:
                yield Text(f"pictures: {self._pictures(result)}", style="dim")
            for table in result.tables if not short else ():
                yield from _on_terminal(table, result)
            for note in result.notes if self.explain else ():
                yield Text(printable(f"- {note}"), style="dim")
            yield ""
        if short:
            yield from self._contents()
        for model in self.models if self.missing else ():
            for name, reason in model.missing:
                yield Text(
                    f"{name}: not done for {model.name}: {printable(reason)}", style="yellow"
                )

    def _results(self) -> Iterator[tuple[str, SavedResult]]:
        """Every result under its title; those of one analysis follow one another."""
        for name in self._names():
            for model in self.models:
                if (result := model.result(name)) is not None:
                    which = f" ({model.name})" if len(self.models) > 1 else ""
                    yield printable(f"{result.title}{which}"), result

    def _names(self) -> list[str]:
        """The analyses that were done for any of the models."""
        every = (result.name for model in self.models for result in model.results)
        return list(dict.fromkeys(every))

    def _contents(self) -> RenderResult:
        """What the tables hold that are not shown, and where they are."""
        tables: dict[str, dict[str, None]] = {}
        for model in self.models:
            for result in model.results:
                tables.setdefault(result.name, {}).update(
                    dict.fromkeys(t.title for t in result.tables)
                )
        rows = [[name, printable("; ".join(titles))] for name, titles in tables.items() if titles]
        yield formats.rich_table(("analysis", "its tables"), rows, left=2)
        yield Text(f"tables and pictures: {self.page}", style="dim")
        yield Text("tables here: --all, or name an analysis after the model", style="dim")

    def _pictures(self, result: SavedResult) -> str:
        names = ", ".join(f"{picture.name}.png" for picture in result.pictures)
        return f"{names} and .svg in {result.folder}"


def _on_terminal(table: Table, result: SavedResult) -> Iterator[Any]:
    rows = full_rows(table)
    yield Text(f"\n{printable(table.title)}", style="italic")
    yield formats.rich_table(table.header, rows[:_MOST_ROWS], left=table.texts)
    if len(rows) > _MOST_ROWS:
        more = f"{len(rows) - _MOST_ROWS} more rows in {result.folder / result.name}.md"
        yield Text(more, style="dim")


def as_markdown(models: Sequence[Analysed], folder: Path, level: int = 2) -> str:
    """The same in Markdown: under every analysis what it says of every model.

    Args:
        models: one, or several.
        folder: of the file that the text is for.
        level: of the headings.
    """
    heading, several = "#" * level, len(models) > 1
    parts = []
    for model in models:
        said = "; ".join(markdown(note) for note in model.notes)
        parts.append(f"**{markdown(model.name)}**: {said}" if said else "")
    titles = {result.name: result.title for model in models for result in model.results}
    for name, title in titles.items():
        parts.append(f"{heading} {markdown(title)}")
        for model in models:
            parts += _in_markdown(model, name, folder, f"{heading}#" if several else "")
    missing = [(m.name, other, reason) for m in models for other, reason in m.missing]
    if missing:
        parts.append(f"{heading} Not done")
        parts.append("\n".join("* " + ": ".join(map(markdown, line)) for line in missing))
    return "\n\n".join(filter(None, parts)) + "\n"


def _in_markdown(model: Analysed, name: str, folder: Path, heading: str) -> list[str]:
    result = model.result(name)
    lines = [f"{heading} {markdown(model.name)}"] if heading else []
    if result is None:
        return [*lines, f"Not done: {markdown(model.reason(name))}"]
    lines.append(markdown(result.sentence))
    there = Path(os.path.relpath(result.folder, folder)).as_posix()
    for picture in result.pictures:
        lines.append(f"![{markdown(picture.title)}](<{there}/{picture.name}.png>)")
    for table in result.tables:
        lines.append(f"**{markdown(table.title)}**")
        lines.append(formats.markdown_table(table.header, full_rows(table)))
    return [*lines, "\n".join(f"* {markdown(note)}" for note in result.notes)]


def full_rows(table: Table) -> list[list[str]]:
    """The rows, each as long as the header."""
    width = len(table.header)
    return [[*row, *[""] * width][:width] for row in table.rows]


def as_data(models: Sequence[Analysed]) -> list[dict[str, Any]]:
    """The same as data: of every model its name, notes and the numbers of every analysis."""
    return [_data(model) for model in models]


def _data(model: Analysed) -> dict[str, Any]:
    return {
        "model": model.name,
        "notes": list(model.notes),
        "analyses": {
            result.name: {
                "title": result.title,
                "sentence": result.sentence,
                "notes": result.notes,
                "about": result.about,
                "numbers": result.numbers,
                "files": [str(path) for path in result.files],
            }
            for result in model.results
        },
        "missing": [{"analysis": other, "reason": reason} for other, reason in model.missing],
    }


@dataclass(frozen=True)
class CatalogueScreen:
    """The analyses that there are, on a terminal: what each answers, then what can be set."""

    HEADER: ClassVar[tuple[str, ...]] = ("analysis", "what it answers", "needs")

    kinds: Sequence[AnalysisKind]

    @property
    def rows(self) -> list[list[str]]:
        """Name, question and needs of every analysis."""
        return [[kind.name, kind.about, ", ".join(kind.needs)] for kind in self.kinds]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield formats.rich_table(self.HEADER, self.rows, left=3)
        settings = [
            [
                f"{kind.name}.{option.name}",
                "" if option.default is None else as_written(option.default),
                option.allowed,
                option.about,
            ]
            for kind in self.kinds
            for option in kind.options
        ]
        yield ""
        header = ("--set", "default", "allowed", "what it decides")
        yield formats.rich_table(header, settings, left=4)


def catalogue_as_data(kinds: Sequence[AnalysisKind]) -> list[dict[str, Any]]:
    """The analyses that there are, and their options, as data."""
    return [
        {
            "name": kind.name,
            "title": kind.title,
            "about": kind.about,
            "needs": list(kind.needs),
            "options": [
                {
                    "name": option.name,
                    "default": option.default,
                    "allowed": option.allowed,
                    "about": option.about,
                }
                for option in kind.options
            ],
        }
        for kind in kinds
    ]
