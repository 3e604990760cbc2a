"""How long runs take, learned from those that were made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from statistics import fmean

from attenergy.search.runs.config import RunConfig, RunRecord

_MEMORY = 6  # trials: what is older counts for less than half
_LATEST = 8  # runs of one kind that its estimate is made from
_SWING = 4.0  # no single run tells of a machine that is more than so many times slower or faster
#: How much longer than the baseline's a run of any variant is taken to be, before there are any.
OTHERS = 1.3


@dataclass(frozen=True)
class _Parts:
    """What a run took: seconds of a training step, and of everything else, by the instance."""

    step: float
    other: float


class Pace:
    """Seconds of runs: those of one configuration, of its variant, or of any, as far as is known.

    A run takes its training steps, and beside them as long as what is evaluated is large. What
    the latest runs took, against what those like them took before, says how busy the machine is,
    and scales everything.

    Args:
        clock: seconds.
        records: of earlier sessions.
        pauses: whether trials pause; a whole one is not like them then.
    """

    pauses: bool

    def __init__(
        self,
        clock: Callable[[], float],
        records: Iterable[RunRecord] = (),
        *,
        pauses: bool = False,
    ) -> None:
        self._clock, self.pauses = clock, pauses
        self._began: dict[str, float] = {}
        self._kinds: dict[str, list[_Parts]] = defaultdict(list)
        self._trial_sum = self._trial_weight = 0.0  # recent trials, of any status
        self._busy = 1.0
        for record in records:
            self._learn(record, record.cost.get("seconds", 0.0))

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return bool(self._kinds[""])

    @property
    def trial(self) -> float:
        """Seconds of the next trial, whatever it will be; 0 if nothing is known."""
        return self._trial_sum / self._trial_weight if self._trial_weight else 0.0

    def begin(self, config: RunConfig) -> None:
        """A run begins."""
        self._began[config.run_key()] = self._clock()

    def end(self, record: RunRecord) -> None:
        """A run has ended; one that another driver had tells its seconds itself."""
        begun = self._began.pop(record.key, None)
        if record.continued:  # it was broken off before, and went on in a part of its time
            begun = None
        seconds = record.cost.get("seconds", 0.0) if begun is None else self._clock() - begun
        if seconds <= 0:
            return
        before = self._kinds[_shape(record.config)] or self._kinds[record.config.variant]
        if before and record.status == "complete":
            ratio = seconds / max(_seconds(before, record.config), 1e-9)
            swing = math.log(min(_SWING, max(1 / _SWING, ratio / self._busy)))
            self._busy *= math.exp(swing / 3)
        self._learn(record, seconds)

    def calibrate(self, records: Sequence[RunRecord], reference: RunConfig) -> bool:
        """Begin with short runs of the reference, which count until there are others.

        Returns whether any of them gave a result.

        Args:
            records: of the short runs; those that gave no result are passed over.
            reference: at its real length.
        """
        complete = [record for record in records if record.status == "complete"]
        self._kinds[""] += [_parts(record, record.cost["seconds"]) for record in complete]
        if complete:
            self.expect_like(reference)
        return bool(complete)

    def expect_like(self, reference: RunConfig) -> None:
        """Take trials to be like the reference, and those of others a little longer."""
        self._trial_sum, self._trial_weight = OTHERS * self.expected(reference), 1.0

    def expected(self, config: RunConfig) -> float:
        """Seconds that a run will take; 0 if nothing is known."""
        kinds = (_shape(config), config.variant, "")
        parts = next((self._kinds[kind] for kind in kinds if self._kinds[kind]), None)
        return 0.0 if parts is None else self._busy * _seconds(parts, config)

    def together(self, configs: Iterable[RunConfig], slots: int) -> float:
        """Seconds that runs will take, so many at a time, each begun when a slot is free."""
        ends = [0.0] * slots
        heapify(ends)
        for config in configs:
            heapreplace(ends, ends[0] + self.expected(config))
        return max(ends)

    def _learn(self, record: RunRecord, seconds: float) -> None:
        if seconds <= 0:
            return
        if record.purpose == "trial" and bool(record.config.pause) == self.pauses:
            fades = 0.5 ** (1 / _MEMORY)
            self._trial_sum = fades * self._trial_sum + seconds
            self._trial_weight = fades * self._trial_weight + 1
        if record.status != "complete":
            return
        parts = _parts(record, seconds)
        for kind in (_shape(record.config), record.config.variant, ""):
            self._kinds[kind] = [*self._kinds[kind], parts][-_LATEST:]


def _shape(config: RunConfig) -> str:
    """What is equal for runs that differ in their seed and length alone."""
    same = config.model_copy(update={"seed": 0, "seconds": None})
    return same.with_steps(1).config_hash()


def _parts(record: RunRecord, seconds: float) -> _Parts:
    train = min(seconds, record.cost.get("train_seconds", 0.0))
    per_step = record.cost.get("ms_per_step", 0.0) / 1000
    steps = train / per_step if per_step > 0 else 0.0
    return _Parts(train / max(1.0, steps), (seconds - train) / _instances(record.config))


def _seconds(parts: Sequence[_Parts], config: RunConfig) -> float:
    """What a run takes if it is like these."""
    training = config.training
    train = config.last_step * fmean(part.step for part in parts)
    if config.seconds is not None and training.steps:
        train = config.seconds
    return train + _instances(config) * fmean(part.other for part in parts)


def _instances(config: RunConfig) -> float:
    """About how many instances a run is evaluated on; most tasks have two splits besides."""
    training = config.training
    looks = max(1, -(-config.last_step // max(1, training.evaluate_every)))
    if config.seconds is not None:
        looks = 1
    others = 2 * training.test_instances if config.pause is None else 0
    return max(1.0, looks * training.valid_instances + others)
