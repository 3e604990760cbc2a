"""What a search or a comparison says to whoever is watching."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from attenergy.search.runs.config import RunConfig, RunRecord


class Listener:
    """Receives events in the driver's process; as it stands, it ignores all of them.

    A display, a logger or a watch overrides the events that it needs. `with listener:` opens and
    closes it, where there is something to open (a live display).
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def phase(self, name: str, done: int, total: int) -> None:
        """A phase ("trials", "finalists", "compare") begins with `done` of `total` runs known."""

    def started(self, config: RunConfig) -> None:
        """A run was handed to a worker."""

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """The run `key` has reached training step `step` of `steps`."""

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """The run `key` was evaluated: one point of its curve (`RunRecord.curve`).

        With the milliseconds of a training step until then, as `ms_per_step`, where they are known.
        """

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """The run `key` goes on from training step `step`, where a checkpoint was.

        `curve` are the points that it had by then, which are not reported again.
        """

    def finished(self, record: RunRecord) -> None:
        """A run ended, well or badly; its record is already on disk."""

    def forecast(self, total: int, left: float) -> None:
        """Under a budget in time: about `total` runs in this phase, `left` seconds for all."""

    def reached(self, done: int, total: int, text: str) -> None:
        """What is counted otherwise than in runs: `done` of `total`, and where it stands."""

    def message(self, text: str) -> None:
        """Something worth a line."""


class ForwardingListener(Listener):
    """Forwards every event to another listener; a subclass overrides what it adds.

    Args:
        inner: receives everything.
    """

    def __init__(self, inner: Listener) -> None:
        self._inner = inner

    def __enter__(self) -> Self:
        self._forward("__enter__")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forward("__exit__", kind, error, trace)

    def phase(self, name: str, done: int, total: int) -> None:
        """Forward it."""
        self._forward("phase", name, done, total)

    def started(self, config: RunConfig) -> None:
        """Forward it."""
        self._forward("started", config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Forward it."""
        self._forward("progress", key, step, steps, loss)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Forward it."""
        self._forward("evaluated", key, point)

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Forward it."""
        self._forward("continued", key, step, curve)

    def finished(self, record: RunRecord) -> None:
        """Forward it."""
        self._forward("finished", record)

    def forecast(self, total: int, left: float) -> None:
        """Forward it."""
        self._forward("forecast", total, left)

    def reached(self, done: int, total: int, text: str) -> None:
        """Forward it."""
        self._forward("reached", done, total, text)

    def message(self, text: str) -> None:
        """Forward it."""
        self._forward("message", text)

    def _forward(self, event: str, *arguments: object) -> None:
        getattr(self._inner, event)(*arguments)


Silent = Listener  # earlier name
Forwarding = ForwardingListener  # earlier name
