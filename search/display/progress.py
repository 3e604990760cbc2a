"""Which display a running search has: live on a terminal, plain lines elsewhere, loggers beside."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from attenergy.registry import Registry
from attenergy.search.display.live import LiveListener
from attenergy.search.display.plain import PlainListener
from attenergy.search.display.state import ProgressState
from attenergy.search.display.trackers import Logged, make_logger
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener
from attenergy.search.runs.records import RunStore
from attenergy.tasks import make_task


class SafeListener(ForwardingListener):
    """A listener that hides the failures of another, which gets no event after the first one.

    A closed pipe, or a terminal that went away, must not cost a search.
    """

    def _forward(self, event: str, *arguments: object) -> None:
        try:
            super()._forward(event, *arguments)
        except Exception:
            self._inner = Listener()


def make_listener(
    plain: bool | None = None,
    *,
    metric: str,
    baseline: str = "softmax",
    known: Iterable[RunRecord] = (),
    task: str = "",
    chance: float | None = None,
) -> SafeListener:
    """Choose the display: live on a terminal that can redraw it in UTF-8, else plain lines.

    Both write to the error stream, so that the output stream holds the result alone. Use it as a
    context manager.

    Args:
        plain: force plain lines (True) or the live display (False); None chooses.
        metric: the metric whose validation value is shown.
        baseline: the variant that the best so far is compared with.
        known: runs of earlier sessions, which may be the best so far.
        task: its name, which the lines begin with.
        chance: what guessing scores.
    """
    state = ProgressState(metric, baseline, task=task, chance=chance)
    for record in known:
        state.remember(record)
    return SafeListener(PlainListener(state) if shows_plain(plain) else LiveListener(state))


def shows_plain(plain: bool | None) -> bool:
    """Whether plain lines are written: as asked for, or where a terminal cannot redraw in UTF-8."""
    if plain is not None:
        return plain
    console = Console(stderr=True)
    poor = console.is_dumb_terminal or console.options.ascii_only
    return poor or not sys.stderr.isatty()


def make_progress(
    plain: bool | None,
    registry: Registry,
    plan: SearchPlan | ComparePlan,
    baseline: str,
    log: Sequence[str] | None = None,
) -> Listener:
    """The display of a plan, and loggers beside it.

    Runs that the plan's folder already holds compete for the best so far.

    Args:
        plain: as in `make_listener`.
        registry: where the plan's task is looked up.
        plan: of a search or a comparison.
        baseline: the variant that the best so far is compared with.
        log: loggers, as `make_logger` takes them.

    Raises:
        UnknownName: there is no such task or logger.
    """
    options: dict[str, Any] = dict(plan.task_options)
    task = make_task(plan.task, registry=registry, split_seed=plan.split_seed, **options)
    known = RunStore(plan.folder).all() if Path(plan.folder).is_dir() else []
    display = make_listener(
        plain,
        metric=task.metric,
        baseline=baseline,
        known=known,
        task=plan.task,
        chance=task.chance.get(task.metric),
    )
    return Logged(display, *map(make_logger, log)) if log else display
