"""A worker process: one thread, one pipe, one run after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.provenance import Purpose
from attenergy.search.records import weights_path

Job = tuple[RunConfig, Purpose]
Message = tuple[Any, ...]  # ("ready",), ("progress", step, steps, loss) or ("done", record)

_SECONDS_BETWEEN_REPORTS = 0.2


def main(pipe: Connection, folder: str) -> None:
    """Body of a worker: take jobs from the pipe until it closes, and send back their records.

    The worker ends with its driver, however that ends, so that no orphan keeps a core busy.
    An interrupt from the keyboard is the driver's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, daemon=True).start()

    import torch

    import_module("attenergy.search.train")  # slow; "ready" means that a run can begin at once
    torch.set_num_threads(1)
    try:
        pipe.send(("ready",))
        while True:
            config, purpose = pipe.recv()
            record = run_job(config, purpose, Path(folder), _reporter(pipe))
            pipe.send(("done", record))
    except (EOFError, OSError):
        return  # the driver has closed the pipe


def run_job(
    config: RunConfig, purpose: Purpose, folder: Path, report: Callable[[int, int, float], None]
) -> RunRecord:
    """Train one configuration and keep its weights in the study's folder."""
    from attenergy.search.train import train

    path = weights_path(folder, config.run_key())
    record = train(config, purpose=purpose, report=report, weights=path)
    if not record.weights:
        return record
    return record.model_copy(update={"weights": path.relative_to(folder).as_posix()})


def _reporter(pipe: Connection) -> Callable[[int, int, float], None]:
    last = 0.0

    def report(step: int, steps: int, loss: float) -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last >= _SECONDS_BETWEEN_REPORTS:
            last = moment
            pipe.send(("progress", step, steps, loss))

    return report


def _die_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
