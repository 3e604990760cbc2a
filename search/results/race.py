"""A race: which runs over seeds come next, as a function of the scores so far.

All contenders are held against one reference, paired by seed, and every look at the scores may be
the last: the test behind it (`attenergy.search.results.sequential`) allows for that. The rules:

1. The first round gives `seeds` seeds to everybody. If nobody has learned anything by then, more
   seeds would not help, and the race ends.
2. A contender is decided once its corrected p is at most `level`. Holm's correction is over all
   contenders, at every look. Decided ones get no more seeds.
3. The second round takes the others to the number of seeds below which nothing can be called.
4. Then rounds are short: as many new seeds as keep `slots` runs at a time busy. They go to those
   that are likely to be decided within what is left of the budget, the nearest first and as many as
   it can pay for; to the others only if there are none of these.
5. The race ends when all are decided, or when the budget cannot pay for another pair of runs.

Nothing here depends on who runs what, or on when: drivers that have the same records derive the
same round, and one that was killed has left nothing behind but records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from attenergy.search.results.sequential import anytime_p_values, least_seeds, seeds_to_decide
from attenergy.search.results.verdict import LEVEL, learned

_FARTHEST = 200  # seeds that are looked ahead at most

#: Contender -> seed -> score of a finished run; None for one that gave none.
Scores = Mapping[str, Mapping[int, float | None]]
#: A contender and a seed.
Entry = tuple[str, int]
End = Literal["", "single", "decided", "unlearned", "spent"]


@dataclass(frozen=True)
class RaceRules:
    """What does not change during a race.

    Attributes:
        contenders: names, the reference among them.
        reference: the one that the others are held against; None for no race.
        first: the first seed; the others follow it.
        seeds: of everybody in the first round.
        slots: runs at a time.
        chance: score of a guess, if that is known.
        ceiling: the best possible score, if that is known.
        level: the chance of one or more wrong calls that is allowed.
    """

    contenders: tuple[str, ...]
    reference: str | None
    first: int = 0
    seeds: int = 3
    slots: int = 1
    chance: float | None = None
    ceiling: float | None = None
    level: float = LEVEL

    @property
    def challengers(self) -> tuple[str, ...]:
        """All but the reference."""
        return tuple(name for name in self.contenders if name != self.reference)


@dataclass(frozen=True)
class Round:
    """What comes next.

    Attributes:
        runs: contenders and seeds that are not played yet, pair by pair.
        undecided: contenders that are not decided; empty in the first round.
        end: why there are no more runs; empty where there are some.
    """

    runs: tuple[Entry, ...]
    undecided: tuple[str, ...] = ()
    end: End = ""


def next_round(rules: RaceRules, scores: Scores, left: int) -> Round:
    """The runs that come next.

    Args:
        rules: of the race.
        scores: of all finished runs.
        left: how many more runs the budget pays for, after the first round.
    """
    seeds = range(rules.first, rules.first + rules.seeds)
    missing = [(n, seed) for seed in seeds for n in rules.contenders if seed not in scores[n]]
    if missing:
        return Round(tuple(missing))
    if rules.reference is None or not rules.challengers:
        return Round((), end="single")
    if not any(_has_learned(rules, scores[name]) for name in rules.contenders):
        return Round((), rules.challengers, end="unlearned")
    undecided = _undecided(rules, scores)
    if not undecided:
        return Round((), end="decided")
    racing = _racing(rules, scores, undecided, left)
    runs = _affordable(_missing(rules, scores, racing), scores, rules, left)
    return Round(tuple(runs), undecided, end="" if runs else "spent")


def differences(rules: RaceRules, scores: Scores, name: str) -> list[float]:
    """Score minus the reference's, in the order of the seeds that both have played.

    Up to the first gap, where that is below `least_seeds` and will be filled: what comes later must
    not change the past, for the test goes by the order. Seeds in which either gave no score are
    passed over.
    """
    assert rules.reference is not None
    mine, other = scores[name], scores[rules.reference]
    pairs = ((mine[seed], other[seed]) for seed in _shared(rules, scores, name))
    return [one - two for one, two in pairs if one is not None and two is not None]


def p_values(rules: RaceRules, scores: Scores) -> dict[str, float]:
    """Challenger -> p of its difference to the reference, corrected for all of them (Holm).

    It holds at every moment at which one may look: P(ever p <= a for an equal one) <= a. Those
    without any pair are left out.
    """
    return anytime_p_values({n: differences(rules, scores, n) for n in rules.challengers})


def _undecided(rules: RaceRules, scores: Scores) -> tuple[str, ...]:
    """Challengers without a call; not those that have no score beside one of the reference."""
    return tuple(name for name, p in p_values(rules, scores).items() if p > rules.level)


def _scored(scores: Mapping[int, float | None]) -> list[float]:
    return [score for score in scores.values() if score is not None]


def _has_learned(rules: RaceRules, scores: Mapping[int, float | None]) -> bool:
    values = _scored(scores)
    return bool(values) and learned(fmean(values), rules.chance, rules.ceiling)


def _shared(rules: RaceRules, scores: Scores, name: str) -> list[int]:
    """The seeds that count for a contender: see `differences`."""
    assert rules.reference is not None
    both = scores[name].keys() & scores[rules.reference].keys()
    early = range(rules.first, rules.first + _least(rules))
    gap = next((seed for seed in early if seed not in both), None)
    return sorted(seed for seed in both if rules.first <= seed and (gap is None or seed < gap))


def _racing(rules: RaceRules, scores: Scores, undecided: Sequence[str], left: int) -> Sequence[str]:
    """Those that get seeds in this round: rules 3 and 4."""
    short = {name: _least(rules) - _pairs(rules, scores, name) for name in undecided}
    if min(short.values()) > 0 and _cost(rules, scores, short) <= left:
        return undecided  # all of them to where something can be called
    needs, likely = dict[str, int](), dict[str, float]()
    for name in undecided:
        pairs, tests = differences(rules, scores, name), len(undecided)
        more = seeds_to_decide(pairs, tests, rules.level, most=max(1, min(left, _FARTHEST)))
        likely[name] = math.inf if more is None else more
        if short[name] > 0:
            more = short[name]  # too few pairs for an estimate to count
        if more is not None and _cost(rules, scores, {name: more}) <= left:
            needs[name] = more
    nearest = sorted(needs, key=lambda name: (needs[name], likely[name]))
    return _payable(nearest, needs, rules, scores, left) or undecided


def _least(rules: RaceRules) -> int:
    return max(rules.seeds, least_seeds(len(rules.challengers), rules.level))


def _pairs(rules: RaceRules, scores: Scores, name: str) -> int:
    return len(_shared(rules, scores, name))


def _payable(
    names: Sequence[str],
    needs: Mapping[str, int],
    rules: RaceRules,
    scores: Scores,
    left: int,
) -> list[str]:
    """The first of the names for whose needs, all together, the budget suffices."""
    chosen: dict[str, int] = {}
    for name in names:
        if _cost(rules, scores, {**chosen, name: needs[name]}) > left:
            break
        chosen[name] = needs[name]
    return list(chosen)


def _cost(rules: RaceRules, scores: Scores, more: Mapping[str, int]) -> int:
    """Runs that it takes to give each so many pairs more, the reference's included."""
    return len(_entries(rules, scores, more))


def _entries(rules: RaceRules, scores: Scores, more: Mapping[str, int]) -> list[Entry]:
    """The runs that give each so many pairs more: seed by seed, the reference's first.

    Up to `_least`, those that are missing; from there on, of seeds that nobody has played. A seed
    in which the reference is known already may not be added: the choice could depend on what the
    reference did there, and the difference would no longer have either sign alike.
    """
    reference = rules.reference
    assert reference is not None
    fresh = max(
        rules.first + _least(rules), 1 + max(seed for played in scores.values() for seed in played)
    )
    spans: dict[str, range] = {}
    for name, number in more.items():
        pairs = _pairs(rules, scores, name)
        begin = fresh if pairs >= _least(rules) else rules.first + pairs
        spans[name] = range(begin, begin + number)
    seeds = sorted({seed for span in spans.values() for seed in span})
    return [
        (name, seed)
        for seed in seeds
        for name in (reference, *(n for n, span in spans.items() if seed in span))
        if seed not in scores[name]
    ]


def _missing(rules: RaceRules, scores: Scores, racing: Sequence[str]) -> list[Entry]:
    """The runs of the round, were it not for the budget."""
    block = _block(rules.slots, len(racing) + 1)
    short = {name: _least(rules) - _pairs(rules, scores, name) for name in racing}
    more = {name: number if number > 0 else block for name, number in short.items()}
    return _entries(rules, scores, more)


def _block(slots: int, runs: int) -> int:
    """Seeds of a round in which `runs` runs a seed leave few of the slots idle."""
    fewest = -(-slots // runs)
    return min((fewest, fewest + 1), key=lambda seeds: (-seeds * runs % slots) / (seeds * runs))


def _affordable(
    runs: Sequence[Entry], scores: Scores, rules: RaceRules, left: int
) -> Sequence[Entry]:
    """The first runs, as many as the budget pays for, but none of the reference alone."""
    if len(runs) <= left:
        return runs
    chosen = list(runs[: max(left, 0)])
    while chosen and chosen[-1][0] == rules.reference:
        chosen.pop()
    return chosen
