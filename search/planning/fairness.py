"""What is made equal for all runs: training steps, training FLOPs, or seconds of training."""

from __future__ import annotations

from attenergy.registry import ArgumentError
from attenergy.search.engines.base import Executor, run_all
from attenergy.search.planning.plan import Fairness
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.training.known_cost import KnownCosts


class EqualTraining:
    """Gives every run as much as the reference has.

    Args:
        fairness: what is equal.
        reference: the run that is the measure, with its number of training steps.
        seconds: for the fairness `seconds`; if None, runs go by steps until `measured` is given
            the record of the reference.
    """

    def __init__(
        self, fairness: Fairness, reference: RunConfig, seconds: float | None = None
    ) -> None:
        self.fairness, self.reference, self.seconds = fairness, reference, seconds
        self._known = KnownCosts()

    @property
    def waits(self) -> bool:
        """Whether the reference has to be run first, because its time is the measure."""
        return self.fairness == "seconds" and self.seconds is None and bool(self._steps)

    def measured(self, record: RunRecord) -> None:
        """Take the seconds of training of the reference's first run as the measure.

        Raises:
            ValueError: the run gave no result, so there is nothing to measure by.
        """
        if record.status != "complete":
            raise ArgumentError(
                f"the first run of the reference {self.reference.variant!r} was to set the seconds "
                f"for all, but ended as {record.status}: {record.reason}. Give the seconds yourself"
            )
        self.seconds = record.cost["train_seconds"]

    def fit(self, config: RunConfig, steps: int | None = None) -> RunConfig:
        """The run with its share of training.

        Args:
            config: what to run.
            steps: steps of the reference that the run is worth; its own number if None.
        """
        if not config.training.steps:
            return config
        steps = steps or self._steps
        if self.fairness == "flops" and self._steps:
            equal = steps * self._per_step(self.reference) / self._per_step(config)
            return config.with_steps(max(1, round(equal)))
        if self.fairness == "seconds" and self.seconds is not None:
            seconds = self.seconds * (steps / max(1, self._steps))
            return config.with_steps(steps).model_copy(update={"seconds": seconds})
        return config.with_steps(steps)

    @property
    def _steps(self) -> int:
        return self.reference.training.steps

    def _per_step(self, config: RunConfig) -> float:
        """FLOPs of one training step, but for the factor of the backward pass."""
        return max(1.0, self._known.trained_flops(config)) * config.training.batch_size


def measure(equal: EqualTraining, executor: Executor, store: RunStore, listener: Listener) -> None:
    """Run the reference first, if its time is the measure and not known yet."""
    if not equal.waits:
        return
    key = equal.reference.run_key()
    listener.phase("reference", int(store.get(key) is not None), 1)
    run_all([equal.reference], "trial", executor, store, listener)
    record = store.get(key)
    assert record is not None
    equal.measured(record)
