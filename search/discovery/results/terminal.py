"""The end of a discovery on a terminal: the sentence, the formulas, filters, rungs, controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from attenergy.analysis.result import Table
from attenergy.registry.printable import printable
from attenergy.search.discovery.results import tables
from attenergy.search.discovery.results.discovery import Discovery, Formula
from attenergy.search.discovery.results.finding import Finding
from attenergy.search.discovery.results.order import best, last_score
from attenergy.search.report.columns import Look, aligned, cell, cut
from attenergy.search.report.terminal import lines_of
from attenergy.search.results import formats

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from attenergy.search.report.columns import Cell

_MOST = 5  # formulas
_OTHERS = 60  # columns that names of formulas, costs and nearest energies take
NOTES = (
    "Scores: 0 is chance, 1 the ceiling of the task; one seed each, so that the order of close "
    "scores is luck. The finals decide, over many seeds.",
    "cost: of one step, as a multiple of softmax's. length: nodes of the formula in normal form.",
    "nearest, distance: the known energy whose behaviour on fixed probes is nearest, up to "
    "parameters, scale and shift; 0 is the same energy in other words.",
    "correlation: Spearman's, between the scores on one rung and on the next, of formulas that "
    "went on whatever their score; a rung that is known not to predict is not used.",
    "random: formulas drawn from the grammar, with the same filters, rungs and seconds.",
)


@dataclass(frozen=True, eq=False)
class DiscoveryScreen:
    """What was discovered, as a terminal of any width shows it.

    Attributes:
        discovery: with its formulas.
        finding: the sentence, and what it stands on.
        explain: print how to read it, too.
    """

    discovery: Discovery
    finding: Finding
    explain: bool = False

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The parts, one below the other."""
        look = Look(options.max_width, options.ascii_only)
        yield from lines_of(self.finding.verdict, options.max_width)
        yield from self._formulas(look)
        for table in tables.shown(
            [
                tables.against(self.finding, short=True),
                tables.equal_seconds(self.discovery),
                tables.rungs(self.discovery),
                tables.filters(self.discovery),
            ]
        ):
            yield from _shown(table, look)
        yield cell("")
        yield (
            formats.rich_list(NOTES) if self.explain else cell("how to read this: --explain", "dim")
        )

    def _formulas(self, look: Look) -> Iterator[RenderableType]:
        """Two lines for each of the best: its numbers, and the formula."""
        from rich.text import Text

        shown = _leaders(self.discovery, self.finding.winner)
        if not shown:
            return
        yield from _title(f"the best of {len(self.discovery.population)} formulas", "one seed each")
        rungs = [r for r in self.discovery.rungs if any(r in f.scores for f in shown)]
        names = list(rungs)
        if sum(map(len, rungs)) > look.width - _OTHERS:  # then a line below says which is which
            names = [f"rung {place}" for place, _ in enumerate(rungs, start=1)]
        header = ["name", *names, "cost", "length", "nearest", "distance"]
        rows: list[list[Cell]] = [[cell(title, "bold") for title in header]]
        for formula in shown:
            rows.append(
                [
                    cell(formula.name, "bold"),
                    *(cell(tables.score(formula.scores.get(rung))) for rung in rungs),
                    cell(tables.cost(formula.cost)),
                    cell(f"{formula.length}"),
                    cell(formula.nearest or formats.NOTHING),
                    cell(formats.number(formula.distance)),
                ]
            )
        head, *lines = aligned(rows, look, words=(0, len(header) - 2))
        yield head
        for formula, line in zip(shown, lines, strict=True):
            yield line
            text = cut(printable(formula.formula, lines=False), look.width - 3)
            yield Text("   ").append_text(cell(text, "dim"))
        if names != rungs:
            pairs = zip(names, rungs, strict=True)
            for part in wrap("; ".join(": ".join(each) for each in pairs), look.width):
                yield cell(part, "dim")


def _leaders(discovery: Discovery, winner: Formula | None) -> list[Formula]:
    """The winner, the best formulas on the highest rungs, and the best of each control."""
    ranked = best(discovery)
    first = [winner] if winner is not None and last_score(winner, discovery.rungs)[0] >= 0 else []
    chosen = [*first, *ranked[:_MOST]]
    chosen += [f for arm in ("registry", "random") for f in best(discovery, arm)[:1]]
    return list({formula.number: formula for formula in chosen}.values())


def _shown(table: Table, look: Look) -> Iterator[RenderableType]:
    yield from _title(table.title, "")
    lines = [[cell(text, "bold") for text in table.header]]
    lines += [[cell(text) for text in row] for row in table.rows]
    yield from aligned(lines, look, words=range(table.texts))


def _title(text: str, about: str) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text("")
    yield Text.assemble((printable(text), "bold"), (f"  {about}" if about else "", "dim"))
