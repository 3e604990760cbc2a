"""One retry, then failed: what becomes of a run whose worker has died."""

from __future__ import annotations

from dataclasses import dataclass, field

from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failures import clean
from attenergy.search.runs.provenance import Purpose

#: Workers, or processes of the driver itself, that one run may cost.
TRIES = 2


@dataclass
class Assignment:
    """A run that a worker has, and what became of the workers that had it before."""

    config: RunConfig
    purpose: Purpose
    deaths: list[str] = field(default_factory=list)

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
        if len(self.deaths) + 1 >= TRIES:
            return self.failed(death)
        self.deaths.append(death)
        listener.message(f"run {self.key}: {death}; trying once more")
        return None

    def failed(self, reason: str) -> RunRecord:
        """The record of a run that ended without a result and is not tried again."""
        retried = f"; retried once: {self.deaths[0]}" if self.deaths else ""
        return provenance.failed(self.config, self.purpose, f"{reason}{retried}")

    def finished(self, record: RunRecord) -> RunRecord:
        """The record of a run that came to its end, with what became of earlier workers."""
        if not self.deaths:
            return record
        reason = "; ".join(filter(None, [f"retried once: {self.deaths[0]}", record.reason]))
        return record.model_copy(update={"reason": clean(reason)})
