"""The listener that lets a pruner end runs."""

from __future__ import annotations

from collections.abc import Callable

from attenergy.search.planning.pruners import Pruner
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener


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
