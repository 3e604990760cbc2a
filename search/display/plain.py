"""What a running search shows: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console

from attenergy.registry.printable import printable
from attenergy.search.display.live import LiveListener, settings_of, took
from attenergy.search.display.state import Board
from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord


class PlainListener:
    """One line for every finished run, written at once; for logs and pipes."""

    def __init__(self, board: Board, stream: TextIO | None = None) -> None:
        self.board, self.stream = board, stream

    def __enter__(self) -> PlainListener:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def phase(self, name: str, done: int, total: int) -> None:
        """Say how much there is to do."""
        self.board.phase(name, done, total)
        self._write(f"{name}: {done} of {total} done")

    def started(self, config: RunConfig) -> None:
        """Remember only."""
        self.board.started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Remember only."""
        self.board.progress(key, step, steps, loss)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Not a line of its own."""

    def finished(self, record: RunRecord) -> None:
        """Write the run's line."""
        board = self.board
        board.finished(record)
        place = f"{board.done:>{len(str(board.total))}}/{board.total}"
        about = formats.settings(settings_of(record.config))
        left = board.left()
        tail = f", {formats.duration(left)} left" if left else ""
        self._write(
            f"[{place}] {record.config.variant} {about} seed={record.config.seed}: "
            f"{board.outcome(record)} ({took(record)}{tail}); {board.standing()}"
        )

    def message(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def _write(self, text: str) -> None:
        print(printable(text), file=self.stream or sys.stderr, flush=True)


class SafeListener:
    """A listener that hides the failures of another, which from then on hears nothing more.

    A closed pipe, or a terminal that went away, must not cost a search.
    """

    def __init__(self, inner: PlainListener | LiveListener) -> None:
        self._inner: PlainListener | LiveListener | None = inner

    def __enter__(self) -> SafeListener:
        self._tell("__enter__")
        return self

    def __exit__(self, *error: object) -> None:
        self._tell("__exit__", *error)

    def phase(self, name: str, done: int, total: int) -> None:
        """Pass on."""
        self._tell("phase", name, done, total)

    def started(self, config: RunConfig) -> None:
        """Pass on."""
        self._tell("started", config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Pass on."""
        self._tell("progress", key, step, steps, loss)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Pass on."""
        self._tell("evaluated", key, point)

    def finished(self, record: RunRecord) -> None:
        """Pass on."""
        self._tell("finished", record)

    def message(self, text: str) -> None:
        """Pass on."""
        self._tell("message", text)

    def _tell(self, event: str, *facts: object) -> None:
        if self._inner is None:
            return
        try:
            getattr(self._inner, event)(*facts)
        except Exception:
            self._inner = None


def make_listener(
    plain: bool | None = None,
    *,
    metric: str,
    baseline: str = "softmax",
    known: Iterable[RunRecord] = (),
) -> SafeListener:
    """Choose the display: live on a terminal that can redraw it in UTF-8, else plain lines.

    Both write to the error stream, so that the output stream holds the result alone. Use it as a
    context manager.

    Args:
        plain: force plain lines (True) or the live display (False); None chooses.
        metric: the metric whose validation value is shown.
        baseline: the variant that the best so far is compared with.
        known: runs of earlier sessions, which may be the best so far.
    """
    if plain is None:
        console = Console(stderr=True)
        poor = console.is_dumb_terminal or console.options.ascii_only
        plain = poor or not sys.stderr.isatty()
    board = Board(metric, baseline)
    for record in known:
        board.remember(record)
    return SafeListener(PlainListener(board) if plain else LiveListener(board))
