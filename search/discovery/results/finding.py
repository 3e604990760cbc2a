"""What a discovery says, in one sentence: the best formula against everything held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from attenergy.search.discovery.results.discovery import (
    FINALS,
    Discovery,
    Finalist,
    Formula,
    Role,
)
from attenergy.search.discovery.results.order import best, last_score
from attenergy.search.results.formats import counted, fixed, signed
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.ranking import Row
from attenergy.search.results.statistics import paired_differences
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.results.verdict import LEVEL, Call, Kind, Verdict, bounds_of, calls, learned
from attenergy.search.runs.names import path_part
from attenergy.search.runs.records import RECORDS

#: What a formula is held against, and how it is called in a sentence.
CONTROLS: Mapping[Role, str] = {
    "softmax": "",
    "registry": "the registry's best",
    "random": "the best random formula",
    "evolved": "the best evolved formula",
}
_LEAST = 0.0005  # difference that is shown in three digits
_WORDS: Mapping[Call, str] = {
    "beats": "beats",
    "loses": "loses to",
    "undecided": "is undecided against",
}


@dataclass(frozen=True, eq=False)
class Final:
    """The finals on one task: a comparison over seeds, and its leaderboard."""

    task: str
    held_out: bool  # the task was not used in the search
    study: Study
    board: Leaderboard

    def row(self, name: str) -> Row | None:
        """The best row of a variant that has scores on `valid`."""
        rows = (r for r in self.board.rows if r.variant == name and r.final)
        return next((row for row in rows if "valid" in row.scores), None)

    def share(self, name: str) -> float | None:
        """Where the mean score of a variant lies between chance (0) and ceiling (1)."""
        row = self.row(name)
        if row is None:
            return None
        low = self.board.chance or 0.0
        ceiling = self.board.ceiling.get("valid")
        high = 1.0 if ceiling is None else ceiling["value"]
        return (row.scores["valid"].mean - low) / (high - low) if high > low else None

    @property
    def learned(self) -> bool:
        """Whether anybody is well above chance."""
        ceiling = self.board.ceiling.get("valid")
        top = None if ceiling is None else ceiling["value"]
        means = [r.scores["valid"].mean for r in self.board.rows if r.final and "valid" in r.scores]
        return any(learned(mean, self.board.chance, top) for mean in means)


@dataclass(frozen=True)
class Against:
    """The winner against one control on one task: `call` is that of the winner.

    `p` is corrected for all finalists that are held against the control.
    """

    task: str
    held_out: bool
    control: Finalist
    call: Call
    difference: float
    low: float | None
    high: float | None
    p: float
    seeds: int


@dataclass(frozen=True)
class Finding:
    """The sentence, and what it stands on."""

    verdict: Verdict
    winner: Formula | None
    against: tuple[Against, ...] = ()


def read_finals(folder: Path, discovery: Discovery) -> tuple[Final, ...]:
    """The finals of a discovery that have been run, in the order of its tasks."""
    finals = []
    for task in (*discovery.tasks, *discovery.held_out):
        place = folder / FINALS / path_part(task)
        if not (place / RECORDS).is_file() or not place.resolve().is_relative_to(folder.resolve()):
            continue
        study = read_study(place)
        held_out = task in discovery.held_out
        finals.append(Final(task, held_out, study, study.leaderboard()))
    return tuple(finals)


def winner_of(discovery: Discovery, finals: Sequence[Final]) -> Formula | None:
    """The best formula that the search wrote, at random or not; None if none has a score.

    With finals the one with the highest score between chance and ceiling, averaged over the tasks
    of the search; held-out tasks choose nothing. Without, the one that got farthest on the ladder.
    """
    own = [f for f in discovery.finalists if f.role in {"evolved", "random"}]
    shares: dict[str, float] = {}
    for finalist in own:
        known = [final.share(finalist.name) for final in finals if not final.held_out]
        if known and all(share is not None for share in known):
            shares[finalist.name] = fmean(share for share in known if share is not None)
    for name in sorted(shares, key=lambda name: -shares[name]):
        if name in discovery.by_name:
            return discovery.by_name[name]
    ranked = best(discovery, "evolved") or best(discovery, "random")
    return ranked[0] if ranked else None


def judge(discovery: Discovery, finals: Sequence[Final]) -> Finding:
    """What was discovered, and whether it beats what it was held against."""
    winner = winner_of(discovery, finals)
    if winner is None:
        return Finding(Verdict("none", _nothing(discovery), ()), None)
    against = tuple(a for final in finals for a in _against(discovery, final, winner))
    if not against:
        return Finding(Verdict("none", _no_finals(discovery, winner), ()), winner)
    return Finding(_verdict(discovery, finals, winner, against), winner, against)


def _against(discovery: Discovery, final: Final, winner: Formula) -> list[Against]:
    """The winner against the best of each kind of control on one task."""
    row = final.row(winner.name)
    if row is None:
        return []
    controls: dict[Role, tuple[Finalist, Row]] = {}
    for finalist in discovery.finalists:
        other = final.row(finalist.name)
        if other is None or finalist.name == winner.name or finalist.role == _role(winner):
            continue
        present = controls.get(finalist.role)
        if present is None or other.scores["valid"].mean > present[1].scores["valid"].mean:
            controls[finalist.role] = (finalist, other)
    rows = []
    for role in CONTROLS:
        if role not in controls:
            continue
        control, other = controls[role]
        decided = calls(_contenders(discovery, final, control), other.values["valid"])
        if winner.name not in decided:  # no seed in common
            continue
        call, p = decided[winner.name]
        gaps = paired_differences(other.values["valid"], row.values["valid"])
        low, high = bounds_of(gaps)
        rows.append(
            Against(
                *(final.task, final.held_out, control, call, fmean(gaps), low, high, p),
                seeds=len(gaps),
            )
        )
    return rows


def _contenders(
    discovery: Discovery, final: Final, control: Finalist
) -> dict[str, dict[int, float]]:
    """The scores of all finalists but one control.

    The winner is the best of several, so calls against a control are corrected for all of them.
    """
    rows = {f.name: final.row(f.name) for f in discovery.finalists if f.name != control.name}
    return {name: row.values["valid"] for name, row in rows.items() if row is not None}


def _role(formula: Formula) -> Role:
    return "random" if formula.arm == "random" else "evolved"


def _verdict(
    discovery: Discovery,
    finals: Sequence[Final],
    winner: Formula,
    against: Sequence[Against],
) -> Verdict:
    tasks = list(dict.fromkeys(each.task for each in against))
    of_task = {task: [each for each in against if each.task == task] for task in tasks}
    won = [t for t in tasks if all(each.call == "beats" for each in of_task[t])]
    lost = [t for t in tasks if any(each.call == "loses" for each in of_task[t])]
    # One win among several tasks may be one wrong call among several.
    sure = len(won) == len(tasks) or any(
        all(each.p * len(tasks) <= LEVEL for each in of_task[task]) for task in won
    )
    kind: Kind = "loses" if len(lost) == len(tasks) else "undecided"
    if won and sure and not lost:
        kind = "beats"
    if not any(final.learned for final in finals):
        kind = "unlearned"
    parts = [_on_task(task, of_task[task]) for task in tasks]
    written = sum(formula.arm != "registry" for formula in discovery.population)
    first = f"`{winner.name}`, the best of {counted(written, 'formula')} that the search "
    first += "wrote at random" if winner.arm == "random" else "wrote"
    lead = "" if won else "Nothing that was discovered beats all that it was held against. "
    if won and lost:
        lead = "It depends on the task. "
    elif won and not sure:
        lead = f"Among {len(tasks)} tasks, one such win may be luck. "
    if kind == "unlearned":
        lead = "Nobody learned: the order says nothing. "
    seeds = sorted({each.seeds for each in against})
    span = f"{seeds[0]} to {counted(seeds[-1], 'seed')}"
    level = (
        f" ({counted(seeds[0], 'seed') if len(seeds) == 1 else span}; "
        "each call is wrong in at most 5 % of cases)"
    )
    return Verdict(kind, f"{lead}{first}: {'; '.join(parts)}{level}.", ())


def _on_task(task: str, rows: Sequence[Against]) -> str:
    """`on mqar (not used in the search) it beats ... by 0.031 and loses to ... by 0.020`."""
    where = f"on {task}" + (" (not used in the search)" if rows[0].held_out else "")
    parts = []
    for call in _WORDS:
        named = [f"{_control(each)} {_gap(each)}" for each in rows if each.call == call]
        if named:
            parts.append(f"{_WORDS[call]} {_and(named)}")
    return f"{where} it {_and(parts)}"


def _gap(each: Against) -> str:
    if each.call == "undecided":
        return f"({signed(each.difference)})"
    gap = abs(each.difference)
    return f"by {fixed(gap)}" if gap >= _LEAST else f"by less than {2 * _LEAST:.3f}"


def _control(each: Against) -> str:
    about = CONTROLS[each.control.role]
    return f"`{each.control.name}`" + (f" ({about})" if about else "")


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def _nothing(discovery: Discovery) -> str:
    rejected = sum(each.count for each in discovery.rejected.values())
    if rejected:
        return f"Nothing was discovered: {counted(rejected, 'formula')} rejected, none has a score."
    if discovery.population:
        tried = counted(len(discovery.population), "formula")
        return (
            f"Nothing was discovered: the time went to {tried} of the registry, before a new one "
            "had its turn. A longer --budget would help, or fewer --seed-energies."
        )
    return "Nothing was discovered: no formula was evaluated."


def _no_finals(discovery: Discovery, winner: Formula) -> str:
    place, score = last_score(winner, discovery.rungs)
    rung = discovery.rungs[place]
    written = sum(formula.arm != "registry" for formula in discovery.population)
    parts = []
    for arm, name in (("registry", "the registry's best"), ("random", "the best random formula")):
        scores = [f.scores[rung] for f in discovery.population if f.arm == arm and rung in f.scores]
        if scores and winner.arm != arm:
            parts.append(f"{name} has {fixed(max(scores))}")
    others = f"; {', '.join(parts)}" if parts else ""
    return (
        f"Nothing is decided before the finals: `{winner.name}` is the best of "
        f"{counted(written, 'formula')} that the search wrote, with {fixed(score)} on `{rung}`"
        f"{others}."
    )
