"""Workers that take no time: the runs of a world, in the order of their simulated seconds."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from attenergy.search.bench.world import Drawn, World
from attenergy.search.runs.config import RunConfig, RunRecord, Status
from attenergy.search.runs.provenance import Purpose


@dataclass
class SimulatedRun:
    """A run of a world, as far as it has come.

    Attributes:
        config: what is run.
        drawn: how it goes from its begin to its end.
        points: how many points of its curve have come.
        pause: after how many it gives up its worker.
        began: simulated second at which it began, less what it paused.
    """

    config: RunConfig
    drawn: Drawn
    points: int
    pause: int
    began: float

    @property
    def step(self) -> int:
        """Training steps so far."""
        return self.drawn.at[self.points - 1] if self.points else 0

    @property
    def score(self) -> float:
        """The latest score."""
        return self.drawn.scores[self.points - 1]

    @property
    def ended(self) -> bool:
        """Whether all its points have come."""
        return self.points == len(self.drawn.at)

    def point(self, metric: str) -> dict[str, float]:
        """Its latest point, as in the curve of a record."""
        return {"step": self.step, metric: self.score}

    def record(self, metric: str, purpose: Purpose, now: float, stopped: str = "") -> RunRecord:
        """What a search records of it.

        Args:
            metric: of the scores.
            purpose: trial or final.
            now: the simulated second.
            stopped: why it was given up; empty for one that was not.
        """
        status: Status = "pruned" if stopped else "complete"
        if self.drawn.diverged and self.ended:
            status = "diverged"
        past = zip(self.drawn.at[: self.points], self.drawn.scores, strict=False)
        # Not checked: a search makes many of them, and all of it is the toolkit's own.
        return RunRecord.model_construct(
            key=self.config.run_key(),
            config_hash=self.config.config_hash(),
            config=self.config,
            status=status,
            reason=stopped,
            metrics={} if status == "diverged" else {"valid": {metric: self.score}},
            curve=[{"step": step, metric: score} for step, score in past],
            cost={"seconds": now - self.began},
            purpose=purpose,
        )


class SimulatedWorkers:
    """A number of workers and a clock.

    Args:
        world: what runs give, and what they cost.
        workers: runs at a time.
        end: the second at which everything ends.
    """

    def __init__(self, world: World, workers: int, end: float = math.inf) -> None:
        self._world, self.count, self.end = world, workers, end
        self.now = 0.0
        self._coming: list[tuple[float, int, SimulatedRun]] = []
        self._order = 0

    @property
    def free(self) -> int:
        """Workers without a run; none once all is over."""
        return self.count - len(self._coming) if self.now < self.end else 0

    def begin(self, config: RunConfig, share: float = 1.0) -> SimulatedRun:
        """Begin a run.

        Args:
            config: what is run.
            share: of its training, after which it pauses.
        """
        drawn = self._world.draw(config)
        pause = sum(at <= share * config.training.steps + 1e-9 for at in drawn.at)
        run = SimulatedRun(config, drawn, 0, max(1, pause), self.now)
        self._schedule(run)
        return run

    def resume(self, run: SimulatedRun) -> None:
        """Go on with a run that paused, to its end, from where it was."""
        run.began = self.now - self._spent(run, run.points)
        run.pause = len(run.drawn.at)
        self._schedule(run)

    def evaluated(self) -> SimulatedRun | None:
        """Wait for the next evaluation of any run; None if there is none before the end."""
        if not self._coming:
            return None
        then, _, run = self._coming[0]
        if then > self.end:
            self.now = self.end
            return None
        heapq.heappop(self._coming)
        self.now = then
        run.points += 1
        return run

    def proceed(self, run: SimulatedRun) -> bool:
        """Let a run train on after an evaluation; False if it has ended or pauses here."""
        if run.points < run.pause:
            self._schedule(run)
            return True
        return False

    def _schedule(self, run: SimulatedRun) -> None:
        self._order += 1
        then = run.began + self._spent(run, run.points + 1)
        heapq.heappush(self._coming, (then, self._order, run))

    def _spent(self, run: SimulatedRun, points: int) -> float:
        """What the run has cost after so many points."""
        return self._world.seconds(run.config, run.drawn.at[points - 1], points) if points else 0.0
