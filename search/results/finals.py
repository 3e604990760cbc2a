"""The race of finalists: their runs, from what is recorded and what the budget leaves."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from attenergy.registry import ArgumentError
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.results import formats
from attenergy.search.results.race import RaceRules, Round, next_round
from attenergy.search.runs.config import RunConfig, RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task

_MOST_NAMES = 4  # contenders that a title names


@dataclass(frozen=True)
class FinalsRound:
    """Runs that come next, and what to say of them.

    Attributes:
        runs: not recorded yet; none at the end.
        title: name of the phase; empty for the first round.
        end: why there are none, in a sentence; empty where there is nothing to say.
    """

    runs: list[RunConfig]
    title: str = ""
    end: str = ""


class TimeForRuns(Protocol):
    """What a time allows, from now on."""

    def fits(self, configs: Sequence[RunConfig]) -> bool:
        """Whether these runs are likely to end in it."""

    def affordable(self, configs: Sequence[RunConfig]) -> int:
        """How many runs like these are likely to end in it."""


class Finals:
    """Configurations that are run over seeds until the race between them is decided.

    Args:
        configs: one run of each finalist, with the first seed.
        reference: which of them the others are held against; None for no race.
        seeds: of everybody in the first round.
        budget: of the race; seconds count from now.
        task: for its metric, chance and ceiling on the valid split.
        slots: runs at a time.
        clock: seconds, for tests.
        allowed: the time of the whole search, if that is limited.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        reference: RunConfig | None,
        seeds: int,
        budget: FinalBudget,
        task: Task,
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
        allowed: TimeForRuns | None = None,
    ) -> None:
        self._configs = {config.config_hash(): config for config in configs}
        self._first = min((config.seed for config in configs), default=0)
        self._reference, self._seeds, self._budget = reference, seeds, budget
        self._task, self._slots, self._clock = task, max(1, slots), clock
        self._since, self._allowed = clock(), allowed
        self._checked: set[str] = set()  # keys of records whose seed is the run's

    @property
    def first_round(self) -> list[RunConfig]:
        """The runs of the first round, whether they are recorded or not."""
        seeds = range(self._first, self._first + self._seeds)
        return [self._run(name, seed) for seed in seeds for name in self._configs]

    def runs(self, records: Iterable[RunRecord]) -> list[RunConfig]:
        """The runs of the first round, and all others that are recorded."""
        if self._budget.measure == "none":
            return self.first_round
        later = [
            self._run(name, seed)
            for name, by_seed in self._recorded(records).items()
            for seed in sorted(by_seed)
            if seed >= self._first + self._seeds
        ]
        return self.first_round + later

    def wants(self, config: RunConfig) -> bool:
        """Whether a run belongs to these finals: to the first round, or to one that was begun."""
        last = self._first + self._seeds - 1
        begun = self._budget.measure != "none" or config.seed <= last
        return config.config_hash() in self._configs and config.seed >= self._first and begun

    def next(self, records: Iterable[RunRecord]) -> FinalsRound:
        """The runs that come next, from the records of those that were made."""
        recorded = self._recorded(records)
        missing = [
            config
            for config in self.first_round
            if config.seed not in recorded[config.config_hash()]
        ]
        if missing and not self._fits(missing[:1]):
            return FinalsRound([], end="the finals end before their first round is whole: no time")
        if missing or self._budget.measure == "none" or self._reference is None:
            return FinalsRound(missing)
        scores = {
            name: {seed: self._score(record) for seed, record in by_seed.items()}
            for name, by_seed in recorded.items()
        }
        past = [record for by_seed in recorded.values() for record in by_seed.values()]
        coming = next_round(self._rules, scores, self._left(past))
        while coming.runs and not self._fits([self._run(*entry) for entry in coming.runs]):
            coming = next_round(self._rules, scores, len(coming.runs) - 1)
        if not coming.runs:
            return FinalsRound([], end=self._ending(coming, len(past)))
        return FinalsRound([self._run(*entry) for entry in coming.runs], self._title(coming))

    def _run(self, name: str, seed: int) -> RunConfig:
        return self._configs[name].model_copy(update={"seed": seed})

    def _recorded(self, records: Iterable[RunRecord]) -> dict[str, dict[int, RunRecord]]:
        """Contender -> seed -> record, of the seeds of finals."""
        by_name: dict[str, dict[int, RunRecord]] = {name: {} for name in self._configs}
        for record in records:
            if record.config_hash in by_name and record.config.seed >= self._first:
                self._check_key(record)
                by_name[record.config_hash][record.config.seed] = record
        return by_name

    def _check_key(self, record: RunRecord) -> None:
        """See that the record is of the run that its key says, or it would be made for ever.

        Raises:
            ArgumentError: it is of another seed.
        """
        if record.key in self._checked:
            return
        if self._run(record.config_hash, record.config.seed).run_key() != record.key:
            raise ArgumentError(
                f"the record of run {record.key} says seed {record.config.seed}, which is not the "
                "seed of that run: it was changed by hand; remove its line from records.jsonl",
                topic="record-file",
            )
        self._checked.add(record.key)

    def _score(self, record: RunRecord) -> float | None:
        if record.status != "complete":
            return None
        return record.metrics.get("valid", {}).get(self._task.metric)

    @cached_property
    def _rules(self) -> RaceRules:
        metric, ceiling = self._task.metric, self._task.ceiling("valid")
        reference = self._reference
        return RaceRules(
            contenders=tuple(self._configs),
            reference=None if reference is None else reference.config_hash(),
            first=self._first,
            seeds=self._seeds,
            slots=self._slots,
            chance=self._task.chance.get(metric),
            ceiling=None if ceiling is None else ceiling.value,
        )

    def _left(self, past: Sequence[RunRecord]) -> int:
        """How many more runs the budget pays for, and the time of the whole search allows."""
        own = self._left_of_budget(past)
        if self._allowed is None:
            return own
        return min(own, self._allowed.affordable(list(self._configs.values())))

    def _fits(self, configs: Sequence[RunConfig]) -> bool:
        return self._allowed is None or self._allowed.fits(configs)

    def _left_of_budget(self, past: Sequence[RunRecord]) -> int:
        budget = self._budget
        if budget.measure == "rest":
            return sys.maxsize
        if budget.measure == "seconds":
            seconds = [record.cost["seconds"] for record in past if "seconds" in record.cost]
            left = budget.amount - (self._clock() - self._since)
            return max(0, math.floor(left * self._slots / max(fmean(seconds or [1.0]), 1e-3)))
        each = len(self._configs) if budget.measure == "seeds" else 1
        return max(0, int(budget.amount) * each - len(past))

    def _title(self, coming: Round) -> str:
        seeds = sorted({seed - self._first + 1 for _, seed in coming.runs})
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        word = "seed" if len(seeds) == 1 else "seeds"
        return f"finals, {word} {span}: {self._names(coming.undecided)} (undecided)"

    def _names(self, contenders: Sequence[str]) -> str:
        names = list(dict.fromkeys(self._configs[name].variant for name in contenders))
        more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
        return ", ".join(names[:_MOST_NAMES] + more)

    def _ending(self, coming: Round, runs: int) -> str:
        after = f"after {formats.counted(runs, 'run')}"
        names = self._names(coming.undecided)
        return {
            "decided": f"the finals are decided {after}",
            "unlearned": f"the finals end {after}: nobody is much above chance, and more seeds "
            "would not change that",
            "spent": f"the finals end {after}, with the budget spent; undecided: {names}",
        }.get(coming.end, "")
