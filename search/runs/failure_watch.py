"""Whether every run fails in the same way."""

from __future__ import annotations

import re

from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.errors import SameFailure
from attenergy.search.runs.events import ForwardingListener, Listener

_LEAST = 5  # runs
_VARIANTS = 8  # that must have failed, if so many take part


class FailureWatch(ForwardingListener):
    """Forwards every event, and ends a search or a comparison in which nothing works.

    That is where no run has ever given a result, and at least five of this session have failed with
    the same reason but for its numbers, among them one of every variant, or of eight.

    Args:
        inner: receives everything.
        variants: how many take part.
        known: records of earlier sessions.

    Raises:
        SameFailure: in `finished`.
    """

    def __init__(self, inner: Listener, variants: int, known: list[RunRecord]) -> None:
        super().__init__(inner)
        self._variants = min(variants, _VARIANTS)
        self._over = any(record.status != "failed" for record in known)
        self._kind: str | None = None
        self._failed: list[str] = []

    def finished(self, record: RunRecord) -> None:
        """Compare the failure with those before."""
        super().finished(record)
        kind = re.sub(r"0x[0-9a-f]+|\d+", "#", record.reason)
        self._over = self._over or record.status != "failed" or kind != (self._kind or kind)
        if self._over:
            return
        self._kind = kind
        self._failed.append(record.config.variant)
        if len(self._failed) >= _LEAST and len(set(self._failed)) >= self._variants:
            raise SameFailure(len(self._failed), record.reason)
