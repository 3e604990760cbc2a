"""The loop of a discovery: keeps every worker busy with the next run of some candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from attenergy.registry import EnergySpec
from attenergy.search.discovery.ladder.prediction import predictions, unused_rungs
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.discovery.study.climb import Climb
from attenergy.search.discovery.study.open import DiscoveryStudy
from attenergy.search.discovery.study.proposing import MOST_REJECTED, Proposer
from attenergy.search.discovery.study.standing import standing
from attenergy.search.discovery.study.timing import EvolutionTime
from attenergy.search.engines.base import Executor
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener

#: Candidates that are screened in advance between two runs that end.
_AHEAD = 16


@dataclass
class Evolution:
    """One session of a discovery, from whatever it has come to.

    A free worker goes on with a candidate that is under way, else it begins with a new one. The
    next one is proposed and screened while the workers run.

    Attributes:
        plan: of the discovery.
        ladder: its rungs.
        study: holds the trials and the records.
        proposer: of new candidates.
        executor: does the runs.
        listener: is told what happens.
        time: what may still begin.
        baseline_flops: of softmax's forward pass on the first rung.
        entries: energies of the registry by name, which whole runs of its arm are of.
        on_change: called when an individual has ended.
    """

    plan: DiscoverPlan
    ladder: Ladder
    study: DiscoveryStudy
    proposer: Proposer
    executor: Executor
    listener: Listener
    time: EvolutionTime
    baseline_flops: float
    entries: Mapping[str, EnergySpec] = field(default_factory=dict)
    on_change: Callable[[Individual], None] = lambda _: None
    _climbs: dict[int, Climb] = field(default_factory=dict)
    _running: dict[str, list[Climb]] = field(default_factory=dict)
    _begun: int = 0

    def run(self) -> None:
        """Evolve until the time is over, or as many candidates as planned have ended."""
        for one in self.study.population:
            if not one.ended:
                self._climbs[one.number] = self._climb(one)
        self._tell()
        while True:
            while self.executor.free and (config := self._next_run()) is not None:
                self.executor.submit(config, "trial")
                self.listener.started(config)
            if not self._running:
                break
            if self._wants_more():
                self.proposer.prepare(self.study.population, self.study.next_number, _AHEAD)
            self._end(self.executor.wait(self.listener))
        if self.proposer.given_up:
            self.listener.message(
                f"none of {MOST_REJECTED} candidates in a row passed the filters: the evolution "
                "ends here"
            )

    @property
    def searching(self) -> frozenset[int]:
        """Numbers of those whose settings were still searched when the time was over."""
        return frozenset(n for n, climb in self._climbs.items() if not climb.searched)

    def _next_run(self) -> RunConfig | None:
        """The next run that is not recorded; None if nothing can begin now."""
        busy = {climb.individual.number for climbs in self._running.values() for climb in climbs}
        for number in [number for number in self._climbs if number not in busy]:
            config = self._advance(self._climbs[number])
            if config is not None:
                return config
        while self._wants_more() and (climb := self._new()) is not None:
            config = self._advance(climb)
            if config is not None:
                return config
        return None

    def _advance(self, climb: Climb) -> RunConfig | None:
        """Let a candidate go on with what is recorded; its next run if that is to begin now."""
        while True:
            if climb.rung is None:
                self._decide(climb)
                if climb.rung is None:
                    return None
            if not self.time.fits(climb.rung):
                return None  # it stays as it is, for another session
            config = climb.config
            key = config.run_key()
            record = self.study.store.get(key)
            if record is not None:
                self._take(climb, record)
            elif key in self._running:  # of the other arm, which has met the same
                self._running[key].append(climb)
                return None
            else:
                self._running[key] = [climb]
                return config

    def _decide(self, climb: Climb) -> None:
        one, population = climb.individual, self.study.population
        unused = unused_rungs(predictions(self.ladder, population, seed=self.plan.seed))
        climb.decide([other for other in population if other.arm == one.arm], unused)
        if climb.individual.ended:
            self.study.end(climb.individual, climb.runs)
            del self._climbs[one.number]
            self._tell()
            self.on_change(climb.individual)

    def _take(self, climb: Climb, record: RunRecord) -> None:
        climb.take(record)
        self.study.update(climb.individual)

    def _wants_more(self) -> bool:
        """Whether another candidate is to begin."""
        if self.proposer.given_up or not self.time.fits(self.ladder.rungs[0]):
            return False
        population = self.study.population
        if self.plan.candidates is None or self.proposer.waiting(population):
            return True
        return sum(one.arm != "registry" for one in population) < self.plan.candidates

    def _new(self) -> Climb | None:
        """Begin with a new candidate; None if the time ends before one has passed the filters."""
        population, number = self.study.population, self.study.next_number
        while self._wants_more():
            proposed = self.proposer.prepare(population, number, _AHEAD)
            if proposed is not None:
                one = self.study.add(proposed)
                climb = self._climbs[one.number] = self._climb(one)
                self._begun += 1
                return climb
        return None

    def _climb(self, one: Individual) -> Climb:
        bar = self.study.bars[one.number]
        entry = self.entries.get(one.operation) if one.arm == "registry" else None
        return Climb(one, self.ladder, self.plan.seed, self.baseline_flops, bar, entry)

    def _end(self, record: RunRecord) -> None:
        """Record what came of a run, and let the candidates that wait for it have it."""
        if record.weights:
            weights = self.study.store.folder / record.weights
            record = record.model_copy(update={"weights": ""})
            weights.unlink(missing_ok=True)
        self.study.store.append(record)
        self.time.learn(record)
        for climb in self._running.pop(record.key):
            self._take(climb, record)
        self.listener.finished(record)

    def _tell(self) -> None:
        """Tell the listener how far the evolution has come."""
        population = self.study.population
        ended = sum(one.ended for one in population)
        seeds = len(self.proposer.waiting(population)) + sum(
            one.arm == "registry" for one in population
        )
        planned = self.plan.candidates
        total = None if planned is None else max(len(population), seeds + planned)
        if (more := self.time.expected(self._begun)) is not None:
            total = min(total or len(population) + more, len(population) + more)
        if (left := self.time.budget_left) is not None:
            self.listener.forecast(total or len(population), left)
        text = standing(population, self.ladder.names, self.study.rejections)
        self.listener.reached(ended, total or len(population), text)
