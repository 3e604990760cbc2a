"""One formula that is evaluated: where it comes from, what it has scored, what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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

    def merit(self, rungs: Sequence[str]) -> tuple[int, float]:
        """What individuals are sorted by: how high it has come, then its score there.

        Args:
            rungs: names, the cheapest first.
        """
        rung = self.rung
        return (rungs.index(rung), self.scores[rung]) if rung else (-1, -math.inf)


def by_merit(population: Sequence[Individual], rungs: Sequence[str]) -> list[Individual]:
    """The individuals, the best first; among equals the shorter, cheaper, earlier one.

    Args:
        population: any individuals.
        rungs: names, the cheapest first.
    """

    def key(one: Individual) -> tuple[float, ...]:
        height, score = one.merit(rungs)
        return (-height, -score, one.candidate.length, one.cost, one.number)

    return sorted(population, key=key)
