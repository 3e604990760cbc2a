"""Which configuration a search would name, if it ended now."""

from __future__ import annotations

from statistics import fmean

from attenergy.search.bench.world import World
from attenergy.search.runs.config import RunConfig, RunRecord


class Choice:
    """Follows the records of a search and says by how much the best of them falls short.

    Stages follow each other: trials, those that survive, finals. Within one, the configuration with
    the best mean score is named. At the begin of a stage that is still the one of the stage before,
    until it has a score in this stage too.

    Args:
        world: knows the true scores.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._leader: RunConfig | None = None
        self._scores: dict[int, list[float]] = {}
        self._configs: dict[int, RunConfig] = {}
        #: second and regret, at every change
        self.regrets: list[tuple[float, float]] = [(0.0, float(world.best - world.mean))]

    @property
    def leader(self) -> RunConfig | None:
        """What would be named; None before the first score."""
        return self._leader

    def next_stage(self) -> None:
        """From now on other scores count."""
        self._scores, self._configs = {}, {}

    def add(self, record: RunRecord, second: float) -> None:
        """Take in what came of a run."""
        if record.status != "complete":
            return
        (score,) = record.metrics["valid"].values()
        name = self._world.number(record.config)
        self._scores.setdefault(name, []).append(score)
        self._configs.setdefault(name, record.config)
        if self._leader is not None and self._world.number(self._leader) not in self._scores:
            return
        best = max(self._scores, key=lambda each: fmean(self._scores[each]))
        self._leader = self._configs[best]
        regret = self._world.best - self._world.truth(self._leader)
        if regret != self.regrets[-1][1]:
            self.regrets.append((second, float(regret)))
