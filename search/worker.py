"""A worker process: one thread, one pipe, one run after the other."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.provenance import Purpose
from attenergy.search.records import weights_path

if TYPE_CHECKING:
    from attenergy.search.train import Evaluated, Report

Job = tuple[RunConfig, Purpose]

_SECONDS_BETWEEN_REPORTS = 0.2


def main(pipe: Connection, folder: str) -> None:
    """Take words from the pipe until it closes, and answer; all are tuples `(word, *values)`.

    Words that come: "run" (config, purpose) and "stop" (key, reason), which ends that run at its
    next evaluation and means nothing once it is over. Words that go: "ready" (once), "progress"
    (step, steps, loss), "evaluated" (point of the curve) and "done" (record).

    The worker ends with its driver, however that ends, so that no orphan keeps a core busy.
    An interrupt from the keyboard is the driver's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, daemon=True).start()
    prepare()
    try:
        pipe.send(("ready",))
        while True:
            word, *values = pipe.recv()
            if word == "run":
                pipe.send(("done", _run(pipe, Path(folder), *values)))
    except (EOFError, OSError):
        return  # the driver has closed the pipe


def prepare() -> None:
    """Import what a run needs, which is slow, and set the process up for one thread."""
    import torch

    from attenergy.attention.allocator import tune_cpu

    import_module("attenergy.search.train")
    torch.set_num_threads(1)
    tune_cpu()


def _run(pipe: Connection, folder: Path, config: RunConfig, purpose: Purpose) -> RunRecord:
    key = config.run_key()

    def report(step: int, steps: int, loss: float) -> None:
        pipe.send(("progress", step, steps, loss))

    def evaluated(point: dict[str, float]) -> str:
        pipe.send(("evaluated", point))
        while pipe.poll():
            _, stopped, reason = pipe.recv()
            if stopped == key:
                return str(reason)
        return ""

    return run_job(config, purpose, folder, report, evaluated)


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
) -> RunRecord:
    """Train one configuration, report a few times a second, keep the weights in the folder."""
    from attenergy.search.train import train

    path = weights_path(folder, config.run_key())
    record = train(
        config, purpose=purpose, report=_now_and_then(report), evaluated=evaluated, weights=path
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


def _die_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
