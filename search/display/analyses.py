"""What is seen while analyses are made: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from attenergy.registry.printable import printable
from attenergy.search.results import formats

_EVERY = 10.0  # seconds between lines of a long analysis


class AnalysisLines:
    """One line when an analysis begins, some while it goes on, and one when it has ended."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()

    def __enter__(self) -> AnalysisLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is to be put back."""

    def begin(self, title: str, number: int, count: int) -> None:
        """Say which one of how many begins."""
        self._began = self._said = time.monotonic()
        self.message(f"[{number}/{count}] {title}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if now - self._said >= _EVERY:
            self._said = now
            self.message(f"  {what}: {done} of {total}, {formats.duration(now - self._began)}")

    def end(self, text: str) -> None:
        """Say what came of it."""
        self.message(f"  {text}")

    def message(self, text: str) -> None:
        """Write a line to the error stream."""
        print(printable(text), file=sys.stderr, flush=True)


class AnalysisBar(AnalysisLines):
    """A bar that is redrawn in place; what came of each analysis stays above it."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("{task.fields[title]}", style="bold", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._title = ""

    def __enter__(self) -> AnalysisBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def begin(self, title: str, number: int, count: int) -> None:
        """Begin a new bar."""
        self._clear()
        self._title = f"[{number}/{count}] {title}"
        self._bar.add_task("", title=printable(self._title), total=None)

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        for task in self._bar.task_ids:
            self._bar.update(task, description=printable(what), completed=done, total=total or None)

    def end(self, text: str) -> None:
        """Leave a line above the bar."""
        self._clear()
        self.message(f"{self._title}: {text}")

    def message(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(Text(printable(text)))

    def _clear(self) -> None:
        for task in self._bar.task_ids:
            self._bar.remove_task(task)


def analysis_display(plain: bool | None) -> AnalysisLines:
    """A bar on a terminal that can redraw it, else plain lines, both on the error stream.

    Args:
        plain: force plain lines (True) or the bar (False); None chooses.
    """
    if plain is None:
        console = Console(stderr=True)
        plain = console.is_dumb_terminal or not sys.stderr.isatty()
    return AnalysisLines() if plain else AnalysisBar()
