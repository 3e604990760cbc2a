"""The next candidate of a discovery: a seed energy, or one that evolution or chance proposes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from attenergy.search.discovery.filters.screen import Screening, screen
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.formulas.grammar import Grammar
from attenergy.search.discovery.ladder.promotion import bar_of
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.individual import Arm, Individual
from attenergy.search.discovery.population.proposals import Proposal, Unit, next_arm, propose
from attenergy.search.discovery.population.selection import Selection
from attenergy.search.discovery.study.attributes import Proposed, Rejections

#: Candidates that may be rejected in a row; where none passes, more of them would not either.
MOST_REJECTED = 20_000


@dataclass(frozen=True)
class Seeds:
    """The energies of the registry with which a discovery begins.

    Attributes:
        passed: name -> candidate and what the filters say of it.
        rejected: name -> why it does not take part.
    """

    passed: Mapping[str, tuple[Candidate, Screening]]
    rejected: Mapping[str, str]

    @classmethod
    def screened(cls, candidates: Mapping[str, Candidate]) -> Seeds:
        """Have them pass the filters, in their order: of equal ones the first takes part.

        One that falls without bound takes part too: it is what others are held against, and the
        registry says so of it (law 9).
        """
        passed: dict[str, tuple[Candidate, Screening]] = {}
        rejected: dict[str, str] = {}
        known: list[str] = []
        for name, candidate in candidates.items():
            result = screen(candidate, known, excused=("bounded",))
            if result.rejected_by or result.fingerprint is None:
                rejected[name] = result.reason or result.rejected_by
                continue
            passed[name] = (candidate, result)
            known.append(result.fingerprint.key)
        return cls(passed, rejected)


class Proposer:
    """Proposes candidates and has them screened, a few at a time.

    The next candidate is a function of the plan's seed, of its number and of the population, the
    last few of which are seen without their scores: they may not have any yet.

    Args:
        plan: of the discovery.
        grammar: what candidates are made of.
        seeds: with which it begins.
        rungs: names, the cheapest first.
        lag: of how many of the last individuals no score is seen.

    Attributes:
        given_up: whether nothing has passed the filters for very long.
    """

    def __init__(
        self,
        plan: DiscoverPlan,
        grammar: Grammar,
        seeds: Seeds,
        rungs: tuple[str, ...],
        lag: int,
    ) -> None:
        self.given_up = False
        self._plan, self._grammar, self._seeds = plan, grammar, seeds
        self._rungs, self._lag = rungs, lag
        self._rejected: dict[tuple[Arm, str], str] = {}  # by the key of a formula: the filter
        self._begin([], 0)

    def waiting(self, population: Sequence[Individual]) -> list[str]:
        """The names of the seeds that have not been tried."""
        tried = {one.operation for one in population if one.arm == "registry"}
        return [name for name in self._seeds.passed if name not in tried]

    def prepare(
        self, population: Sequence[Individual], number: int, attempts: int
    ) -> Proposed | None:
        """Look for the next candidate, so many attempts long; None if there is none by then.

        Args:
            population: all individuals so far.
            number: that its trial will have.
            attempts: candidates that are screened at most.
        """
        if self._number != number:
            self._begin(population, number)
        while self._ready is None and not self.given_up and attempts > 0:
            self._attempt(population)
            attempts -= 1
        return self._ready

    def _begin(self, population: Sequence[Individual], number: int) -> None:
        """Begin with the candidate of a number."""
        self._number = number
        seen = [
            one if one.number < self._number - self._lag else _without_scores(one)
            for one in population
        ]
        unit: Unit = "candidates" if self._plan.seconds is None else "seconds"
        waiting = len(self.waiting(population))
        self._arm: Arm = next_arm(seen, self._plan.shares, waiting, unit)
        self._selection = Selection.of(seen, self._arm, self._rungs)
        self._random = random.Random(f"{self._plan.seed} {self._number}")
        rivals = [one for one in seen if one.arm == self._arm != "registry"]
        self._bar = bar_of(self._rungs[0], rivals)
        self._rejections = Rejections()
        self._ready: Proposed | None = None

    def _attempt(self, population: Sequence[Individual]) -> None:
        if self._arm == "registry":
            name = self.waiting(population)[0]
            candidate, result = self._seeds.passed[name]
            proposal = Proposal(candidate, name)
        else:
            proposal = propose(self._selection, self._grammar, self._random)
            result = self._screen(proposal.candidate)
        if result.rejected_by or result.fingerprint is None:
            self._rejections.add(result.rejected_by, result.milliseconds)
            self.given_up = self._rejections.total >= MOST_REJECTED
            return
        # What has passed once is known from now on.
        self._rejected[self._arm, proposal.candidate.key] = "known"
        individual = Individual(
            number=self._number,
            arm=self._arm,
            candidate=proposal.candidate,
            fingerprint=result.fingerprint,
            operation=proposal.operation,
            parents=proposal.parents,
        )
        self._ready = Proposed(individual, self._rejections, result.milliseconds, self._bar)

    def _screen(self, candidate: Candidate) -> Screening:
        """What the filters say; at once of a formula that they, for this arm, have said it of."""
        rejected_by = self._rejected.get((self._arm, candidate.key))
        if rejected_by is not None:
            return Screening(rejected_by)
        result = screen(candidate, self._selection.known)
        if result.rejected_by:
            self._rejected[self._arm, candidate.key] = result.rejected_by
        return result


def _without_scores(one: Individual) -> Individual:
    return replace(one, scores={}, settings={}, seconds=0.0)
