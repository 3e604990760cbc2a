"""One retry, then failed: what becomes of a run whose worker has died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attenergy.search.engines.watch import Watch
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import clean
from attenergy.search.runs.provenance import Purpose

#: Workers, or processes of the driver itself, that one run may cost between two checkpoints.
TRIES = 2


@dataclass
class Assignment:
    """A run that a worker has, and what became of the workers that had it before."""

    config: RunConfig
    purpose: Purpose
    deaths: list[str] = field(default_factory=list)
    since_checkpoint: int = 0  # deaths without a new checkpoint

    @property
    def key(self) -> str:
        """Of the run."""
        return self.config.run_key()

    def worker_died(self, death: str, listener: Listener) -> RunRecord | None:
        """Note that the run has cost a worker.

        Returns:
            The record of a failed run if that was its last try; None if it is to be tried again,
            which the listener is told.
        """
        self.since_checkpoint += 1
        if self.since_checkpoint >= TRIES:
            return self.failed(death)
        self.deaths.append(death)
        listener.message(f"run {self.key}: {death}; trying once more")
        return None

    def note(
        self, event: str, values: Sequence[Any], listener: Listener, watch: Watch | None = None
    ) -> None:
        """Take in an event of `attenergy.search.training.checkpoint.Notify`.

        Args:
            event: its name.
            values: of the event.
            listener: is told what concerns it.
            watch: of the worker that has the run.
        """
        if event == "saved":  # it has come further: what ended a worker need not do so again
            self.since_checkpoint = 0
        elif event == "message":
            listener.message(f"run {self.key}: {values[0]}")
        elif event == "continued":
            step, seconds, curve = values
            if watch is not None:
                watch.begin(seconds)
            listener.continued(self.key, step, curve)
            listener.message(f"run {self.key} goes on from step {step}")

    def failed(self, reason: str) -> RunRecord:
        """The record of a run that ended without a result and is not tried again."""
        reason = "; ".join(filter(None, [reason, self._retried()]))
        return provenance.failed(self.config, self.purpose, reason)

    def finished(self, record: RunRecord) -> RunRecord:
        """The record of a run that came to its end, with what became of earlier workers."""
        if not self.deaths:
            return record
        reason = "; ".join(filter(None, [self._retried(), record.reason]))
        return record.model_copy(update={"reason": clean(reason)})

    def _retried(self) -> str:
        if len(self.deaths) <= 1:
            return "".join(f"retried once: {death}" for death in self.deaths)
        return f"retried {len(self.deaths)} times: {', '.join(dict.fromkeys(self.deaths))}"
