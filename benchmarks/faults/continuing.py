"""Kills runs at random moments; do they go on, and to the same bits?

    python benchmarks/faults/continuing.py --kills 100 --out benchmarks/results/continuing.json

Every run is trained twice: once undisturbed, and once with a worker, or the driver with its worker,
killed (SIGKILL) again and again, at moments that are drawn at random from the whole run, start and
evaluations included. Its final weights are compared by their SHA-256, its curve and metrics number
by number, and the training steps that were done twice are counted from what the driver was told.

A run is given up, as it is in every search, if it costs a pool two workers without a checkpoint
between; so after a worker was killed before a checkpoint, the next kill waits for one. What the
file of `--out` holds already counts: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import selectors
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from batches import kill_in_batches
from faults_processes import Forked, adopt, descendants

from attenergy.registry import load_registry
from attenergy.search.comparison.configure import configure
from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.limits import NO_LIMITS

#: What is trained, in turn: variant and optimiser.
RUNS = (("softmax", "muon"), ("lse", "adamw"), ("hyla", "muon"), ("rbm", "adamw"))


class Events(Listener):
    """Prints what the killer has to know, a line of JSON for every event."""

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Print."""
        self._print("progress", step)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Print."""
        self._print("evaluated", int(point["step"]))

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Print."""
        self._print("continued", step)

    def message(self, text: str) -> None:
        """Print."""
        self._print("message", text)

    def _print(self, *event: Any) -> None:
        print(json.dumps(event), flush=True)


def drive(config: RunConfig, folder: Path, seconds: float) -> None:
    """A driver with one worker: the run, from wherever it has come to."""
    checkpoints = Checkpoints(folder / "checkpoints", seconds)
    with ProcessPool(1, folder, NO_LIMITS, checkpoints) as pool:
        pool.submit(config, "trial")
        record = pool.wait(Events())
    (folder / "record.json").write_text(record.model_dump_json())


class Killer:
    """Has one run done while it kills whoever does it.

    Args:
        config: the run.
        folder: of its files.
        seconds: between checkpoints.
        draw: of the moments.
    """

    def __init__(
        self, config: RunConfig, folder: Path, seconds: float, draw: random.Random
    ) -> None:
        self.config, self.folder, self.seconds, self.draw = config, folder, seconds, draw
        self.file = Checkpoints(folder / "checkpoints").path(config.run_key())
        self.kills: Counter[str] = Counter()
        self.repeated: list[int] = []
        self.messages: list[str] = []
        self.step, self.written, self.unsaved = 0, 0, 0

    def run(self, kills: int) -> RunRecord:
        """Kill at most so many times; the record of the run."""
        while True:
            driver = Forked(lambda: drive(self.config, self.folder, self.seconds))
            try:
                if self._watch(driver, kills):
                    path = self.folder / "record.json"
                    return RunRecord.model_validate_json(path.read_text())
            finally:
                driver.kill()

    def _watch(self, driver: Forked, kills: int) -> bool:
        """Read what the driver says, and kill; whether it came to its end."""
        with selectors.DefaultSelector() as selector:
            selector.register(driver.stdout, selectors.EVENT_READ)
            at, rest = self._next_moment(), b""
            while True:
                if selector.select(timeout=max(0.0, min(0.05, at - time.monotonic()))):
                    data = os.read(driver.stdout.fileno(), 65536)
                    if not data:
                        return driver.wait() == 0
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._take(*json.loads(line))
                if self.kills.total() < kills and time.monotonic() >= at and self._may_kill():
                    if self._kill(driver) == "driver":
                        return False
                    at = self._next_moment()

    def _next_moment(self) -> float:
        return time.monotonic() + self.draw.uniform(0.0, 8 * self.seconds)

    def _take(self, kind: str, value: Any) -> None:
        if kind == "continued":
            self.repeated.append(max(0, self.step - value))
        elif kind == "message":
            self.messages.append(value)
        if kind != "message":
            self.step = value

    def _may_kill(self) -> bool:
        written = self.file.stat().st_mtime_ns if self.file.exists() else 0
        if written != self.written:
            self.written, self.unsaved = written, 0
        return self.unsaved == 0

    def _kill(self, driver: Forked) -> str:
        workers = list(descendants(driver.pid))
        whom = self.draw.choice(("worker", "driver")) if workers else "driver"
        if whom == "driver":
            driver.kill()
        else:
            os.kill(workers[0], signal.SIGKILL)
            self.unsaved += 1
        self.kills[whom] += 1
        return whom


def make_config(number: int, steps: int) -> RunConfig:
    """The run of a number: variants and optimisers in turn, each with another seed."""
    variant, optimizer = RUNS[number % len(RUNS)]
    fix = {"optimizer": optimizer, "dropout": 0.1, "width": 32, "layers": 1, "batch_size": 16}
    fix |= {"evaluate_every": max(1, steps // 7), "valid_instances": 128, "test_instances": 128}
    plan = ComparePlan(
        name="continuing", folder="unused", task="raven-small", variants=(variant,), steps=steps,
        fix=fix,
    )  # fmt: skip
    config = configure(plan, load_registry(plugins=False), variant)
    return config.model_copy(update={"seed": number})


def one_run(number: int, kills: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """A run undisturbed and one with kills, and how they differ."""
    config = make_config(number, arguments.steps)
    with tempfile.TemporaryDirectory() as name:
        alone, disturbed = Path(name) / "alone", Path(name) / "disturbed"
        disturbed.mkdir()
        executor = InProcess(alone)
        executor.submit(config, "trial")
        whole = executor.wait(Listener())
        killer = Killer(config, disturbed, arguments.seconds, random.Random(number))
        record = killer.run(kills)
        digests = [
            hashlib.sha256((folder / run.weights).read_bytes()).hexdigest() if run.weights else ""
            for folder, run in ((alone, whole), (disturbed, record))
        ]
    return {
        "number": number,
        "variant": config.variant,
        "optimizer": config.training.optimizer,
        "kills": dict(killer.kills),
        "status": record.status,
        "reason": record.reason,
        "continued": list(record.continued),
        "repeated_steps": killer.repeated,
        "ms_per_step": round(record.cost["ms_per_step"], 3),
        "sha256": digests[0],
        "equal_weights": bool(digests[0]) and digests[0] == digests[1],
        "equal_results": (whole.metrics, whole.curve) == (record.metrics, record.curve),
        "passed_over": [text for text in killer.messages if "passed over" in text],
    }


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What all runs come to."""
    repeated = [steps for run in runs for steps in run["repeated_steps"]]
    seconds = [s * run["ms_per_step"] / 1000 for run in runs for s in run["repeated_steps"]]
    return {
        "runs": len(runs),
        "kills": dict(sum((Counter(run["kills"]) for run in runs), Counter())),
        "complete": sum(run["status"] == "complete" for run in runs),
        "equal_weights": sum(run["equal_weights"] for run in runs),
        "equal_results": sum(run["equal_results"] for run in runs),
        "killed_before_a_checkpoint_or_while_starting": sum(
            sum(run["kills"].values()) for run in runs
        )
        - len(repeated),
        "continued": len(repeated),
        "most_repeated_steps": max(repeated, default=0),
        "mean_repeated_steps": round(sum(repeated) / max(1, len(repeated)), 2),
        "most_repeated_seconds": round(max(seconds, default=0.0), 3),
    }


def main() -> int:
    """Run, compare, print and write; 1 if any run was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="kills of one run, at most")
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--seconds", type=float, default=0.5, help="between checkpoints")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    adopt()
    total = kill_in_batches(
        arguments.kills,
        lambda number, rest: one_run(number, min(rest, arguments.each), arguments),
        summed,
        f"continuing.py --kills {arguments.kills} --each {arguments.each} --steps "
        f"{arguments.steps} --seconds {arguments.seconds:g}",
        arguments.out,
    )
    return int(min(total["equal_weights"], total["equal_results"]) < total["runs"])


if __name__ == "__main__":
    sys.exit(main())
