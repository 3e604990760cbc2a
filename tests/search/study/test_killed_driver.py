"""What is left when the driver's process itself is killed or interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.study.run import run_search

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]

# Prints a word for every event, so that the test knows when to strike. In the second run it waits
# for the strike, while its worker goes on.
DRIVER = """
import sys, time
from attenergy.registry import load_registry
from attenergy.search.runs.events import Listener
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.study.run import run_search

class Loud(Listener):
    ended = 0
    def progress(self, key, step, steps, loss):
        print("progress", key, flush=True)
        if self.ended:
            time.sleep(1000)
    def finished(self, record):
        self.ended += 1
        print("finished", record.key, flush=True)

plan = SearchPlan.model_validate_json(sys.argv[1])
run_search(plan, load_registry(sys.argv[2], plugins=False), Loud())
"""


@contextmanager
def driver(plan: SearchPlan, registry_file: Path, *program: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *program, plan.model_dump_json(), str(registry_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_until(process: subprocess.Popen[str], word: str, times: int) -> None:
    """Read the driver's events until a run that has begun after `times` ended runs reports."""
    assert process.stdout is not None
    ended = 0
    for line in process.stdout:
        ended += line.startswith("finished")
        if ended >= times and line.startswith(word):
            return
    assert process.stderr is not None
    raise AssertionError(f"the driver ended early: {process.stderr.read()}")


def check_that_all_end(process: subprocess.Popen[str]) -> None:
    # The pipe ends when the last process that holds it, driver or worker, is gone.
    process.communicate(timeout=120)


@pytest.fixture
def plan(make_plan: PlanMaker) -> SearchPlan:
    return make_plan(trials=3, workers=1, finalists=1, seeds=1, train_steps=60)


def test_a_killed_driver_leaves_no_worker_and_can_be_resumed(
    plan: SearchPlan, registry: Registry, tiny_file: Path, watcher: Any
) -> None:
    with driver(plan, tiny_file, "-c", DRIVER) as process:
        run_until(process, "progress", times=1)
        process.kill()
        check_that_all_end(process)
    path = Path(plan.folder) / "records.jsonl"
    before = path.read_bytes()
    assert before.count(b"\n") == 1

    records = run_search(plan.model_copy(update={"workers": 0}), registry, watcher, resume=True)
    assert path.read_bytes().startswith(before)
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == len(records)
    assert [r.purpose for r in records].count("trial") == 3
    assert all(r.status == "complete" for r in records)
    assert watcher.messages == ["trial 1 was interrupted; it is run again"]


def test_ctrl_c_ends_everything_at_once_and_says_how_to_go_on(
    tiny_file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"  # without `if __name__ == "__main__":`
    script.write_text("from attenergy.search.cli.app import main\nmain()\n")
    words = ["search", "-t", "tiny", "-e", "softmax,linear", "--registry", str(tiny_file)]
    words += ["--steps", "4000", "-n", "3", "--plain"]
    with subprocess.Popen(
        [sys.executable, str(script), *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stderr is not None
        begun = next(line for line in process.stderr if "trials: 0 of 3" in line)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the driver and the workers
        _, errors = process.communicate(timeout=120)
    assert begun
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.startswith("interrupted\nfinished runs are kept; to go on:\n  attenergy search")
    assert errors.rstrip().endswith("--plain --resume")
