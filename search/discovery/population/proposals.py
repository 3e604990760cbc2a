"""What is evaluated next: which arm's turn it is, and the formula that it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.formulas.generate import random_candidate
from attenergy.search.discovery.formulas.grammar import Grammar
from attenergy.search.discovery.formulas.variation import OPERATIONS, vary
from attenergy.search.discovery.population.individual import Arm, Individual
from attenergy.search.discovery.population.selection import Selection

#: Share of random newcomers among the proposals of evolution.
NEWCOMERS = 0.1
#: Individuals below which evolution still draws random ones, so that there is something to choose.
FOUNDERS = 16
#: Parents and operations that are tried before a random formula takes their place.
ATTEMPTS = 20

#: How often a parent without any parameter is given one: until then it has a single sharpness, and
#: its score says little.
TEMPERED = 0.4

Unit = Literal["seconds", "candidates"]


@dataclass(frozen=True)
class Proposal:
    """A formula, the operation that made it, and the numbers of its parents."""

    candidate: Candidate
    operation: str = "random"
    parents: tuple[int, ...] = ()


def next_arm(
    population: Sequence[Individual],
    shares: Mapping[Arm, float],
    waiting: int = 0,
    unit: Unit = "seconds",
) -> Arm:
    """The arm whose turn it is: the registry's first, then the one that has had least of its share.

    What is running has no cost yet and counts as much as the mean of its arm, so that several
    workers do not all go to one arm.

    Args:
        population: all individuals so far.
        shares: arm -> share of the budget; an arm without any never comes.
        waiting: entries of the registry that are not evaluated yet.
        unit: what is shared out; `candidates` does not depend on a clock.

    Example:
        >>> next_arm([], {"evolved": 0.5, "random": 0.5}), next_arm([], {"evolved": 1.0}, waiting=2)
        ('evolved', 'registry')
    """
    if waiting:
        return "registry"

    def spent(arm: Arm) -> float:
        own = [each for each in population if each.arm == arm]
        if unit == "candidates":
            return len(own) / shares[arm]
        costs = [each.seconds for each in own if each.seconds]
        mean = sum(costs) / len(costs) if costs else 1.0
        return (sum(costs) + mean * (len(own) - len(costs))) / shares[arm]

    return min((arm for arm, share in shares.items() if share > 0), key=spent)


def propose(selection: Selection, grammar: Grammar, rng: Random) -> Proposal:
    """One formula: made from parents, or a random newcomer.

    A formula that equals a parent is not proposed. Whether another individual has it already is
    for the filters to say.

    Args:
        selection: of the arm that proposes; without parents every formula is random.
        grammar: what formulas are made of.
        rng: decides everything that the selection leaves open.
    """
    members = sum(map(len, selection.niches.values()))
    if members >= FOUNDERS and rng.random() >= NEWCOMERS:
        names, weights = zip(*selection.weights.items(), strict=True)
        for _ in range(ATTEMPTS):
            operation = rng.choices(names, weights)[0]
            parents = [selection.parent(rng) for _ in range(OPERATIONS[operation].parents)]
            if not parents[0].candidate.parameters and rng.random() < TEMPERED:
                operation, parents = "temperature", parents[:1]
            candidates = [each.candidate for each in parents]
            child = vary(operation, candidates, grammar, rng)
            if child is not None and child.key not in {each.key for each in candidates}:
                numbers = tuple(dict.fromkeys(each.number for each in parents))
                return Proposal(child, operation, numbers)
    return Proposal(random_candidate(grammar, rng))
