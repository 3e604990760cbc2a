"""Which formulas of a discovery are the best: by score, on fronts, over the time that was spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from attenergy.search.discovery.population.individual import standings
from attenergy.search.discovery.results.discovery import Arm, Discovery, Formula


@dataclass(frozen=True)
class Equal:
    """What two arms had reached on one rung when both had spent the same time.

    `counts` are the formulas that each had evaluated by then.
    """

    rung: str
    seconds: float
    evolved: float
    random: float
    counts: tuple[int, int]


def scored(formulas: Iterable[Formula], rung: str) -> list[Formula]:
    """The formulas that have a score on a rung, the best first."""
    known = [f for f in formulas if math.isfinite(f.scores.get(rung, -math.inf))]
    return sorted(known, key=lambda f: (-f.scores[rung], f.length, f.number))


def last_score(formula: Formula, rungs: Sequence[str]) -> tuple[int, float]:
    """The last rung that gave a score, and the score: what formulas are ordered by."""
    for place in reversed(range(len(rungs))):
        score = formula.scores.get(rungs[place], -math.inf)
        if math.isfinite(score):
            return place, score
    return -1, -math.inf


def best(discovery: Discovery, arm: Arm | None = None) -> list[Formula]:
    """The formulas of an arm, or all, the best first; those without any score are left out."""
    stands = standings(discovery.population, discovery.rungs)
    known = [(stands[f.number], f) for f in discovery.population if arm in {None, f.arm}]
    known = [(place, formula) for place, formula in known if place[0] >= 0]
    known.sort(key=lambda each: (-each[0][0], -each[0][1], each[1].length, each[1].number))
    return [formula for _, formula in known]


def top_rung(discovery: Discovery, least: int = 2) -> str:
    """The last rung on which at least so many formulas have a score; empty without any."""
    for rung in reversed(discovery.rungs):
        if len(scored(discovery.population, rung)) >= least:
            return rung
    return next((rung for rung in discovery.rungs if scored(discovery.population, rung)), "")


def front(
    formulas: Sequence[Formula], rung: str, price: Callable[[Formula], float | None]
) -> list[Formula]:
    """The formulas that no other beats in score without being dearer, the cheapest first."""
    known = [f for f in scored(formulas, rung) if price(f) is not None]
    known.sort(key=lambda f: (price(f), -f.scores[rung], f.number))
    highest, chosen = -math.inf, list[Formula]()
    for formula in known:
        if formula.scores[rung] > highest:
            highest = formula.scores[rung]
            chosen.append(formula)
    return chosen


def best_so_far(discovery: Discovery, arm: Arm, rung: str) -> list[tuple[float, float]]:
    """Seconds that an arm had spent, and its best score on a rung by then: the steps of a curve.

    Formulas count in the order in which they were proposed, each with all that was spent on it.
    """
    seconds, highest, points = 0.0, -math.inf, list[tuple[float, float]]()
    for formula in sorted(discovery.population, key=lambda f: f.number):
        if formula.arm != arm:
            continue
        seconds += formula.seconds
        score = formula.scores.get(rung, -math.inf)
        if score > highest:
            highest = score
            points.append((seconds, score))
    return points


def spent(discovery: Discovery, arm: Arm) -> float:
    """Seconds that an arm spent on evaluations."""
    return sum(formula.seconds for formula in discovery.population if formula.arm == arm)


def at_equal_seconds(discovery: Discovery) -> list[Equal]:
    """Evolved formulas and random ones on every rung that both have reached, after equal times."""
    limit = min(spent(discovery, "evolved"), spent(discovery, "random"))
    rows = []
    for rung in discovery.rungs:
        reached = [_reached(discovery, arm, rung, limit) for arm in ("evolved", "random")]
        if all(math.isfinite(score) for score, _ in reached):
            (evolved, first), (random, second) = reached
            rows.append(Equal(rung, limit, evolved, random, (first, second)))
    return rows


def _reached(discovery: Discovery, arm: str, rung: str, limit: float) -> tuple[float, int]:
    """The best score of an arm within a time, and how many formulas it had on the rung."""
    time, score, count = 0.0, -math.inf, 0
    for formula in sorted(discovery.population, key=lambda f: f.number):
        if formula.arm != arm:
            continue
        time += formula.seconds
        if time > limit * (1 + 1e-9):
            break
        if rung in formula.scores:
            count += 1
            score = max(score, formula.scores[rung])
    return score, count


def ancestry(discovery: Discovery, formula: Formula) -> list[Formula]:
    """A formula and all that it descends from, the youngest first."""
    known, waiting = {formula.number: formula}, [formula]
    while waiting:
        for parent in discovery.parents(waiting.pop()):
            if parent.number not in known:
                known[parent.number] = parent
                waiting.append(parent)
    return sorted(known.values(), key=lambda f: -f.number)
