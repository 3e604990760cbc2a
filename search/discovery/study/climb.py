"""The way of one candidate up the ladder: which run comes next, and what came of the last."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from attenergy.registry import EnergySpec
from attenergy.search.comparison.configure import CHOOSING_SEED
from attenergy.search.discovery.filters.screen import screen
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.ladder.promotion import next_rung
from attenergy.search.discovery.ladder.rungs import Ladder, Rung, settings_of
from attenergy.search.discovery.ladder.settings import SettingsSearch
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.runs.config import RunConfig, RunRecord


class Climb:
    """The runs of one candidate, one after the other.

    On the first rung its settings are searched; the best of them are its settings on all others,
    each of which is one run.

    What comes next is decided by what came before alone, so that a discovery that goes on asks for
    the same runs, and takes from the records what they hold.

    Args:
        individual: the candidate, without scores.
        ladder: its rungs.
        seed: of the search for settings, and of who goes on at random. Every run has the seed that
            chooses (`CHOOSING_SEED`), which no final has, whatever this one is.
        baseline_flops: of softmax's forward pass on the first rung.
        bar: score of rivals on the first rung; None without any.
        entry: of the registry, where the candidate is what a formula can say of one. Whole runs are
            of the entry itself: of its formula as it is written, field and initial values included.

    Attributes:
        individual: with what is known by now.
        runs: keys of its runs.
        rung: on which its next run is; None where its way ends, or is not decided.
    """

    def __init__(
        self,
        individual: Individual,
        ladder: Ladder,
        seed: int,
        baseline_flops: float,
        bar: float | None = None,
        entry: EnergySpec | None = None,
    ) -> None:
        self._entry = entry
        self.individual = individual
        self.runs: tuple[str, ...] = ()
        self.rung: Rung | None = ladder.rungs[0]
        self._ladder, self._seed, self._baseline_flops = ladder, seed, baseline_flops
        self._settings = SettingsSearch(
            individual.candidate, ladder.rungs[0], seed, bar=bar, accepts=_passes
        )
        self._proposed = self._settings.ask()

    @property
    def searched(self) -> bool:
        """Whether the search for its settings is over."""
        return self._proposed is None

    @property
    def config(self) -> RunConfig:
        """The next run.

        Raises:
            RuntimeError: there is none.
        """
        if self.rung is None:
            raise RuntimeError("the way of this candidate has ended")
        settings = self._settings.best if self._proposed is None else self._proposed
        if self._entry is not None and self.rung.trained:
            own = settings_of(self._entry, settings)
            return self.rung.run_of(self.individual.name, self._entry, own, CHOOSING_SEED)
        return self.rung.config(self.individual.candidate, settings, CHOOSING_SEED)

    def take(self, record: RunRecord) -> None:
        """Take in the record of the run that `config` asked for."""
        assert self.rung is not None
        one, name = self.individual, self.rung.name
        score, before = self.rung.score(record), one.scores.get(name, -math.inf)
        if self._proposed is not None:
            if not self.runs or score > before:
                flops = record.cost.get("forward_flops", self._baseline_flops)
                one = replace(one, cost=flops / self._baseline_flops)
            self._settings.tell(self._proposed, score)
            self._proposed = self._settings.ask()
        self.runs = (*self.runs, record.key)
        self.individual = replace(
            one,
            scores={**one.scores, name: max(score, before)},
            seconds=one.seconds + record.cost.get("seconds", 0.0),
            settings=dict(self._settings.best),
        )
        if self.searched:
            self.rung = None

    def decide(self, rivals: Sequence[Individual], unused: Collection[str] = ()) -> None:
        """Decide whether it goes on to another rung, once it has its score on the last.

        Args:
            rivals: individuals of its arm, this one with what is known of it included.
            unused: names of rungs that do not predict.
        """
        self.rung = next_rung(self._ladder, self.individual, rivals, seed=self._seed, unused=unused)
        if self.rung is None:
            self.individual = replace(self.individual, ended=True)


def _passes(candidate: Candidate) -> bool:
    """Whether a candidate with other numbers still passes the filters.

    Whether it is known does not matter here, and to find that out takes longest.
    """
    return not screen(candidate, excused=("known",)).rejected_by
