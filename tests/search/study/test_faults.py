"""Workers and drivers are killed at random moments, and every trial is accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole searches or processes

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "faults" / "faults.py"


def strike(tmp_path: Path, *options: str) -> dict[str, Any]:
    out = tmp_path / "faults.json"
    program = [sys.executable, str(SCRIPT), *options, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    result: dict[str, Any] = json.loads(out.read_text())["total"]
    assert result["lost"] == result["recorded_twice"] == result["left_running"] == 0
    assert result["not_shared"] == result["wrong_values"] == result["left_processes"] == 0
    assert result["counted"] == result["planned"]
    assert result["finalists"] >= 2
    return result


def test_a_few_kills(tmp_path: Path) -> None:
    options = (
        "--kills",
        "2",
        "--trials",
        "3",
        "--train-steps",
        "60",
        "--workers",
        "1",
        "--kinds",
        "worker,driver",
        "--fork",  # nothing is imported again; the slow test starts processes anew
    )
    result = strike(tmp_path, *options, "--seed", "2")
    assert sum(result["kills"].values()) == 2
    assert result["runs_retried"] + result["trials_interrupted"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--drivers", "2"), ("--ray-nodes", "2")])
def test_many_kills(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = strike(tmp_path, "--kills", "20", "--trials", "20", *options)
    assert sum(result["kills"].values()) == 20
