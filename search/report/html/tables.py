"""The tables of a page as plain data: texts ready to show, and places between 0 and 100."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from attenergy.registry import EnergySpec, StackSpec
from attenergy.registry.stacks import entries_of
from attenergy.search.report.html.stacks import drawings
from attenergy.search.report.html.study_view import View
from attenergy.search.report.terminal import CALLS, badge
from attenergy.search.results import formats
from attenergy.search.results.columns import COSTS, cost_cells, cost_headers
from attenergy.search.results.ranking import Row, short_settings, varying_in
from attenergy.search.results.solving import count_solved
from attenergy.search.results.statistics import Interval
from attenergy.search.results.verdict import Verdict
from attenergy.search.runs.config import RunRecord

_MOST_STACKS = 12  # that are drawn
_PROPOSERS = {
    "default": "entries' own values",
    "sampler": "sampler",
    "matched": "sampler, for a variant that had fewer trials",
    "control": "random control",
    "enqueued": "enqueued by hand",
    "earlier": "earlier studies",
}


def leaderboard(view: View, most: int = 10) -> dict[str, Any]:
    """Finalists and single trials (at most `most`) with a bar for each score; ceiling, chance."""
    board = view.board
    spans = {column: _span(view, column) for column in board.columns}
    others = [row for row in board.rows if not row.final]
    ceilings = {c: value["value"] for c, value in board.ceiling.items() if value is not None}
    least = view.solved_from
    costs = [i for i, column in enumerate(COSTS) if _differs(view, column.key)]
    return {
        "columns": board.columns,
        "costs": [cost_headers()[i] for i in costs],
        "called": bool(board.verdict.rows),
        "baseline": board.baseline,
        "solved": least is not None,
        "finals": [_row(view, row, spans, costs, least) for row in view.finals],
        "trials": [_row(view, row, spans, costs) for row in others[:most]],
        "hidden": len(others) - len(others[:most]),
        "ceiling": [_plain(ceilings.get(column)) for column in board.columns],
        "chance": _plain(board.chance),
    }


def differences(view: View) -> list[list[str]]:
    """Rank, variant, and for each column the difference to the baseline and its p value."""
    return [
        [
            f"{row.rank}",
            row.variant,
            *(
                cell
                for column in view.board.columns
                for cell in (
                    formats.difference(row.differences.get(column)),
                    formats.p_value(row.p_values.get(column)),
                )
            ),
        ]
        for row in view.finals
        if row.differences
    ]


def shown_verdict(said: Verdict) -> dict[str, str]:
    """A finding: its word, its sentence, and the command that would help."""
    return {
        "kind": said.kind,
        "word": badge(said),
        "sentence": said.sentence,
        "command": said.command,
    }


def tiles(view: View) -> list[tuple[str, str]]:
    """The study in a few numbers."""
    records = view.study.records
    counts = Counter(record.status for record in records)
    trials = sum(record.purpose == "trial" for record in records)
    seconds = sum(record.cost.get("seconds", 0.0) for record in records)
    shown = [(f"{trials}", "trials")] if trials else []
    shown.append((f"{len(records) - trials}", "runs over seeds"))
    shown += [(f"{counts[s]}", s) for s in ("pruned", "diverged", "failed") if counts[s]]
    shown.append((f"{len({r.config.variant for r in records})}", "variants"))
    shown.append((formats.duration(seconds), "of computing"))
    return shown


def energies(view: View) -> list[dict[str, Any]]:
    """What every variant is: title, source, and its formula as MathML where it has one."""
    variants = {record.config.variant: record.config.layer for record in view.study.records}
    layers = {n: layer for n, layer in variants.items() if not isinstance(layer, StackSpec)}
    for name, layer in variants.items():
        layers |= {n: part for n, part in entries_of(name, layer).items() if n not in layers}
    return [
        {
            "name": name,
            "tone": view.looks[name].tone if name in view.looks else "",
            "title": layer.title,
            "reference": layer.reference,
            **(_formula(layer) if isinstance(layer, EnergySpec) else {}),
        }
        for name, layer in layers.items()
    ]


def stacks(view: View) -> list[dict[str, Any]]:
    """The stacks of the leaderboard, the best first: a drawing, parameters, validation score."""
    drawn, shown = drawings(view), dict[str, Row]()
    for row in view.board.rows:
        if row.variant in drawn:
            shown.setdefault(row.variant, row)
    return [
        {
            "name": name,
            "tone": view.looks[name].tone,
            "svg": drawn[name],
            "parameters": formats.count(row.cost.get("parameters")),
            "valid": formats.score(row.scores.get("valid")),
        }
        for name, row in list(shown.items())[:_MOST_STACKS]
    ]


def lost(view: View) -> list[dict[str, Any]]:
    """Runs without a score: equal status, variant and reason together, the most frequent first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for failure in view.board.failures:
        group = groups.setdefault((failure.status, failure.variant, failure.reason), [])
        group.append(formats.settings({**failure.settings, "seed": failure.seed}))
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [
        {"status": status, "variant": variant, "reason": reason, "runs": runs}
        for (status, variant, reason), runs in ordered
    ]


def proposers(view: View) -> list[list[str]]:
    """Trials by who proposed them, with their best and middle score; empty for one proposer."""
    groups: dict[str, list[float]] = {}
    for record in view.trials:
        groups.setdefault(record.proposer, []).append(record.metrics["valid"][view.metric])
    if len(groups) < 2:
        return []
    return [
        [_PROPOSERS.get(who, who or "unknown"), f"{len(v)}", f"{max(v):.3f}", f"{median(v):.3f}"]
        for who, v in groups.items()
    ]


def runs(view: View, most: int = 2000) -> list[list[str]]:
    """Every run: key, variant, settings, seed, what for, outcome, score, seconds.

    Of more than `most` the best, for a browser has to hold them; the records have all.
    """
    varying = varying_in(view.study.records)
    records = view.study.records
    if len(records) > most:
        records = sorted(records, key=lambda r: view.score(r) or -math.inf, reverse=True)[:most]
    return [_run(view, record, varying) for record in records]


def _run(view: View, record: RunRecord, varying: Sequence[str]) -> list[str]:
    score = view.score(record)
    return [
        record.key,
        record.config.variant,
        formats.settings(short_settings(record.config, varying)),
        f"{record.config.seed}",
        record.purpose,
        record.status,
        _plain(score),
        formats.number(record.cost.get("seconds")),
    ]


def _row(
    view: View,
    row: Row,
    spans: dict[str, tuple[float, float]],
    costs: Sequence[int],
    least: float | None = None,
) -> dict[str, Any]:
    values = row.values.get("valid", {})
    return {
        "rank": row.rank,
        "variant": row.variant,
        "tone": view.looks[row.variant].tone,
        "baseline": row.baseline,
        "beyond": f"beyond {', '.join(row.beyond)}" if row.beyond else "",
        "settings": formats.settings(row.settings),
        "scores": [
            {
                "text": _score(row.scores.get(c), spread=least is None),
                "bar": _bar(row.scores.get(c), *spans[c]),
            }
            for c in view.board.columns
        ],
        "call": _call(view, row),
        "seeds": row.seeds_shown
        if least is None
        else f"{count_solved(values.values(), least)} of {row.tried}",
        "each": [] if least is None else [(f"{v:.3f}", v >= least) for v in values.values()],
        "cost": [cost_cells(row.cost)[i] for i in costs],
    }


def _score(value: Interval | None, *, spread: bool) -> str:
    return formats.score(value) if value is None or spread else f"{value.mean:.3f}"


def _call(view: View, row: Row) -> dict[str, str] | None:
    """How a finalist stands to the baseline, by the verdict; None for what is not held against."""
    said = next((each for each in view.board.verdict.rows if each.rank == row.rank), None)
    if said is None:
        return None
    ends = [formats.signed(end) for end in (said.low, said.high) if end is not None]
    return {
        "kind": said.call,
        "word": CALLS[said.call][0],
        "difference": formats.signed(said.difference),
        "bounds": " to ".join(ends),
        "p": formats.p_value(said.p),
    }


def _differs(view: View, cost: str) -> bool:
    """Whether a cost tells rows apart by more than a hundredth."""
    known = [row.cost[cost] for row in view.board.rows if cost in row.cost]
    return len(known) > 1 and max(known) > 1.01 * min(known)


def _span(view: View, column: str) -> tuple[float, float]:
    """The scores between which the bars of a column are drawn: chance and ceiling, or wider."""
    scores = [row.scores[column].mean for row in view.board.rows if column in row.scores]
    ceiling = view.board.ceiling.get(column)
    known = [] if ceiling is None else [ceiling["value"]]
    known += [] if view.board.chance is None else [view.board.chance]
    values = [*scores, *known] or [0.0]
    return min(values), max(values)


def _bar(score: Interval | None, low: float, high: float) -> dict[str, float] | None:
    if score is None or high <= low:
        return None

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)

    left = place(score.mean if score.low is None else score.low)
    right = place(score.mean if score.high is None else score.high)
    return {"at": place(score.mean), "left": left, "width": round(right - left, 2)}


def _plain(value: float | None) -> str:
    return formats.NOTHING if value is None else f"{value:.3f}"


def _formula(layer: EnergySpec) -> dict[str, Any]:
    from attenergy.energies import describe
    from attenergy.search.report.html.mathml import to_mathml

    try:
        description = describe(layer)
    except ValueError:  # its class belongs to a plug-in that is not installed here
        return {"formula": layer.formula or f"class {layer.class_}"}
    latex = str(description["latex"])
    return {"formula": layer.formula, "mathml": to_mathml(latex) if latex else ""}
