"""What a search or a comparison tells whoever is watching."""

from __future__ import annotations

from typing import Protocol

from attenergy.search.runs.config import RunConfig, RunRecord


class Listener(Protocol):
    """Receives events in the driver's process; a terminal display and a silent one exist."""

    def phase(self, name: str, done: int, total: int) -> None:
        """A phase ("trials", "finalists", "compare") begins with `done` of `total` runs known."""

    def started(self, config: RunConfig) -> None:
        """A run was handed to a worker."""

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """The run `key` has reached training step `step` of `steps`."""

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """The run `key` was evaluated: one point of its curve (`RunRecord.curve`)."""

    def finished(self, record: RunRecord) -> None:
        """A run ended, well or badly; its record is already on disk."""

    def message(self, text: str) -> None:
        """Something worth a line."""


class Forwarding:
    """Passes all events on; what a listener adds it overrides.

    Args:
        inner: hears everything.
    """

    def __init__(self, inner: Listener) -> None:
        self._inner = inner

    def phase(self, name: str, done: int, total: int) -> None:
        """Pass on."""
        self._inner.phase(name, done, total)

    def started(self, config: RunConfig) -> None:
        """Pass on."""
        self._inner.started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Pass on."""
        self._inner.progress(key, step, steps, loss)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Pass on."""
        self._inner.evaluated(key, point)

    def finished(self, record: RunRecord) -> None:
        """Pass on."""
        self._inner.finished(record)

    def message(self, text: str) -> None:
        """Pass on."""
        self._inner.message(text)


class Silent:
    """A listener that ignores everything."""

    def phase(self, name: str, done: int, total: int) -> None:
        """Ignore."""

    def started(self, config: RunConfig) -> None:
        """Ignore."""

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Ignore."""

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Ignore."""

    def finished(self, record: RunRecord) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""
