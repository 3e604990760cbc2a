"""Policies compared: the regret of each, over many replays of a search of each length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attenergy.search.bench.policy import SearchPolicy
from attenergy.search.bench.replay import Replayed, replay
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
    """All outcomes on one table; the reference is the first policy in the longest searches."""

    table: str
    workers: int
    repeats: int
    best: float
    mean: float
    outcomes: tuple[Outcome, ...]

    @property
    def reference(self) -> Outcome:
        """The first policy in the longest searches."""
        first = [each for each in self.outcomes if each.policy == self.outcomes[0].policy]
        return max(first, key=lambda each: each.minutes)

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        rows = [
            {
                **asdict(each),
                "regrets": [round(regret, 5) for regret in each.regrets],
                "course": [round(regret, 5) for regret in each.course],
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
) -> BenchResult:
    """Replay searches, each with the seeds 0, 1, ...

    Args:
        searches: the name of a policy, the policy, and how many simulated minutes it has. The first
            policy, in its longest searches, is the reference.
        world: what runs give and cost.
        repeats: replays of each.
        workers: runs at a time.
        progress: is called after every replay.

    Raises:
        ValueError: the table has no runs of the length that a policy's trials have.
    """
    outcomes = []
    for name, policy, minutes in searches:
        replays = []
        for seed in range(repeats):
            replays.append(replay(policy, world, 60 * minutes, workers=workers, seed=seed))
            if progress is not None:
                progress(name, minutes, seed + 1, repeats)
        outcomes.append(_outcome(name, minutes, replays))
    return BenchResult(
        table=world.table.name,
        workers=workers,
        repeats=repeats,
        best=world.best,
        mean=world.mean,
        outcomes=tuple(outcomes),
    )


def _outcome(name: str, minutes: float, replays: Sequence[Replayed]) -> Outcome:
    moments = [60 * minutes * part / PARTS for part in range(1, PARTS + 1)]
    return Outcome(
        policy=name,
        minutes=minutes,
        regrets=tuple(each.regret() for each in replays),
        course=tuple(_mean(each.regret(second) for each in replays) for second in moments),
        trials=_mean(each.trials for each in replays),
        finals=_mean(each.finals for each in replays),
        used=_mean(each.seconds / 60 for each in replays),
    )


def _mean(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
