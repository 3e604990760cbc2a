"""A worker process: one thread, one pipe, one run after the other."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.provenance import Purpose
from attenergy.search.records import weights_path

if TYPE_CHECKING:
    from attenergy.search.train import Report

Job = tuple[RunConfig, Purpose]

_SECONDS_BETWEEN_REPORTS = 0.2


def main(pipe: Connection, folder: str) -> None:
    """Take jobs from the pipe until it closes; send back `(word, *values)`.

    The words are "ready" (once), "progress" (step, steps, loss) and "done" (record).

    The worker ends with its driver, however that ends, so that no orphan keeps a core busy.
    An interrupt from the keyboard is the driver's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, daemon=True).start()

    import torch

    import_module("attenergy.search.train")  # slow; "ready" means that a run can begin at once
    torch.set_num_threads(1)

    def report(step: int, steps: int, loss: float) -> None:
        pipe.send(("progress", step, steps, loss))

    try:
        pipe.send(("ready",))
        while True:
            config, purpose = pipe.recv()
            pipe.send(("done", run_job(config, purpose, Path(folder), report)))
    except (EOFError, OSError):
        return  # the driver has closed the pipe


def run_job(config: RunConfig, purpose: Purpose, folder: Path, report: Report) -> RunRecord:
    """Train one configuration, report a few times a second, keep the weights in the folder."""
    from attenergy.search.train import train

    path = weights_path(folder, config.run_key())
    record = train(config, purpose=purpose, report=_now_and_then(report), weights=path)
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
