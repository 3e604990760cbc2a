"""The result of a search: finalists with intervals, trials, chance and ceiling, and what failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from attenergy.registry import ArgumentError
from attenergy.registry.printable import markdown
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.results import formats
from attenergy.search.results.columns import COSTS, cost_cells, cost_headers, cost_note
from attenergy.search.results.pareto import (
    BEYOND,
    Compromise,
    compromises,
    front_cells,
    front_title,
    limit_notes,
)
from attenergy.search.results.ranking import (
    Failure,
    Row,
    columns_of,
    failures,
    rank,
    reference_row,
)
from attenergy.search.results.sequential import least_seeds
from attenergy.search.results.tuning import tuning_notes
from attenergy.search.results.verdict import LEVEL, Verdict, decide
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task


@dataclass(frozen=True)
class Leaderboard:
    """Rows ordered by validation score, finalists first, between chance and ceiling."""

    task: str
    metric: str
    baseline: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: float | None
    ceiling: dict[str, dict[str, float] | None]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    verdict: Verdict
    #: with several objectives, or with limits of cost, the configurations within the limits that
    #: no other beats in all objectives, or in score and limited costs
    front: tuple[Compromise, ...] = ()
    #: cost -> the most that a configuration may have of it
    cost_limits: dict[str, float] = field(default_factory=dict)
    #: variant -> proposals that were known to be beyond the limits, and were not trained
    untrained: dict[str, int] = field(default_factory=dict)

    def markdown(self, trials: int | None = None) -> str:
        """The page; `trials` limits how many configurations that are not finalists are shown."""
        header, rows = self._cells(trials)
        parts = [
            markdown(f"# {self.task}: {self.metric}"),
            markdown(self.verdict.sentence, code=True),
            formats.markdown_table(header, rows),
        ]
        header, rows = self._difference_cells()
        if rows:
            parts += [
                markdown(f"## {self._difference_title()}"),
                formats.markdown_table(header, rows),
            ]
        if self.front:
            parts.append(f"## {front_title(self.front, bool(self.cost_limits))}")
            parts.append(formats.markdown_table(*front_cells(self.front, with_settings=True)))
        if self.failures:
            parts.append("## Runs without a score")
            parts.append(formats.markdown_table(_FAILURE_HEADER, self._failure_cells()))
        parts.append("## How to read this")
        parts.append("\n".join(f"- {markdown(note, code=True)}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def json(self) -> str:
        """Everything as JSON: raw numbers, no rounding."""
        return json.dumps(asdict(self), indent=2)

    def _shown(self, trials: int | None) -> list[Row]:
        others = [row for row in self.rows if not row.final]
        return [row for row in self.rows if row.final] + others[:trials]

    def _cells(self, trials: int | None) -> tuple[list[str], list[list[str]]]:
        header = ["#", "variant", "settings", *self.columns, "seeds", *cost_headers()]
        rows = []
        for row in self._shown(trials):
            name = row.variant + ("*" if row.baseline else "") + (BEYOND if row.beyond else "")
            scores = [formats.score(row.scores.get(column)) for column in self.columns]
            costs = cost_cells(row.cost)
            about = formats.settings(row.settings)
            rows.append([f"{row.rank}", name, about, *scores, row.seeds_shown, *costs])
        blank = [""] * (1 + len(COSTS))
        ceilings = [
            formats.estimate(value["value"], value["error"]) if value else formats.NOTHING
            for value in map(self.ceiling.get, self.columns)
        ]
        chance = formats.NOTHING if self.chance is None else f"{self.chance:.3f}"
        rows.append(["", "ceiling", "", *ceilings, *blank])
        rows.append(["", "chance", "", *[chance] * len(self.columns), *blank])
        return header, rows

    def _difference_title(self) -> str:
        return f"Difference to {self.baseline}, paired by seed, with 95 % interval"

    def _difference_cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [f"{row.rank}", row.variant]
            + [
                cell
                for column in self.columns
                for cell in (
                    formats.difference(row.differences.get(column)),
                    formats.p_value(row.p_values.get(column)),
                )
            ]
            for row in self.rows
            if row.differences
        ]
        header = [cell for column in self.columns for cell in (column, "p")]
        return ["#", "variant", *header], rows

    def _failure_cells(self) -> list[list[str]]:
        return [
            [f.variant, formats.settings(f.settings), f"{f.seed}", f.status, f.reason]
            for f in self.failures
        ]


_SAME_FLOPS = 1.05  # ratio of the largest to the smallest budget that still counts as equal
_FAILURE_HEADER = ["variant", "settings", "seed", "status", "reason"]


def leaderboard(
    records: Sequence[RunRecord],
    task: Task,
    *,
    baseline: str = "softmax",
    objectives: Sequence[str] = (),
    cost_limits: Mapping[str, float] | None = None,
    untrained: Mapping[str, int] | None = None,
) -> Leaderboard:
    """Finalists, trials, chance and ceilings of one study, ordered by validation score.

    Test and ood scores are shown and never used to order or choose; see `ranking.rank`.

    Args:
        records: the runs of one study, of any status.
        task: the task they were trained on, for its metric, chance and ceilings.
        baseline: the variant to mark.
        objectives: of the search, if it has several.
        cost_limits: of the search; rows that are beyond them are marked and come last.
        untrained: how many proposals of each variant were not trained for them.

    Raises:
        ValueError: if records of different tasks are mixed.
    """
    tasks = {record.config.task for record in records}
    if len(tasks) > 1:
        raise ArgumentError(f"records of several tasks cannot be ranked together: {sorted(tasks)}")
    columns = columns_of(task)
    limits = CostLimits(cost_limits or {})
    rows = rank(records, task.metric, columns, baseline, limits)
    ceilings = {column: _ceiling(task, split) for column, split in columns.items()}
    chance, ceiling = task.chance.get(task.metric), ceilings.get("valid")
    verdict = decide(
        rows,
        reference_row(rows, records, task.metric),
        "valid",
        chance,
        ceiling["value"] if ceiling else None,
    )
    return Leaderboard(
        task=records[0].config.task if records else task.name,
        metric=task.metric,
        baseline=baseline,
        columns=tuple(columns),
        rows=rows,
        chance=chance,
        ceiling=ceilings,
        failures=failures(records),
        notes=(*limit_notes(rows, limits, untrained or {}), *_notes(records, rows, baseline)),
        verdict=verdict,
        front=compromises(records, rows, task, objectives, limits),
        cost_limits=limits.most,
        untrained=dict(untrained or {}),
    )


def _ceiling(task: Task, split: str) -> dict[str, float] | None:
    ceiling = task.ceiling(split)
    if ceiling is None:
        return None
    return {
        "value": ceiling.value,
        "error": ceiling.error,
        "instances": ceiling.instances,
    }


def _notes(records: Sequence[RunRecord], rows: Sequence[Row], baseline: str) -> tuple[str, ...]:
    finals = [r for r in records if r.purpose != "trial"]
    trials = [r for r in records if r.purpose == "trial"]
    notes = ["Order and choice use `valid` only; the other scores were never looked at to choose."]
    if any(row.final for row in rows):
        seeds = sorted({r.config.seed for r in finals})
        fewer = ""
        if len({len(row.seeds) for row in rows if row.final}) > 1:
            fewer = " Some have fewer: who is decided gets no more."
        notes.append(
            f"Finalists: mean over seeds {formats.listed(seeds)} and half of the 95 % interval "
            f"(Student's t, each row by itself), without the trials that chose them.{fewer}"
        )
    if any(not row.final for row in rows):
        notes.append("Rows without an interval are trials of one seed: too little to rank closely.")
    notes += [f"The model is {text}." for text in formats.models(r.config for r in records)]
    notes.append(_fairness(finals, trials))
    notes += tuning_notes(records) or _tuning(trials, baseline)
    tests = sum(bool(row.differences) for row in rows)
    if tests:
        notes.append(
            f"p: paired differences, two-sided, valid after every seed, corrected (Holm) for the "
            f"number of rows compared in one column, {tests}; p <= {LEVEL:g} needs "
            f"{least_seeds(tests, LEVEL)} seeds or more. Intervals of a column are of one look "
            "(Student's t), the bounds of a call hold at every look; calls go by p."
        )
    if any(row.final and row.tried > len(row.seeds) for row in rows):
        notes.append(
            "Seeds without a score are left out of means and pairs, which flatters what diverges."
        )
    if not any(row.baseline and row.final for row in rows):
        notes.append(f"The baseline `{baseline}` has no finished runs over seeds.")
    else:
        notes.append(f"* marks the baseline, `{baseline}`.")
    lost = Counter(r.status for r in records if r.status != "complete")
    if lost:
        numbers = ", ".join(f"{number} {status}" for status, number in sorted(lost.items()))
        notes.append(f"{numbers} of {len(records)} runs gave no score.")
    notes.append(cost_note())
    notes.append(f"Versions: {_versions(records)}.")
    return tuple(notes)


def _fairness(finals: Sequence[RunRecord], trials: Sequence[RunRecord]) -> str:
    amounts, units = list[str](), list[str]()
    for name, group in (("finalists", finals), ("trials", trials)):
        if not group:
            continue
        unit, amount = _budget(group)
        if not unit:
            return f"No fairness: {name} were trained {amount}."
        units.append(unit)
        amounts.append(f"{name} {amount}")
    if len(set(units)) > 1:
        if both := _equal_flops([*finals, *trials]):
            return f"Unit of fairness: equal training FLOPs ({both} for every run)."
        return f"No fairness between finalists and trials: {'; '.join(amounts)}."
    unit = units[0] if units else "training steps"
    return f"Unit of fairness: equal {unit} ({'; '.join(amounts) or 'no runs yet'})."


def _tuning(trials: Sequence[RunRecord], baseline: str) -> list[str]:
    """How often the baseline was tried, and how often the others; empty without two variants."""
    counts = Counter(record.config.variant for record in trials)
    mine = counts.pop(baseline, 0)
    if not mine or not counts:
        return []
    most, number = counts.most_common(1)[0]
    tried = formats.counted(mine, "trial")
    return [f"Tuning: {tried} of the baseline; `{most}`, the most tried other, had {number}."]


def _budget(records: Sequence[RunRecord]) -> tuple[str, str]:
    """What runs have in common, and how much of it; an empty unit if nothing."""
    records = [r for r in records if r.config.pause is None] or records
    seconds = {r.config.seconds for r in records}
    if None not in seconds and len(seconds) == 1:
        return "seconds of training", f"{seconds.pop():g} s"
    kinds = sorted({(r.config.training.steps, r.config.training.batch_size) for r in records})
    if len(kinds) == 1 and seconds == {None}:
        return "training steps", f"{kinds[0][0]} steps of {kinds[0][1]} instances"
    if about := _equal_flops(records):
        return "training FLOPs", about
    return "", f"for different steps or batches, {kinds}"


def _equal_flops(records: Sequence[RunRecord]) -> str:
    """About how many training FLOPs every run had; empty if they differ."""
    flops = [r.cost.get("training_flops", 0.0) for r in records if r.status == "complete"]
    # Whole steps are counted, so budgets differ by a part of one.
    same = flops and min(flops) > 0 and max(flops) < _SAME_FLOPS * min(flops)
    return f"about {formats.count(max(flops))} FLOPs" if same else ""


def _versions(records: Sequence[RunRecord]) -> str:
    seen: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record.versions.items():
            seen.setdefault(name, {})[version] = None
    return (
        ", ".join(
            f"{name} {' and '.join(map(formats.version, versions))}"
            for name, versions in seen.items()
        )
        or "unknown"
    )
