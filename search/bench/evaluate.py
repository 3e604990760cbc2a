"""Policies compared: the regret of each, over many replays of a search of each length."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from attenergy.registry import ArgumentError
from attenergy.registry.files import read_regular
from attenergy.search.bench.policy import SearchPolicy
from attenergy.search.bench.replay import Replayed, replay
from attenergy.search.bench.table import MAX_BYTES
from attenergy.search.bench.world import World
from attenergy.search.results.statistics import Interval, mean_interval

#: The regret is noted after so many equal parts of the time.
PARTS = 60
#: Called with the policy, the minutes, the replays that are done, and how many there will be.
Progress = Callable[[str, float, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What came of the searches of one policy and one length.

    Attributes:
        policy: its name, as it was asked for.
        minutes: of simulated time.
        regrets: at the end of each search: the best true score of the table minus that of the
            configuration that the search names.
        course: the mean regret after each of `PARTS` equal parts of the time.
        trials: runs before the finals, on average.
        finals: runs of finalists, on average.
        used: minutes until the end of the search, on average.
    """

    policy: str
    minutes: float
    regrets: tuple[float, ...]
    course: tuple[float, ...]
    trials: float
    finals: float
    used: float

    @property
    def regret(self) -> Interval:
        """Mean over the searches, with its 95 % interval."""
        return mean_interval(self.regrets)

    def more_than(self, other: Outcome) -> Interval:
        """The mean of the regret beyond another's, paired by the seed of the search."""
        pairs = zip(self.regrets, other.regrets, strict=True)
        return mean_interval([mine - its for mine, its in pairs])


@dataclass(frozen=True)
class BenchResult:
    """All outcomes on one table; the reference is the first policy in the longest searches.

    Attributes:
        table: its name.
        workers: runs at a time.
        repeats: replays of each policy and length.
        run_seconds: what a run of full length costs on average.
        best: the highest true score of the table.
        mean: of all of them.
        outcomes: in the order in which they were made.
    """

    table: str
    workers: int
    repeats: int
    run_seconds: float
    best: float
    mean: float
    outcomes: tuple[Outcome, ...] = ()

    @property
    def reference(self) -> Outcome:
        """The first policy in the longest searches."""
        first = [each for each in self.outcomes if each.policy == self.outcomes[0].policy]
        return max(first, key=lambda each: each.minutes)

    def matching(self, other: BenchResult | None) -> tuple[Outcome, ...]:
        """The outcomes of another result, if they are of the same table and sizes."""
        if other is None or replace(other, outcomes=()) != replace(self, outcomes=()):
            return ()
        return other.outcomes

    @classmethod
    def read(cls, path: Path) -> BenchResult:
        """Read what `data` was written to.

        Raises:
            ValueError: it is something else.
            OSError: it cannot be read.
        """
        try:
            data = json.loads(read_regular(path, MAX_BYTES))
            own = [field.name for field in fields(Outcome)]
            outcomes = tuple(
                Outcome(**{n: _plain(row[n]) for n in own}) for row in data["outcomes"]
            )
            known = {field.name: data[field.name] for field in fields(cls)}
        except (ValueError, TypeError, LookupError) as error:
            raise ArgumentError(f"{path}: no result of a bench of policies") from error
        return cls(**{**known, "outcomes": outcomes})

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        rows = [
            {
                **asdict(each),
                "regret": asdict(each.regret),
                "more_than_reference": asdict(each.more_than(self.reference)),
            }
            for each in self.outcomes
        ]
        reference = {"policy": self.reference.policy, "minutes": self.reference.minutes}
        return {**asdict(self), "reference": reference, "outcomes": rows}


def evaluate(
    searches: Sequence[tuple[str, SearchPolicy, float]],
    world: World,
    *,
    repeats: int = 200,
    workers: int = 2,
    progress: Progress | None = None,
    made: Callable[[BenchResult], None] | None = None,
    earlier: BenchResult | None = None,
) -> BenchResult:
    """Replay searches, each with the seeds 0, 1, ...

    Args:
        searches: the name of a policy, the policy, and how many simulated minutes it has. The first
            policy, in its longest searches, is the reference.
        world: what runs give and cost.
        repeats: replays of each.
        workers: runs at a time.
        progress: is called after every replay.
        made: is called with the result so far, after every policy and length.
        earlier: what it holds of the same table and sizes is not made again.

    Raises:
        ValueError: the table has no runs of the length that a policy's trials have.
    """
    result = BenchResult(
        table=world.table.name,
        workers=workers,
        repeats=repeats,
        run_seconds=world.mean_seconds(world.table.steps),
        best=world.best,
        mean=world.mean,
    )
    known = {(each.policy, each.minutes): each for each in result.matching(earlier)}
    for name, policy, minutes in searches:
        outcome = known.get((name, minutes))
        if outcome is None:
            replays = []
            for seed in range(repeats):
                replays.append(replay(policy, world, 60 * minutes, workers=workers, seed=seed))
                if progress is not None:
                    progress(name, minutes, seed + 1, repeats)
            outcome = _outcome(name, minutes, replays)
        result = replace(result, outcomes=(*result.outcomes, outcome))
        if made is not None:
            made(result)
    return result


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _outcome(name: str, minutes: float, replays: Sequence[Replayed]) -> Outcome:
    moments = [60 * minutes * part / PARTS for part in range(1, PARTS + 1)]
    return Outcome(
        policy=name,
        minutes=minutes,
        regrets=tuple(round(each.regret(), 5) for each in replays),
        course=tuple(
            round(_mean(each.regret(second) for each in replays), 5) for second in moments
        ),
        trials=_mean(each.trials for each in replays),
        finals=_mean(each.finals for each in replays),
        used=_mean(each.seconds / 60 for each in replays),
    )


def _mean(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
