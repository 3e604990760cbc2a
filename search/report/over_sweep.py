"""The finding of a sweep: who is ahead where, and whether that changes along the values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from attenergy.registry import Scalar
from attenergy.search.report.over_tasks import kind_of, verdict_over
from attenergy.search.results import formats
from attenergy.search.results.sequential import least_seeds
from attenergy.search.results.statistics import Interval, mean_interval
from attenergy.search.results.task_table import Column, Matrix
from attenergy.search.results.verdict import LEVEL, RowVerdict, Verdict

#: Variants that are named in the sentence; the others stand in the table.
_MOST_NAMED = 4
_SAID = {"beats": "beats", "loses": "loses to", "undecided": "is undecided beside"}


def with_finding(matrix: Matrix) -> Matrix:
    """The table with what all columns say together; nothing for one of earlier days."""
    verdicts = {c.name: c.verdict for c in matrix.columns if c.verdict is not None}
    if not verdicts:
        return matrix
    over = verdict_over_sweep(matrix) if matrix.axes else verdict_over(matrix, verdicts)
    return replace(matrix, finding=over)


@dataclass(frozen=True)
class Lead:
    """One variant beside the first one, along a sweep.

    Attributes:
        variant: its name.
        rows: value, or point -> what was decided there.
        change: of the difference from the least value to the greatest, paired by seed; None where
            values are no numbers of one quantity, or fewer than two seeds have both ends.
    """

    variant: str
    rows: Mapping[str, RowVerdict]
    change: Interval | None

    @property
    def calls(self) -> Counter[str]:
        """How often it beats the first one, loses to it, is undecided."""
        return Counter(str(row.call) for row in self.rows.values())


def leads(matrix: Matrix) -> list[Lead]:
    """What was decided of every variant but the first, at the values where somebody learned."""
    columns = _along(matrix)
    known = []
    for variant in matrix.variants[1:]:
        rows = {_value(matrix, c): row for c in columns if (row := _row(c, variant)) is not None}
        if rows:
            known.append(Lead(variant, rows, _change(matrix, columns, variant)))
    return sorted(known, key=lambda lead: lead.calls["loses"] - lead.calls["beats"])


def verdict_over_sweep(matrix: Matrix) -> Verdict:
    """Who beats the first variant at which values, and whether the difference grows or shrinks.

    Each value is decided by itself, at its own 5 %. A difference grows or shrinks if the 95 %
    interval (Student's t) of its change from the least to the greatest value, paired by seed, does
    not hold 0. The kind is that of a comparison over tasks.

    Args:
        matrix: of a sweep.
    """
    every = leads(matrix)
    unlearned = [c for c in matrix.columns if c.verdict and c.verdict.kind == "unlearned"]
    first, many = matrix.variants[0], len(matrix.columns)
    parts = [_part(lead, first, _axis(matrix), many) for lead in every[:_MOST_NAMED]]
    if len(every) > _MOST_NAMED:
        parts.append(f"{len(every) - _MOST_NAMED} more stand in the table")
    sentences = [f"On `valid`, {'; '.join(parts)}."] if parts else []
    if few := _too_few(every):
        sentences.append(few)
    if unlearned:
        where = _listed(_value(matrix, column) for column in unlearned)
        sentences.append(f"Nobody learned at {_axis(matrix)} {where}.")
    text = " ".join(sentences) or "Nothing is decided: no variant was held against the first."
    kind = kind_of((lead.calls for lead in every), bool(unlearned) and not every)
    return Verdict(kind, text, ())


def _part(lead: Lead, first: str, axis: str, many: int) -> str:
    """What is said of one variant."""
    where = {call: [v for v, row in lead.rows.items() if row.call == call] for call in _SAID}
    said = [
        f"{words} `{first}` at {_where(where[call], axis, many)}"
        for call, words in _SAID.items()
        if where[call]
    ]
    text = f"`{lead.variant}` " + ", ".join(said)
    ends = [next(iter(lead.rows.values())), list(lead.rows.values())[-1]]
    before, after = (row.difference for row in ends)
    if lead.change is None or lead.change.low is None or lead.change.high is None:
        if len(lead.rows) == 1:
            return f"{text} ({formats.signed(before)})"
        worst, best = (f([r.difference for r in lead.rows.values()]) for f in (min, max))
        return f"{text} (differences {formats.signed(worst)} to {formats.signed(best)})"
    values = list(lead.rows)
    span = f"{formats.signed(before)} at {values[0]} to {formats.signed(after)} at {values[-1]}"
    if lead.change.low <= 0 <= lead.change.high:
        return f"{text}; the difference, {span}, changes by no more than the seeds explain"
    if before > 0 < after:
        verb = "shrinks" if after < before else "grows"
        return f"{text}; its lead {verb} from {span}"
    if before < 0 > after:
        verb = "shrinks" if after > before else "grows"
        return f"{text}; its deficit {verb} from {span}"
    return f"{text}; the difference turns from {span}"


def _too_few(every: Sequence[Lead]) -> str:
    """What to say where nothing can be called with so few seeds."""
    rows = [row for lead in every for row in lead.rows.values()]
    fewest = least_seeds(1, LEVEL)
    most = max((row.seeds for row in rows), default=fewest)
    if most >= fewest:
        return ""
    return (
        f"{formats.counted(most, 'seed')} {'is' if most == 1 else 'are'} too few to call anything "
        f"({fewest} are the fewest)."
    )


def _where(values: Sequence[str], axis: str, many: int) -> str:
    if len(values) == many > 1:
        return f"every {axis}"
    return f"{axis} {_listed(values)}"


def _listed(values: Iterable[str]) -> str:
    *before, last = values
    return f"{', '.join(before)} and {last}" if before else last


def _axis(matrix: Matrix) -> str:
    """The quantity, or the word for a combination of several."""
    return next(iter(matrix.axes)) if len(matrix.axes) == 1 else "point"


def _value(matrix: Matrix, column: Column) -> str:
    if len(matrix.axes) == 1:
        return formats.value(next(iter(column.point.values())))
    return f"({column.title})"


def _along(matrix: Matrix) -> list[Column]:
    """The columns where somebody learned, by the values of a single quantity if it is a number."""
    known = [c for c in matrix.columns if c.verdict and c.verdict.kind not in ("unlearned", "none")]
    numbers = numbers_of(matrix)
    return known if numbers is None else sorted(known, key=lambda c: numbers[c.name])


def numbers_of(matrix: Matrix) -> dict[str, float] | None:
    """Column -> its value, where a sweep goes through the numbers of one quantity."""
    if len(matrix.axes) != 1:
        return None
    values = {column.name: next(iter(column.point.values())) for column in matrix.columns}
    return (
        {name: float(v) for name, v in values.items()}
        if all(map(_is_number, values.values()))
        else None
    )


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _row(column: Column, variant: str) -> RowVerdict | None:
    rows = column.verdict.rows if column.verdict else ()
    return next((row for row in rows if row.variant == variant), None)


def _change(matrix: Matrix, columns: Sequence[Column], variant: str) -> Interval | None:
    here = [c for c in columns if c.differences.get(variant)]
    if numbers_of(matrix) is None or len(here) < 2:
        return None
    before, after = here[0].differences[variant], here[-1].differences[variant]
    changes = [after[seed] - before[seed] for seed in sorted(before.keys() & after.keys())]
    return mean_interval(changes) if len(changes) > 1 else None
