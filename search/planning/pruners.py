"""The pruners, which end hopeless runs early: one row each, open for others to add to.

Where a task is recalled or not, a curve sits at chance and then jumps, and layers of several steps
jump later. A pruner that compares curves half-way would end exactly these, so none is judged
before its task's warm-up is over, none while it climbs, and none at chance before its patience is
spent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from attenergy.registry import ArgumentTypeError, Catalogue
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener


@dataclass
class Curve:
    """What is known of one run: its score after each share of its training."""

    config: RunConfig
    shares: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    judged: int = 0  # rungs at which it was spared

    def add(self, point: dict[str, float], metric: str) -> None:
        """Take in one point of `RunRecord.curve`; an earlier one means that the run began anew."""
        at = share(self.config, point)
        if self.shares and at <= self.shares[-1]:
            self.shares.clear()
            self.scores.clear()
            self.judged = 0
        self.shares.append(at)
        self.scores.append(point[metric])

    def best(self, until: float = math.inf) -> float:
        """The highest score up to a share of the training."""
        return max(
            (score for at, score in zip(self.shares, self.scores, strict=True) if at <= until),
            default=-math.inf,
        )


def share(config: RunConfig, point: dict[str, float]) -> float:
    """How much of its budget a run has used at a point of its curve, from 0 to 1."""
    if config.seconds is not None:
        return min(1.0, point["seconds"] / config.seconds)
    return point["step"] / config.training.steps if config.training.steps else 1.0


class Pruner(ABC):
    """Judges running runs by one metric, on the validation split, higher is better.

    With w = `training.prune_after` and u the share of its training that a run has behind it, the
    run is spared

        while u < w                                       (warm-up)
        while u < (1 + w)/2 and no score exceeds c + 3e   (it is still at chance)
        if its score exceeds all scores before by 3e      (it is climbing)

    c is the score of guessing and e = sqrt(c (1 - c)/n) the standard error of guessing over the n
    validation instances, taken as 1/n where it is less. Otherwise the subclass decides.

    Args:
        metric: its name in the curve.
        chance: c.
    """

    def __init__(self, metric: str, chance: float) -> None:
        self.metric, self.chance = metric, chance
        self.curves: dict[str, Curve] = {}

    def remember(self, records: Iterable[RunRecord]) -> None:
        """Take in the curves of runs that ended in an earlier session."""
        for record in records:
            if record.status in ("complete", "pruned"):
                self.begin(record.config)
                for point in record.curve:
                    self.curves[record.key].add(point, self.metric)

    def begin(self, config: RunConfig) -> None:
        """A run begins, perhaps anew."""
        self.curves[config.run_key()] = Curve(config)

    def resume(self, key: str, points: Iterable[dict[str, float]]) -> None:
        """A run goes on from a checkpoint: these points of its curve were judged before.

        Where it would have to end by what is known now, it does so at its next point.
        """
        self.begin(self.curves[key].config)
        for point in points:
            self.judge(key, point)

    def forget(self, key: str) -> None:
        """A run failed: its curve is no measure for others."""
        self.curves.pop(key, None)

    def judge(self, key: str, point: dict[str, float]) -> str:
        """Take in a point of a curve; return why the run should end, or an empty text."""
        curve = self.curves[key]
        curve.add(point, self.metric)
        at = curve.shares[-1]
        if at >= 1 or at < curve.config.training.prune_after or self._plateau(curve):
            return ""
        verdict: object = self.verdict(key, curve) or ""
        if not isinstance(verdict, str):  # of a user's own, as True for "go on"
            raise ArgumentTypeError(
                f"the verdict of {type(self).__name__} must be a text, why the run should end or "
                f"empty, got {verdict!r:.60}"
            )
        return f"after {at:.0%} of its training {self.metric} {verdict}" if verdict else ""

    def _plateau(self, curve: Curve) -> bool:
        training = curve.config.training
        n = training.valid_instances
        noise = 3 * math.sqrt(max(self.chance * (1 - self.chance), 1 / n) / n)
        best, before = curve.best(), max(curve.scores[:-1], default=-math.inf)
        if best <= self.chance + noise:
            return curve.shares[-1] < (1 + training.prune_after) / 2
        return curve.scores[-1] > before + noise

    def _others(self, key: str, at: float) -> list[float]:
        """Best scores up to the share `at` of all other runs that came so far."""
        others = (curve for name, curve in self.curves.items() if name != key)
        return [curve.best(at) for curve in others if curve.shares and curve.shares[-1] >= at]

    @abstractmethod
    def verdict(self, key: str, curve: Curve) -> str:
        """Why the run should end; empty if it should not."""


class MedianPruner(Pruner):
    """Ends a run whose best score is below the median of the best scores of others by then.

    It needs five others that came as far.

    Source: Golovin et al. 2017, "Google Vizier", section 3.1.2.
    """

    others_needed = 5

    def verdict(self, key: str, curve: Curve) -> str:
        """Below the median of what the others had reached by then."""
        others = self._others(key, curve.shares[-1])
        if len(others) < self.others_needed or curve.best() >= median(others):
            return ""
        return f"{curve.best():.3f} is below {median(others):.3f}, the median of {len(others)} runs"


class HalvingPruner(Pruner):
    r"""Asynchronous successive halving (ASHA): at every rung the better half goes on.

    The rungs are the shares $w, 2w, 4w, \dots < 1$ of the training, w = `prune_after`; 0 counts as
    1/8. A run that was spared at a rung is judged there later, by its score of that time.

    Source: Li et al. 2020, arXiv:1810.05934, in the form that stops runs.
    """

    def verdict(self, key: str, curve: Curve) -> str:
        """Not in the better half at the last rung that was reached."""
        at = curve.shares[-1]
        first = curve.config.training.prune_after or 1 / 8
        if at < first:
            return ""
        rung = 1 + int(math.log2(at / first) + 1e-9)
        if curve.judged >= rung:
            return ""
        here = first * 2 ** (rung - 1)
        others = self._others(key, here)
        if len(others) >= 2 and curve.best() < median(others):
            return (
                f"{curve.best():.3f} is not in the better half of {len(others) + 1} runs "
                f"at the rung {here:.0%}"
            )
        curve.judged = rung
        return ""


class PruningListener(ForwardingListener):
    """Passes all events on, and ends the runs that the pruner gives up.

    Args:
        inner: hears everything.
        pruner: judges.
        stop: called with the key of a run that is to end, and the reason.
        protected: tells whether the run of a key goes to its end in any case.
    """

    def __init__(
        self,
        inner: Listener,
        pruner: Pruner,
        stop: Callable[[str, str], None],
        protected: Callable[[str], bool],
    ) -> None:
        super().__init__(inner)
        self._pruner, self._stop, self._protected = pruner, stop, protected

    def started(self, config: RunConfig) -> None:
        """Begin a curve."""
        self._pruner.begin(config)
        super().started(config)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Judge."""
        super().evaluated(key, point)
        reason = self._pruner.judge(key, point)
        if reason and not self._protected(key):
            self._stop(key, reason)

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Take in what the run had been judged by before."""
        self._pruner.resume(key, curve)
        super().continued(key, step, curve)

    def finished(self, record: RunRecord) -> None:
        """Forget a curve that is no measure for others."""
        if record.status not in ("complete", "pruned"):
            self._pruner.forget(record.key)
        super().finished(record)


def _no_pruner(metric: str, chance: float) -> None:
    """No run is ended early."""


#: Every pruner by its name: makes it from the metric that it judges by and the score of guessing.
PRUNERS: Catalogue[Callable[[str, float], Pruner | None]] = Catalogue(
    "pruner",
    Pruner,
    {
        "none": _no_pruner,
        "median": MedianPruner,
        "asha": HalvingPruner,
    },
)

register_pruner = PRUNERS.register
