"""One formula that is evaluated: where it comes from, what it has scored, what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from attenergy.registry import Scalar
from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas.candidate import Candidate

#: Who proposed it: an entry of the registry, evolution, or the random control.
Arm = Literal["registry", "evolved", "random"]


@dataclass(frozen=True)
class Individual:
    """A candidate that has passed the filters, with what is known of it so far.

    Attributes:
        number: of its trial in the study.
        arm: who proposed it.
        candidate: the formula.
        fingerprint: its behaviour on fixed probes.
        operation: what made it; `random`, or the entry's name in the arm `registry`.
        parents: numbers of those that it was made of.
        scores: rung -> score, in the order in which they were climbed; -inf for a rung that gave
            none.
        settings: tuned with it; its own defaults if empty.
        cost: of a step, as a multiple of softmax's.
        seconds: spent on it.
        ended: whether it climbs no further.

    Example:
        >>> from attenergy.search.discovery.filters.fingerprint import fingerprint_of
        >>> from attenergy.search.discovery.formulas.candidate import Candidate
        >>> candidate = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
        >>> one = Individual(3, "evolved", candidate, fingerprint_of(candidate))
        >>> one.name, one.rung
        ('discovered_3', '')
    """

    number: int
    arm: Arm
    candidate: Candidate
    fingerprint: Fingerprint
    operation: str = "random"
    parents: tuple[int, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    cost: float = 1.0
    seconds: float = 0.0
    ended: bool = False

    @property
    def name(self) -> str:
        """As an entry of a registry: the registry's own name, `discovered_3` or `random_3`."""
        if self.arm == "registry":
            return self.operation
        return f"{'discovered' if self.arm == 'evolved' else 'random'}_{self.number}"

    @property
    def rung(self) -> str:
        """The highest rung that gave a score; empty if none did."""
        scored = [rung for rung, score in self.scores.items() if math.isfinite(score)]
        return scored[-1] if scored else ""


class Scored(Protocol):
    """What has climbed rungs: an individual, or what a report knows of one."""

    @property
    def number(self) -> int:
        """Of its trial."""

    @property
    def arm(self) -> Arm:
        """Who proposed it."""

    @property
    def scores(self) -> Mapping[str, float]:
        """Rung -> score."""


def standings(population: Iterable[Scored], rungs: Sequence[str]) -> dict[int, tuple[int, float]]:
    """What individuals are sorted by: the rung on which each stands, and its score there.

    It stands on the highest rung on which no more than half of those of its arm are better, else
    on its first one. Some are tried on a rung whatever their score below, to measure how well that
    predicts (`next_rung`), and the first of all had no rivals: to have been there is no merit.

    Args:
        population: of any arms.
        rungs: names, the cheapest first.

    Returns:
        number -> (place of the rung, score); (-1, -inf) without any score.

    Example:
        >>> from types import SimpleNamespace
        >>> scores = ({"a": 0.9}, {"a": 0.1, "b": 0.2}, {"b": 0.8}, {"b": 0.7})
        >>> own = [SimpleNamespace(number=n, arm="random", scores=s) for n, s in enumerate(scores)]
        >>> standings(own, ("a", "b"))
        {0: (0, 0.9), 1: (0, 0.1), 2: (1, 0.8), 3: (1, 0.7)}
    """
    everybody = list(population)
    stands = dict.fromkeys((each.number for each in everybody), (-1, -math.inf))
    for arm in dict.fromkeys(each.arm for each in everybody):
        own = [each for each in everybody if each.arm == arm]
        for place, rung in enumerate(rungs):
            known = {each.number: each.scores.get(rung, -math.inf) for each in own}
            known = {number: score for number, score in known.items() if math.isfinite(score)}
            half = sorted(known.values(), reverse=True)[: len(known) // 2 + 1]
            for number, score in known.items():
                if score >= half[-1] or stands[number][0] < 0:
                    stands[number] = (place, score)
    return stands


def by_merit(population: Sequence[Individual], rungs: Sequence[str]) -> list[Individual]:
    """The individuals, the best first; among equals the shorter, cheaper, earlier one.

    Args:
        population: any individuals, all of an arm: each is held against the others of its own.
        rungs: names, the cheapest first.
    """
    stands = standings(population, rungs)

    def key(one: Individual) -> tuple[float, ...]:
        height, score = stands[one.number]
        return (-height, -score, one.candidate.length, one.cost, one.number)

    return sorted(population, key=key)
