"""Which individuals may be parents, and how much each operation is worth.

Parents come from niches of equal behaviour, so that one family of formulas does not crowd out the
others, and from the front of score, cost and length. Both are read off the population, and so is
the worth of an operation: how often what it made was better than its parents.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from attenergy.search.discovery.formulas.variation import OPERATIONS
from attenergy.search.discovery.population.individual import Arm, Individual, by_merit

#: Share of the parents that come from the front of score, cost and length.
FROM_FRONT = 0.3
#: Niches, and individuals, that compete to be a parent.
TOURNAMENT = 3
#: Best individuals of a niche that may be parents.
OF_NICHE = 6
#: Latest children of an operation by which it is judged.
WINDOW = 100
#: Least weight of an operation, as a share of the mean.
FLOOR = 0.4
#: A score that is higher by less is no improvement: numbers can always be turned a little.
MARGIN = 2e-3
#: Weights of operations beside 1. What a formula calls, and a temperature to be tuned, decide most;
#: numbers are tuned in any case.
OFTEN = {"point": 2.0, "temperature": 2.0, "number": 0.3}


@dataclass(frozen=True)
class Selection:
    """What an arm proposes from; made once a trial, a pure function of the population.

    Attributes:
        known: keys of fingerprints that the arm need not see again.
        front: individuals that no other beats in score, cost and length, the best first.
        niches: behaviour -> its best individuals, the best first; niches by their best.
        weights: operation -> how likely it is tried.
    """

    known: frozenset[str]
    front: tuple[Individual, ...]
    niches: Mapping[tuple[int, ...], tuple[Individual, ...]]
    weights: Mapping[str, float]

    @classmethod
    def of(cls, population: Sequence[Individual], arm: Arm, rungs: Sequence[str]) -> Selection:
        """What an arm may use of a population.

        `evolved` takes parents from the registry's individuals and its own, never from the random
        control's, which would lend it the control's budget; `random` has no parents. A formula
        that the other arm has met is not known to this one: both are what they would be alone.

        Args:
            population: all individuals so far.
            arm: the one that proposes.
            rungs: names, the cheapest first.
        """
        own = [each for each in population if each.arm in ("registry", arm)]
        known = frozenset(each.fingerprint.key for each in own)
        parents = [] if arm == "random" else _distinct(by_merit(own, rungs))
        niches: defaultdict[tuple[int, ...], list[Individual]] = defaultdict(list)
        for each in parents:
            niches[each.fingerprint.niche].append(each)
        return cls(
            known,
            front(parents),
            {niche: tuple(members[:OF_NICHE]) for niche, members in niches.items()},
            operation_weights(own),
        )

    def parent(self, rng: Random) -> Individual:
        """One parent: of the front, or the better ones of a good niche.

        Raises:
            IndexError: there is none.
        """
        if rng.random() < FROM_FRONT:
            return self.front[_tournament(len(self.front), rng)]
        niches = list(self.niches.values())
        members = niches[_tournament(len(niches), rng)]
        return members[_tournament(len(members), rng)]


def _distinct(ranked: Sequence[Individual]) -> list[Individual]:
    """Those with a score, one of each: what scores the same to the last digit does the same there.

    A term that a rung's layers do not use, such as |xi|^2 where weights are read, can be written in
    many ways, and all of them together would crowd out the others.
    """
    first: dict[tuple[str, float], Individual] = {}
    for each in ranked:
        if each.rung:
            first.setdefault((each.rung, each.scores[each.rung]), each)
    return list(first.values())


def front(ranked: Sequence[Individual]) -> tuple[Individual, ...]:
    """Those that no other beats in score, cost and length, the best first.

    Args:
        ranked: as `by_merit` gives them: nobody is beaten by a later one.
    """
    best: list[Individual] = []
    for one in ranked:
        if not any(
            other.cost <= one.cost and other.candidate.length <= one.candidate.length
            for other in best
        ):
            best.append(one)
    return tuple(best)


def operation_weights(population: Sequence[Individual]) -> dict[str, float]:
    """Operation -> its weight: its share of improvements among its latest children.

    A child improves if it is better than each of its parents on the highest rung that it shares
    with them (`MARGIN`), or as good and shorter. Each operation counts two children more than it
    has, one of them an improvement, and never falls below a share of the mean: what does not help
    early may help late.
    """
    by_number = {each.number: each for each in population}
    outcomes = {name: deque[bool](maxlen=WINDOW) for name in OPERATIONS}
    for child in sorted(population, key=lambda each: each.number):
        parents = [by_number[number] for number in child.parents if number in by_number]
        if child.operation in outcomes and parents and child.scores:
            improved = all(_improves(child, parent) for parent in parents)
            outcomes[child.operation].append(improved)
    rates = {
        name: OFTEN.get(name, 1.0) * (sum(seen) + 1) / (len(seen) + 2)
        for name, seen in outcomes.items()
    }
    mean = sum(rates.values()) / len(rates)
    return {name: max(rate, FLOOR * mean * OFTEN.get(name, 1.0)) for name, rate in rates.items()}


def _improves(child: Individual, parent: Individual) -> bool:
    shared = [rung for rung in child.scores if rung in parent.scores]
    if not shared:
        return False
    new, old = child.scores[shared[-1]], parent.scores[shared[-1]]
    shorter = child.candidate.length < parent.candidate.length
    return new > old + MARGIN or (new >= old and shorter)


def _tournament(number: int, rng: Random) -> int:
    """The first of a few drawn with replacement: low ones are likelier."""
    return min(rng.randrange(number) for _ in range(TOURNAMENT))
