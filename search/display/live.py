"""The live display of a running search: it redraws itself in place."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from attenergy.registry.printable import printable
from attenergy.search.display.state import ProgressState, Running
from attenergy.search.results import formats
from attenergy.search.results.ranking import short_settings
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener

_ALWAYS = ("model.heads", "training.learning_rate")
#: Of model and training, what is not shown though it is other than the task's own.
_NOT_SHOWN = ("steps", "evaluate_every", "valid_instances", "test_instances", "prune_after")

_NARROW = 72  # columns; below, the display leaves settings and reasons out
_STATUS = {"complete": ("done", "green"), "pruned": ("pruned", "yellow")}  # all others are red


class LiveListener(Listener):
    """A display that redraws itself in place while the search runs.

    Overall progress with time left and pace, the best so far beside the baseline, one line per
    running run, and the last runs that finished. What a phase came to stays on the terminal.
    """

    def __init__(self, state: ProgressState, console: Console | None = None) -> None:
        self.state = state
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
        try:
            self._leave()
        finally:
            self._live.stop()

    def phase(self, name: str, done: int, total: int) -> None:
        """Leave the last phase's result above and begin a new bar."""
        if self.state.name != name:
            self._leave()
        self.state.phase(name, done, total)

    def forecast(self, total: int, left: float) -> None:
        """Change the length of the bar, and the time left."""
        self.state.forecast(total, left)

    def started(self, config: RunConfig) -> None:
        """Show a line for the run."""
        self.state.started(config)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Move the run's bar."""
        self.state.progress(key, step, steps, loss)

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Nothing of its own: a message says it."""
        self.state.continued(key, step, curve)

    def finished(self, record: RunRecord) -> None:
        """Move the run to the finished ones."""
        self.state.finished(record)

    def message(self, text: str) -> None:
        """Print above the display."""
        self.console.print(Text(printable(text)))

    def render(self) -> RenderableType:
        """The display as it stands; a mistake in drawing must not end a search."""
        try:
            best = Text(self.state.standing(), style="bold")
            return Group(self._overall(), best, self._runs())
        except Exception as error:
            return Text(f"(display: {error})")

    def _leave(self) -> None:
        state = self.state
        if state.name:
            reached = [f"{state.done} of {state.total} in {formats.duration(state.elapsed())}"]
            facts = ", ".join(reached + state.counts())
            self.message(f"{state.title}: {facts}; {state.standing()}")

    def _overall(self) -> RenderableType:
        state = self.state
        if not state.name:
            return Text("starting", style="bold")
        left, rate = state.time_left(), state.rate()
        facts = [f"{state.done}/{state.total}", formats.duration(state.elapsed())]
        facts += [left] if left else []
        facts += [_pace(rate)] if rate is not None else []
        facts += state.counts()

        # The bar takes what the words leave, so that the line ends at the terminal's edge; where
        # they leave it nothing, the last words go.
        def room(title: str) -> int:
            return self.console.width - len("  ".join(facts)) - len(title) - 8

        title = state.title if room(state.title) >= 0 else state.name
        while len(facts) > 1 and room(title) < 0:
            facts.pop()
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        grid.add_row(Text(title, style="bold"), _bar(state.done, state.total), "  ".join(facts))
        return grid

    def _runs(self) -> RenderableType:
        # One grid for running and finished runs, so that their columns stand below each other.
        # Runs that the terminal has no room for are left out: a display that is higher than the
        # terminal cannot be redrawn in place.
        grid = _lines(self.console.width)
        room = max(2, self.console.height - 5)
        running, last = list(self.state.running.values()), list(reversed(self.state.last))
        most = max(1, room - min(len(last), 2))
        shown = running if len(running) <= most else running[: most - 1]
        rows = [_running_cells(run) for run in shown]
        if len(shown) < len(running):
            rows.append([_dim(f"and {len(running) - len(shown)} more")])
        rows += [self._finished_cells(record) for record in last[: room - len(rows)]]
        for row in rows:
            grid.add_row(*row[: len(grid.columns)])
        return grid

    def _finished_cells(self, record: RunRecord) -> list[RenderableType]:
        good = record.status == "complete"
        word, style = _STATUS.get(record.status, (record.status, "red"))
        return [
            Text(record.config.variant),
            Text(word, style=style),
            Text(took(record)),
            Text(self.state.outcome(record)) if good else _dim("no score"),
            _dim(_about(record.config) if good else self.state.reason(record)),
        ]


def _running_cells(run: Running) -> list[RenderableType]:
    return [
        Text(run.config.variant),
        _bar(run.step, run.steps),
        Text(f"{run.step}/{run.steps}" if run.steps else "starting"),
        Text("" if run.loss is None else f"loss {run.loss:.3f}"),
        _dim(_about(run.config)),
    ]


def _bar(done: int, total: int) -> ProgressBar:
    # Not in the colours that rich gives it: they include the red of a run that failed.
    return ProgressBar(
        total=max(total, 1), completed=done, complete_style="cyan", finished_style="green"
    )


def _lines(width: int) -> Table:
    # Four columns that keep their widths while runs come and go, and one for the settings, which
    # gives way: `_dim` cuts its texts.
    narrow = width < _NARROW
    longest = max(10, width // (4 if narrow else 3))
    grid = Table.grid(padding=(0, 1 if narrow else 2, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=7, max_width=longest)
    grid.add_column(no_wrap=True, width=8 if narrow else 12)
    grid.add_column(no_wrap=True, min_width=8, justify="right")
    grid.add_column(no_wrap=True, min_width=11)
    if not narrow:
        grid.add_column()
    return grid


def _about(config: RunConfig) -> str:
    """Settings of a run, after its seed if that is not the usual one."""
    settings = formats.settings(settings_of(config))
    return f"seed={config.seed} {settings}" if config.seed else settings


def _pace(rate: float) -> str:
    """`12.3/min`, or `4.5/h` where a run takes more than a minute."""
    return f"{rate:.1f}/min" if rate >= 1 else f"{60 * rate:.1f}/h"


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What is shown of a run: the layer's settings, heads and rate, and what is not the task's."""
    other = [
        f"{part}.{name}"
        for part in ("model", "training")
        for name, value in getattr(config, part)
        if value != getattr(getattr(config.task_spec, part), name) and name not in _NOT_SHOWN
    ]
    other = [path for path in other if path not in _ALWAYS]
    return short_settings(config, (*_ALWAYS, *other))


def took(record: RunRecord) -> str:
    """Seconds of a run, or minutes if there are many."""
    seconds = record.cost.get("seconds", 0.0)
    return f"{seconds:.1f} s" if seconds < 100 else formats.duration(seconds)
