"""Drivers and workers of a discovery are killed at random moments, and all is accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "faults" / "discovering.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [("--workers", "2"), ("--workers", "1", "--kinds", "driver", "--seed", "3")]
)
def test_a_few_kills(tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "discovering.json"
    program = [sys.executable, str(SCRIPT), "--kills", "5", "--candidates", "6", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*program, "--out", str(out)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr or done.stdout
    total: dict[str, Any] = json.loads(out.read_text())["total"]
    assert sum(total["kills"].values()) == 5
    assert total["wrong"] == {}
    assert total["begun_again_though_recorded"] == total["left_processes"] == 0
    assert total.get("same_population_as_undisturbed", True)
    assert total["runs_recorded"] > 20
