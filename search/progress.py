"""What a running search shows: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from attenergy.search import formats
from attenergy.search.board import Board
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.ranking import short_settings

_ALWAYS = ("model.heads", "training.learning_rate")


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
        about = formats.settings(short_settings(record.config, _ALWAYS))
        left = board.left()
        tail = f", {formats.duration(left)} left" if left else ""
        seconds = record.cost.get("seconds", 0.0)
        self._write(
            f"[{place}] {record.config.variant} {about} seed={record.config.seed}: "
            f"{board.outcome(record)} ({seconds:.1f} s{tail}); {board.standing()}"
        )

    def message(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def _write(self, text: str) -> None:
        print(text, file=self.stream or sys.stderr, flush=True)


class LiveListener:
    """A display that redraws itself in place while the search runs.

    Overall progress with pace and time left, one line per running run, the best so far beside the
    baseline, and the last runs that finished.
    """

    def __init__(self, board: Board, console: Console | None = None) -> None:
        self.board = board
        self.console = console or Console(stderr=True)
        self._live = Live(
            console=self.console, get_renderable=self.render, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> LiveListener:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def phase(self, name: str, done: int, total: int) -> None:
        """Leave the last phase's result above and begin a new bar."""
        if self.board.name and self.board.name != name:
            board = self.board
            self.message(
                f"{board.name}: {board.done} of {board.total} in "
                f"{formats.duration(board.elapsed())}; {board.standing()}"
            )
        self.board.phase(name, done, total)

    def started(self, config: RunConfig) -> None:
        """Show a line for the run."""
        self.board.started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Move the run's bar."""
        self.board.progress(key, step, steps, loss)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Not shown."""

    def finished(self, record: RunRecord) -> None:
        """Move the run to the finished ones."""
        self.board.finished(record)

    def message(self, text: str) -> None:
        """Print above the display."""
        self.console.print(Text(text))

    def render(self) -> RenderableType:
        """The display as it stands; a mistake in drawing must not end a search."""
        try:
            best = Text(self.board.standing(), style="bold")
            return Group(self._overall(), self._running(), best, self._last())
        except Exception as error:
            return Text(f"(display: {error})")

    def _overall(self) -> RenderableType:
        board = self.board
        left, rate = board.left(), board.rate()
        facts = [f"{board.done}/{board.total}", formats.duration(board.elapsed())]
        facts += [f"{rate:.1f}/min"] if rate is not None else []
        facts += [f"{formats.duration(left)} left"] if left is not None else []
        facts += [f"{board.lost} lost"] if board.lost else []
        # The bar takes what the words leave, so that the line ends at the terminal's edge.
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        bar = ProgressBar(total=max(board.total, 1), completed=board.done)
        grid.add_row(Text(board.name, style="bold"), bar, "  ".join(facts))
        return grid

    def _running(self) -> RenderableType:
        grid = _lines()
        for config, step, steps, loss in list(self.board.running.values()):
            grid.add_row(
                Text(f"  {config.variant}"),
                ProgressBar(total=max(steps, 1), completed=step, width=12),
                Text(f"{step}/{steps}" if steps else "starting"),
                Text("" if loss is None else f"loss {loss:.3f}"),
                _dim(formats.settings(short_settings(config, _ALWAYS))),
            )
        return grid

    def _last(self) -> RenderableType:
        grid = _lines()
        for record in reversed(self.board.last):
            good = record.status == "complete"
            about = formats.settings(short_settings(record.config, _ALWAYS))
            grid.add_row(
                Text(f"  {record.config.variant}"),
                Text("done" if good else record.status, style="green" if good else "red"),
                Text(f"{record.cost.get('seconds', 0.0):.1f} s"),
                Text(self.board.outcome(record) if good else "no score"),
                _dim(about if good else record.reason),
            )
        return grid


def _lines() -> Table:
    # Five columns. The last may wrap, so it gives way where the terminal is narrow, but its texts
    # do not: `_dim` cuts them.
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


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
    """Choose the display: live if the error stream is a terminal, else plain lines.

    Both write to the error stream, so that the output stream holds the result alone. Use it as a
    context manager.

    Args:
        plain: force plain lines (True) or the live display (False); None chooses.
        metric: the metric whose validation value is shown.
        baseline: the variant that the best so far is compared with.
        known: runs of earlier sessions, which may be the best so far.
    """
    if plain is None:
        plain = not sys.stderr.isatty()
    board = Board(metric, baseline)
    for record in known:
        board.remember(record)
    return SafeListener(PlainListener(board) if plain else LiveListener(board))
