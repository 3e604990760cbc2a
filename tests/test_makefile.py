"""A target that cannot do its work says what is missing, and what to type."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 1", "make wheel needs Python 3.11 or later; name one: make wheel PYTHON="),
        ('test "$1" = -c', "has no pip: activate an environment that has one (python3 -m venv"),
    ],
)
def test_a_wheel_needs_a_python_with_pip(tmp_path: Path, script: str, message: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), "wheel", f"PYTHON={python}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stdout
