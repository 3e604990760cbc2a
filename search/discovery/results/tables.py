"""The tables of a discovery as texts, which terminal, page and Markdown show alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attenergy.analysis.result import Table
from attenergy.search.discovery.results.discovery import Discovery, Formula
from attenergy.search.discovery.results.finding import CONTROLS, Finding
from attenergy.search.discovery.results.order import at_equal_seconds, best, spent
from attenergy.search.results import formats

#: Rows of the best formulas.
MOST = 10


def best_formulas(discovery: Discovery, winner: Formula | None = None, most: int = MOST) -> Table:
    """The best of all arms, with the score on every rung; the winner, if any, stands first."""
    ranked = best(discovery)
    shown = ranked[:most]
    for arm in ("registry", "random"):
        first = next((f for f in ranked if f.arm == arm), None)
        if first is not None and first not in shown:
            shown.append(first)
    if winner is not None:
        shown = [winner, *(f for f in shown if f.number != winner.number)]
    header = ["name", "formula", *discovery.rungs, "cost", "length", "nearest", "distance"]
    rows = [
        [
            formula.name,
            formula.formula,
            *(score(formula.scores.get(rung)) for rung in discovery.rungs),
            cost(formula.cost),
            f"{formula.length}",
            formula.nearest or formats.NOTHING,
            formats.number(formula.distance),
        ]
        for formula in shown
    ]
    return Table("The best formulas", header, rows, 2)


def filters(discovery: Discovery) -> Table:
    """How many formulas each filter rejected, and how long it took for all that came to it."""
    rows, total = [], sum(each.count for each in discovery.rejected.values())
    passed = discovery.passed.count if discovery.passed else written(discovery)
    came = total + passed
    for name, each in discovery.rejected.items():
        share = each.count / came if came else 0.0
        mean = each.milliseconds / came if came else 0.0
        rows.append([name, f"{came}", f"{each.count}", f"{share:.0%}", formats.fixed(mean, 2)])
        came -= each.count
    rows.append(["passed", f"{passed}", "", "", ""])
    header = ["filter", "came to it", "rejected", "share", "ms each"]
    return Table("What was rejected before any training", header, rows)


def rungs(discovery: Discovery) -> Table:
    """How well every rung orders what the next one says, and whether it was used."""
    rows = [
        [
            each.rung,
            each.following,
            _fixed(each.correlation, 2, "+"),
            _interval(each.low, each.high),
            f"{each.pairs}",
            "yes" if each.used else "no",
        ]
        for each in discovery.predictions
    ]
    header = ["rung", "next", "correlation", "95 %", "pairs", "used"]
    return Table("How well a rung predicts the next", header, rows, 2)


def equal_seconds(discovery: Discovery) -> Table:
    """Evolved formulas beside random ones when both had spent the same time."""
    rows = [
        [
            each.rung,
            formats.rough_time(each.seconds),
            formats.fixed(each.evolved),
            formats.fixed(each.random),
            f"{each.counts[0]}",
            f"{each.counts[1]}",
        ]
        for each in at_equal_seconds(discovery)
    ]
    header = ["rung", "after", "evolved", "random", "evolved, tried", "random, tried"]
    return Table("Evolved and random formulas at equal seconds", header, rows)


def against(finding: Finding, *, short: bool = False) -> Table:
    """The winner against every control on every task.

    Args:
        finding: of the finals.
        short: without what a control is, p and seeds, for a terminal.
    """
    rows = [
        [
            each.task + (" (held out)" if each.held_out else ""),
            each.control.name,
            CONTROLS[each.control.role] or "the baseline",
            formats.signed(each.difference),
            _interval(each.low, each.high, 3),
            formats.p_value(each.p),
            f"{each.seeds}",
            each.call,
        ]
        for each in finding.against
    ]
    header = ["task", "against", "which is", "difference", "95 %", "p", "seeds", "call"]
    title = "The winner against what it was held against"
    if short:
        chosen = [0, 1, 3, 4, 7]
        rows = [[row[place] for place in chosen] for row in rows]
        return Table(title, [header[place] for place in chosen], rows, 2)
    return Table(title, header, rows, 3)


def ablation(discovery: Discovery) -> Table:
    """What is lost without each part of the winner, on every rung that was tried."""
    columns = [r for r in discovery.rungs if any(r in each.scores for each in discovery.ablations)]
    whole = discovery.ablations[0].scores if discovery.ablations else {}
    rows = []
    for each in discovery.ablations:
        cells = [each.what, each.formula + (f" ({each.reason})" if each.reason else "")]
        for rung in columns:
            cells += [score(each.scores.get(rung)), _lost(whole.get(rung), each.scores.get(rung))]
        rows.append(cells)
    header = ["without", "what is left", *(h for rung in columns for h in (rung, "lost"))]
    return Table("What each part of the winner is good for", header, rows, 2)


def laws(discovery: Discovery) -> Table:
    """The laws on the winner, as `attenergy energies check` prints them."""
    words = {True: "pass", False: "FAIL", None: "n/a"}
    rows = [
        [
            each.law,
            words[each.passed],
            each.note,
            "" if each.figure is None else f"{each.figure:.1e}",
        ]
        for each in discovery.laws
    ]
    return Table("Laws", ["law", "", "what it is", "figure"], rows, 3)


def arms(discovery: Discovery) -> Table:
    """What every arm evaluated, and what it spent."""
    rows = []
    for arm in ("registry", "evolved", "random"):
        formulas = [f for f in discovery.population if f.arm == arm]
        if formulas:
            niches = {formula.niche for formula in formulas}
            seconds = formats.rough_time(spent(discovery, arm))
            rows.append([arm, f"{len(formulas)}", f"{len(niches)}", seconds])
    return Table("Arms", ["arm", "evaluated", "niches", "time"], rows)


def written(discovery: Discovery) -> int:
    """How many formulas passed the filters that the search wrote itself."""
    return sum(formula.arm != "registry" for formula in discovery.population)


def score(value: float | None) -> str:
    """`0.731`; what was not tried, and what gave none."""
    if value is None:
        return formats.NOTHING
    return formats.fixed(value) if math.isfinite(value) else "none"


def cost(value: float | None) -> str:
    """`1.25`, of softmax's."""
    return _fixed(value, 2)


def _fixed(value: float | None, digits: int, sign: str = "") -> str:
    return formats.NOTHING if value is None else formats.fixed(value, digits, sign)


def _lost(whole: float | None, left: float | None) -> str:
    if whole is None or left is None or not math.isfinite(whole):
        return formats.NOTHING
    return "all" if not math.isfinite(left) else formats.signed(left - whole)


def _interval(low: float | None, high: float | None, digits: int = 2) -> str:
    if low is None or high is None:
        return formats.NOTHING
    return f"{formats.fixed(low, digits, '+')} to {formats.fixed(high, digits, '+')}"


def shown(tables: Sequence[Table]) -> list[Table]:
    """The tables that have rows."""
    return [table for table in tables if table.rows]
