"""A worker process: one thread, one pipe, one run after the other."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attenergy.registry import PluginWarning, name_plugins
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.interrupts import exits_raise
from attenergy.search.runs.limits import NO_LIMITS, Limits, memory_in_use
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import weights_path

if TYPE_CHECKING:
    from attenergy.search.training.checkpoint import Notify
    from attenergy.search.training.train import Evaluated, Report

_SECONDS_BETWEEN_REPORTS = 0.2
_SECONDS_BETWEEN_HEARTBEATS = 0.5
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


class _Channel:
    """A pipe into which several threads may speak."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self._lock = pipe, threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            self.pipe.send(message)


def main(
    pipe: Connection,
    folder: str,
    limits: Limits = NO_LIMITS,
    tied: bool = False,
    plugins: tuple[str, ...] = (),
    checkpoints: Checkpoints | None = None,
) -> None:
    """Take messages from the pipe until it closes, and answer; all are tuples `(kind, *values)`.

    Messages that come: "run" (config, purpose) and "stop" (key, reason), which ends that run at its
    next evaluation and means nothing once it is over. Messages that go: "ready" (once), "progress"
    (step, steps, loss), "evaluated" (point of the curve), those of `Notify` ("continued", "saved",
    "message"), "done" (record), and all the while "alive" (bytes of memory), from a thread of its
    own.

    The worker ends with its driver, however that ends, so that no orphan keeps a core busy. A
    worker that is `tied` to the thread that made it ends so even where it is stopped (Linux).
    `plugins` are modules of the driver's; a run that needs what they bring has them imported.
    An interrupt from the keyboard, and a terminal that goes away, are the driver's business.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if tied:
        _tie()
    threading.Thread(target=_die_with_driver, daemon=True).start()
    channel = _Channel(pipe)
    threading.Thread(target=_send_heartbeats, args=(channel,), daemon=True).start()
    use_plugins(plugins)
    prepare()
    try:
        channel.send("ready")
        while True:
            kind, *values = pipe.recv()
            if kind == "run":
                record = _run(channel, Path(folder), limits, checkpoints, *values)
                channel.send("done", record)
    except (EOFError, OSError):
        return  # the driver has closed the pipe


def use_plugins(modules: tuple[str, ...]) -> None:
    """Let this process know the plug-ins of its driver.

    One that cannot be loaded here is passed over: a run that needs it fails and says why.
    """
    warnings.simplefilter("ignore", PluginWarning)
    name_plugins(modules)


def prepare() -> None:
    """Import what a run needs, which is slow, and set the process up for one thread."""
    import torch

    from attenergy.attention.gradients.allocator import tune_cpu

    import_module("attenergy.search.training.train")
    torch.set_num_threads(1)
    tune_cpu()


def _run(
    channel: _Channel,
    folder: Path,
    limits: Limits,
    checkpoints: Checkpoints | None,
    config: RunConfig,
    purpose: Purpose,
) -> RunRecord:
    key, pipe = config.run_key(), channel.pipe

    def report(step: int, steps: int, loss: float) -> None:
        channel.send("progress", step, steps, loss)

    def evaluated(point: dict[str, float]) -> str:
        channel.send("evaluated", point)
        while pipe.poll():
            _, stopped, reason = pipe.recv()
            if stopped == key:
                return str(reason)
        return ""

    channel.send("begun")
    return run_job(
        config, purpose, folder, report, evaluated, limits, checkpoints, notify=channel.send
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and give back the number that it had.

    The order in which a sum is taken, and so its last bits, depends on the number of threads.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_job(
    config: RunConfig,
    purpose: Purpose,
    folder: Path,
    report: Report,
    evaluated: Evaluated | None = None,
    limits: Limits = NO_LIMITS,
    checkpoints: Checkpoints | None = None,
    notify: Notify = lambda *_: None,
) -> RunRecord:
    """Train one configuration, report a few times a second, keep the weights in the folder.

    Its limits are looked at after every step and every evaluation; what a run took before it was
    broken off counts. It goes on from its checkpoint, if there is one.
    """
    from attenergy.search.training.checkpoint import Saver
    from attenergy.search.training.train import train

    begin, throttled = time.monotonic(), _now_and_then(report)

    def step(at: int, steps: int, loss: float) -> None:
        limits.check(begin)
        throttled(at, steps, loss)

    def point(values: dict[str, float]) -> str:
        limits.check(begin)
        return evaluated(values) if evaluated is not None else ""

    def noted(event: str, *values: Any) -> None:
        nonlocal begin
        if event == "continued":
            begin -= values[1]
        notify(event, *values)

    wanted = checkpoints is not None and (checkpoints.seconds or checkpoints.keep)
    saver = Saver(checkpoints, config, noted) if checkpoints and wanted else None
    path = weights_path(folder, config.run_key())
    with exits_raise():
        record = train(
            config, purpose=purpose, report=step, evaluated=point, weights=path, saver=saver
        )
    if not record.weights:
        return record
    return record.model_copy(update={"weights": path.relative_to(folder).as_posix()})


def _now_and_then(report: Report) -> Report:
    last = -math.inf

    def throttled(step: int, steps: int, loss: float) -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last >= _SECONDS_BETWEEN_REPORTS:
            last = moment
            report(step, steps, loss)

    return throttled


def _send_heartbeats(channel: _Channel) -> None:
    with suppress(OSError):  # the driver has closed the pipe
        while True:
            channel.send("alive", memory_in_use())
            time.sleep(_SECONDS_BETWEEN_HEARTBEATS)


def _tie() -> None:
    """Ask the system to kill this process when the thread that made it is no more."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _die_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
