"""The finding of a comparison over several tasks, and how a terminal shows it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attenergy.registry.printable import printable
from attenergy.search.report.columns import cell
from attenergy.search.report.terminal import CALLS, lines_of
from attenergy.search.results import formats
from attenergy.search.results.task_table import Matrix
from attenergy.search.results.verdict import Kind, Verdict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

_SAID = {"beats": "beats it", "loses": "loses to it", "undecided": "is undecided"}


def verdict_over(matrix: Matrix, verdicts: Mapping[str, Verdict]) -> Verdict:
    """How often each variant beats the first one, loses to it, or is undecided.

    Each task is decided by itself, at its own 5 %: among many tasks a few calls may be wrong. The
    kind is `beats` if a variant wins somewhere and loses nowhere, `loses` if one loses somewhere
    and nobody wins anywhere, `unlearned` if nobody learned any task, else `undecided`.

    Args:
        matrix: the comparison.
        verdicts: of each column, by its name.
    """
    learned = {n: v for n, v in verdicts.items() if v.kind not in ("unlearned", "none")}
    unlearned = [name for name, verdict in verdicts.items() if verdict.kind == "unlearned"]
    baseline = matrix.variants[0]
    counts = {variant: _calls(variant, learned) for variant in matrix.variants[1:]}
    counts = {variant: calls for variant, calls in counts.items() if calls}
    parts = [f"`{variant}` {_tally(calls, len(learned))}" for variant, calls in counts.items()]
    sentence = f"Held against `{baseline}`: {'; '.join(parts)}." if parts else ""
    if unlearned:
        sentence += f" Nobody learned {', '.join(f'`{name}`' for name in unlearned)}."
    kind = kind_of(counts.values(), bool(unlearned) and not learned)
    text = sentence.strip() or "Nothing is decided: no variant was held against the first."
    return Verdict(kind, text, ())


def kind_of(counts: Iterable[Counter[str]], unlearned: bool) -> Kind:
    """The kind of a finding over several comparisons; see `verdict_over`.

    Args:
        counts: of the calls of each variant.
        unlearned: whether nobody learned anywhere.
    """
    counts = list(counts)
    if unlearned:
        return "unlearned"
    if any(calls["beats"] and not calls["loses"] for calls in counts):
        return "beats"
    if not counts:
        return "none"
    lost = any(calls["loses"] for calls in counts)
    return "loses" if lost and not any(calls["beats"] for calls in counts) else "undecided"


@dataclass(frozen=True)
class TasksScreen:
    """A comparison over several tasks on a terminal: the verdict, then the table.

    Args:
        matrix: the comparison.
        verdicts: of each column, by its name.
        explain: print how to read it, too.
    """

    matrix: Matrix
    verdicts: Mapping[str, Verdict]
    explain: bool = False

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The parts, one below the other."""
        finding = self.matrix.finding or verdict_over(self.matrix, self.verdicts)
        yield from lines_of(finding, options.max_width)
        yield cell("")
        shown = {*self.matrix.shown}
        what = f": {shown.pop()}" if len(shown) == 1 else ""  # else the notes tell them apart
        yield cell(f"{self.matrix.title}{what}", "bold")
        yield self._table(*self.matrix.cells())
        yield cell("")
        if self.matrix.axes:
            yield cell(f"difference to {self.matrix.variants[0]} at each value, on valid", "bold")
            yield self._table(*self.matrix.verdict_cells())
            yield cell("")
        if self.explain:
            yield formats.rich_list(self.matrix.notes())
        else:
            yield cell("how to read this: --explain", "dim")

    def _table(self, header: list[str], rows: list[list[str]]) -> Table:
        """A table of variants and columns in the colours of the calls."""
        from rich.text import Text

        lines = [title.replace(", ", "\n") for title in header]  # a line for each quantity
        table = formats.rich_table(lines, [], left=1)
        for row in rows:
            styles = [self._style(row[0], column.name) for column in self.matrix.columns]
            cells = zip(row, ["bold", *styles, ""][: len(row)], strict=True)
            plain = row[0] not in self.matrix.variants  # ceiling and chance
            shown = [
                Text(printable(text), style="dim" if plain else style) for text, style in cells
            ]
            table.add_row(*shown)
        return table

    def _style(self, variant: str, column: str) -> str:
        verdict = self.verdicts.get(column)
        rows = verdict.rows if verdict is not None else ()
        call = next((row.call for row in rows if row.variant == variant), None)
        return "" if call in (None, "undecided") else CALLS[str(call)][1]


def sweep_of(matrix: Matrix) -> tuple[str, list[float]] | None:
    """The option and the numbers that a sweep went through; None for other comparisons."""
    parts = [re.fullmatch(r"(.+)-(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", c.name) for c in matrix.columns]
    options = {part[1] for part in parts if part is not None}
    one_task = len({column.task for column in matrix.columns}) == 1
    if not one_task or len(options) != 1 or not all(parts) or len(parts) < 2:
        return None
    return options.pop(), [float(part[2]) for part in parts if part is not None]


def _calls(variant: str, verdicts: Mapping[str, Verdict]) -> Counter[str]:
    """The calls of the best row of a variant, counted over the tasks."""
    calls = Counter[str]()
    for verdict in verdicts.values():
        first = next((row.call for row in verdict.rows if row.variant == variant), None)
        if first is not None:
            calls[first] += 1
    return calls


def _tally(calls: Counter[str], tasks: int) -> str:
    known = [f"{words} on {calls[call]}" for call, words in _SAID.items() if calls[call]]
    return f"{', '.join(known)} of {formats.counted(tasks, 'task')}"
