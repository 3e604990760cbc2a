"""What a discovery has come to by now, and when it is written to its folder."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from attenergy.registry import AttenergyError, Registry
from attenergy.search.discovery.command_line import again
from attenergy.search.discovery.filters.screen import FILTERS
from attenergy.search.discovery.ladder.prediction import predictions
from attenergy.search.discovery.ladder.rungs import Ladder, with_settings
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.finalists import Finalist as ChosenFinalist
from attenergy.search.discovery.population.individual import Individual, by_merit
from attenergy.search.discovery.population.selection import front
from attenergy.search.discovery.results.discovery import (
    Ablated,
    Discovery,
    Finalist,
    Formula,
    Law,
    Rejected,
    RungPrediction,
    read_discovery,
)
from attenergy.search.discovery.results.known import with_nearest
from attenergy.search.discovery.results.write import write_discovery
from attenergy.search.discovery.study.open import DiscoveryStudy
from attenergy.search.runs.provenance import now

_BETWEEN_WRITES = 30.0  # seconds


@dataclass
class Outcome:
    """Everything that is known of a discovery.

    Attributes:
        plan: of the discovery.
        ladder: its rungs.
        study: its trials.
        registry: where nearest energies are looked up.
        searching: numbers of individuals whose settings may still change in another session.
        finalists: who takes part in the finals, once they are chosen; those of an earlier session
            until then.
        ablations: of the best formula, once they are made, in this session or an earlier one.
        laws: of the best formula, likewise.
    """

    plan: DiscoverPlan
    ladder: Ladder
    study: DiscoveryStudy
    registry: Registry
    searching: frozenset[int] = frozenset()
    finalists: tuple[Finalist, ...] = ()
    ablations: tuple[Ablated, ...] = ()
    laws: tuple[Law, ...] = ()
    _front: tuple[int, ...] = ()
    _begun: float = field(default_factory=time.monotonic)
    _written: float = field(default_factory=time.monotonic)

    @classmethod
    def going_on(
        cls, plan: DiscoverPlan, ladder: Ladder, study: DiscoveryStudy, registry: Registry
    ) -> Self:
        """With what earlier sessions have written of the finals and of the winner.

        A file that is missing, damaged or of other formulas counts as none: all of it is made
        again from the records.
        """
        outcome = cls(plan, ladder, study, registry)
        try:
            earlier = read_discovery(Path(plan.folder))
        except (OSError, AttenergyError):
            return outcome
        known = {(one.number, one.name) for one in study.population}
        if any(f.number is not None and (f.number, f.name) not in known for f in earlier.finalists):
            return outcome
        outcome.finalists, outcome.laws = earlier.finalists, earlier.laws
        outcome.ablations = earlier.ablations
        return outcome

    def choose(self, finalists: Iterable[ChosenFinalist]) -> None:
        """Set who takes part in the finals; what was said of another winner is forgotten."""
        named = tuple(
            Finalist(
                name=each.name,
                role=each.role,
                number=None if each.individual is None else each.individual.number,
            )
            for each in finalists
        )
        if named != self.finalists:
            self.finalists = named
            self.forget_winner()

    def forget_winner(self) -> None:
        """Forget the ablation and the laws of the best formula: another one may be the best."""
        self.ablations, self.laws = (), ()

    @property
    def spent(self) -> float:
        """Seconds of this session."""
        return time.monotonic() - self._begun

    def on_change(self, _: Individual) -> None:
        """Write the entries if the front has changed, but not again and again."""
        if time.monotonic() - self._written < _BETWEEN_WRITES:
            return
        ranked = [one for one in self._ranked() if one.arm != "random"]
        numbers = tuple(one.number for one in front(ranked))
        if numbers == self._front:
            return
        self._front, self._written = numbers, time.monotonic()
        self.write(with_page=False)

    def write(self, *, with_page: bool = True) -> Discovery:
        """Write everything to the folder of the study, and return it.

        Args:
            with_page: whether to look for nearest energies and write the page, too, which takes
                some seconds.
        """
        discovery = self.discovery()
        if with_page:
            discovery = with_nearest(discovery, self.registry)
        write_discovery(discovery, Path(self.plan.folder), self.registry, with_page=with_page)
        return discovery

    def discovery(self) -> Discovery:
        """Everything as plain data."""
        plan, study, records = self.plan, self.study, self.study.store.all()
        rejections, population = study.rejections, study.population
        counts = {row.name: rejections.counts.get(row.name, 0) for row in FILTERS}
        return Discovery(
            name=plan.study,
            tasks=plan.tasks,
            held_out=plan.held_out,
            rungs=self.ladder.names,
            seed=plan.seed,
            command=again(plan),
            date=now()[:10],
            seconds=study.seconds + self.spent,
            versions=records[-1].versions if records else {},
            machines=tuple(dict.fromkeys(_machine(record.machine) for record in records)),
            population=tuple(map(formula_of, population)),
            passed=Rejected(count=len(population), milliseconds=study.screened),
            rejected={
                name: Rejected(count=count, milliseconds=rejections.milliseconds.get(name, 0.0))
                for name, count in counts.items()
                if count
            },
            predictions=tuple(
                RungPrediction.model_validate(each, from_attributes=True)
                for each in predictions(self.ladder, population, seed=plan.seed)
            ),
            ablations=self.ablations,
            laws=self.laws,
            finalists=self.finalists,
        )

    def _ranked(self) -> list[Individual]:
        return [one for one in by_merit(self.study.population, self.ladder.names) if one.rung]


def formula_of(one: Individual) -> Formula:
    """An individual as plain data, with the numbers that it had when it was best."""
    candidate, settings = with_settings(one.candidate, one.settings)
    return Formula(
        number=one.number,
        arm=one.arm,
        formula=candidate.formula,
        key=candidate.key,
        length=candidate.length,
        entry=one.operation if one.arm == "registry" else "",
        operation=one.operation,
        parents=one.parents,
        scores=dict(one.scores),
        settings=settings,
        cost=one.cost,
        seconds=one.seconds,
        niche=one.fingerprint.niche,
    )


def _machine(about: dict[str, str]) -> str:
    return ", ".join(about[name] for name in ("processor", "cores", "device") if name in about)
