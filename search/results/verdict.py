"""What the finals of a study say, in one word and in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from attenergy.search.results.formats import counted, signed
from attenergy.search.results.sequential import (
    anytime_interval,
    anytime_p_values,
    least_seeds,
    seeds_to_decide,
    side,
)
from attenergy.search.results.statistics import paired_differences

if TYPE_CHECKING:
    from attenergy.search.results.ranking import Row

Call = Literal["beats", "loses", "undecided"]
Kind = Literal["beats", "loses", "undecided", "unlearned", "none"]

LEVEL = 0.05
#: Share of the way from chance to the ceiling from which on a variant has learned something.
LEARNED = 0.1
#: The most variants of one call that a sentence names; the table has them all.
NAMED = 6


@dataclass(frozen=True)
class RowVerdict:
    """One finalist against the baseline, over the seeds that both have.

    `low` and `high` bound the difference at all times with 95 % (`bounds_of`); None while there are
    too few seeds to bound it. `p` is that of `anytime_p`, corrected for the number of finalists.
    `more_seeds` are likely to decide an undecided one; None if no number is in sight.
    """

    variant: str
    rank: int
    call: Call
    difference: float
    low: float | None
    high: float | None
    p: float
    seeds: int
    more_seeds: int | None


@dataclass(frozen=True)
class Verdict:
    """The finding of a study.

    `kind` is `beats` if a finalist beats the baseline, else `loses` if one loses to it, else
    `undecided`; `unlearned` if neither the finalists nor the baseline are much above chance;
    `none` if nothing was held against the baseline. `command` is a line for the shell that would
    help on; the study fills it in (`next_step`).
    """

    kind: Kind
    sentence: str
    rows: tuple[RowVerdict, ...]
    command: str = ""


def learned(score: float, chance: float | None, ceiling: float | None) -> bool:
    """Whether a score has gone a tenth of the way from chance (if none, 0) to the ceiling (1)."""
    floor = 0.0 if chance is None else chance
    top = 1.0 if ceiling is None else ceiling
    return score - floor >= LEARNED * (top - floor)


def calls(
    contenders: Mapping[str, Mapping[int, float]],
    baseline: Mapping[int, float],
    level: float = LEVEL,
) -> dict[str, tuple[Call, float]]:
    """The call and the p of each contender: a function of scores alone.

    Pairs are taken in the order of their seeds; a contender without one is left out. A direction is
    called where the evidence and the mean of the differences agree on it: one that is ahead with
    most seeds and behind in the mean, for a few that went wrong, is undecided however small its p.

    Args:
        contenders: name -> seed -> score.
        baseline: seed -> score.
        level: chance of one or more wrong calls, over all contenders and all looks.
    """
    pairs = {name: paired_differences(baseline, scores) for name, scores in contenders.items()}
    verdicts: dict[str, tuple[Call, float]] = {}
    for name, p in anytime_p_values(pairs).items():
        verdicts[name] = ("undecided" if p > level else _direction(pairs[name]), p)
    return verdicts


def _direction(differences: Sequence[float]) -> Call:
    """What strong evidence says, if the mean says the same."""
    mean, evident = fmean(differences), side(differences)
    if mean * evident <= 0:
        return "undecided"
    return "beats" if evident > 0 else "loses"


def bounds_of(differences: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The 95 % bounds of a difference at all times; None while there are too few pairs for any.

    `anytime_interval` bounds the centre of symmetry, from which the mean of lopsided differences
    may lie off: it is stretched to the mean.
    """
    if len(differences) < least_seeds():
        return None, None
    (low, high), mean = anytime_interval(differences), fmean(differences)
    return min(low, mean), max(high, mean)


def decide(
    rows: Sequence[Row],
    reference: Row | None,
    column: str,
    chance: float | None = None,
    ceiling: float | None = None,
) -> Verdict:
    """The verdict on the finalists of a leaderboard.

    Args:
        rows: of the leaderboard.
        reference: the row of the baseline that the others are held against.
        column: the scores that count, `valid`.
        chance: of the metric.
        ceiling: of the column.
    """
    finals = [row for row in rows if row.final and column in row.scores]
    others = [row for row in finals if reference and row.config_hash != reference.config_hash]
    if reference is None or column not in reference.scores or not others:
        return Verdict("none", _nothing(finals, reference), ())
    scores = {f"{row.rank}": row.values[column] for row in others}
    known = calls(scores, reference.values[column])
    open_ = sum(call == "undecided" for call, _ in known.values())
    verdicts = tuple(
        _row_verdict(row, reference, column, known[f"{row.rank}"], open_)
        for row in others
        if f"{row.rank}" in known
    )
    kind = _kind(verdicts)
    best = max(finals, key=lambda row: row.scores[column].mean)
    if not learned(best.scores[column].mean, chance, ceiling):
        kind = "unlearned"
        sentence = _unlearned(best, column, chance)
    else:
        sentence = _sentence(verdicts, reference.variant, column)
    return Verdict(kind, sentence, verdicts)


def _row_verdict(
    row: Row, reference: Row, column: str, known: tuple[Call, float], tests: int
) -> RowVerdict:
    call, p = known
    differences = paired_differences(reference.values[column], row.values[column])
    low, high = bounds_of(differences)
    return RowVerdict(
        variant=row.variant,
        rank=row.rank,
        call=call,
        difference=fmean(differences),
        low=low,
        high=high,
        p=p,
        seeds=len(differences),
        more_seeds=seeds_to_decide(differences, tests) or None if call == "undecided" else None,
    )


def _kind(verdicts: Sequence[RowVerdict]) -> Kind:
    calls = {row.call for row in verdicts}
    return next((call for call in ("beats", "loses", "undecided") if call in calls), "none")


def _sentence(verdicts: Sequence[RowVerdict], baseline: str, column: str) -> str:
    several = Counter(row.variant for row in verdicts)

    def name(row: RowVerdict) -> str:
        return f"`{row.variant}`" + (f" (row {row.rank})" if several[row.variant] > 1 else "")

    parts: list[str] = []
    for call in ("beats", "loses"):
        called = [row for row in verdicts if row.call == call]
        for row in called[:NAMED]:
            words = "beats" if call == "beats" else "loses to"
            gap = f"{abs(row.difference):.3f}{_bounds(row, call)}"
            parts.append(f"{name(row)} {words} `{baseline}` by {gap}")
        if more := len(called[NAMED:]):
            verb = ("beats", "beat") if call == "beats" else ("loses to", "lose to")
            parts.append(f"{more} more {verb[more > 1]} `{baseline}`")
    undecided = [row for row in verdicts if row.call == "undecided"]
    fewest = least_seeds(max(1, len(undecided)), LEVEL)
    few = [row for row in undecided if row.seeds < fewest]
    enough = [row for row in undecided if row.seeds >= fewest]
    parts += [_undecided(row, name(row), baseline) for row in enough[:NAMED]]
    if more := len(enough[NAMED:]):
        parts.append(f"{more} more {'is' if more == 1 else 'are'} undecided")
    if few:
        parts.append(_too_few([(name(row), row) for row in few], baseline, fewest))
    return f"On `{column}`, " + "; ".join(parts) + "."


def _bounds(row: RowVerdict, call: str) -> str:
    if row.low is None or row.high is None:
        return f" ({counted(row.seeds, 'seed')})"
    ends = (row.low, row.high) if call == "beats" else (-row.high, -row.low)
    return f" (95 %: {ends[0]:.3f} to {ends[1]:.3f}, {counted(row.seeds, 'seed')})"


def _undecided(row: RowVerdict, name: str, baseline: str) -> str:
    seeds = counted(row.seeds, "seed")
    about = f"{name} and `{baseline}` are undecided at {signed(row.difference)} after {seeds}"
    if row.p <= LEVEL:
        most = "ahead" if row.difference < 0 else "behind"
        mean = "behind" if row.difference < 0 else "ahead"
        return f"{about}: {most} with most seeds, {mean} in the mean, which a few decide"
    if row.more_seeds is not None:
        return f"{about}: about {row.more_seeds} more are likely to decide"
    ends = ""
    if row.low is not None and row.high is not None:
        ends = f" (95 %: {signed(row.low)} to {signed(row.high)})"
    return f"{about}{ends}: no number of seeds that would decide is in sight"


def _too_few(rows: Sequence[tuple[str, RowVerdict]], baseline: str, fewest: int) -> str:
    """Those with fewer seeds than anything can be called with."""
    most = max(row.seeds for _, row in rows)
    named = rows[:NAMED]
    gaps = ", ".join(f"{name} at {signed(row.difference)}" for name, row in named)
    if more := len(rows) - len(named):
        gaps += f" and {more} more"
    parts = [
        f"{counted(most, 'seed')} {'is' if most == 1 else 'are'} too few to call "
        f"({fewest} are the fewest) {gaps} beside `{baseline}`"
    ]
    parts += [
        f"about {row.more_seeds} more are likely to decide {name}"
        for name, row in named
        if row.more_seeds
    ]
    return "; ".join(parts)


def _unlearned(best: Row, column: str, chance: float | None) -> str:
    level = "" if chance is None else f", where chance gives {chance:.3f}"
    return (
        f"Nobody learned: the best finalist, `{best.variant}`, has {best.scores[column].mean:.3f} "
        f"on `{column}`{level}. Train longer; the order says nothing."
    )


def _nothing(finals: Sequence[Row], reference: Row | None) -> str:
    if not finals:
        return "Trials of one seed decide nothing: no finalist was run over seeds."
    if reference is None:
        return "Nothing is decided: the baseline has no finished runs over seeds."
    return f"Nothing is decided: no finalist but the baseline `{reference.variant}`."
