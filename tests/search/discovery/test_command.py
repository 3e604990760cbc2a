"""The command `attenergy discover`, with runs whose scores are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app
from attenergy.search.cli.errors import resume_command

TINY = ["--task", "denoising", "--seed-energies", "lse", "--finalists", "0", "--workers", "0"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["discover", *arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.long
@pytest.mark.usefixtures("instant", "no_page")
def test_lines_while_it_runs_and_its_result_as_json() -> None:
    result = run(*TINY, "--candidates", "2", "--plain", "--format", "json")
    discovery = json.loads(result.stdout)
    assert discovery["name"] == "discover-denoising"
    assert [one["arm"] for one in discovery["population"]].count("registry") == 1
    assert len(discovery["population"]) == 3
    assert "--task denoising" in discovery["command"]
    lines = result.stderr.splitlines()
    assert lines[0] == "rungs: denoising"
    assert any(line.startswith("[3/3]") and "best: registry lse" in line for line in lines)
    again = run(*TINY, "--candidates", "2", "--plain", code=2)
    assert "exists, with 3 trials; pass --resume" in again.output
    more = run(*TINY, "--candidates", "3", "--plain", "--resume")
    assert "[4/4]" in more.stderr
    assert "attenergy report discover-denoising" in more.stdout


@pytest.mark.long
@pytest.mark.usefixtures("instant", "no_page")
def test_a_time_is_divided_before_anything_begins() -> None:
    result = run(*TINY, "--budget", "10m", "--candidates", "1", "--plain")
    assert "budget 10m: " in result.stderr
    assert " for candidates, 50% of it for random ones" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--candidates", "3"], "name a task"),
        (["--task", "denoisin"], "did you mean 'denoising'"),
        (["--task", "latch", "--held-out", "latch"], "cannot be held out"),
        (["--task", "latch", "--budget", "3trials"], "--budget: a discovery counts no trials"),
        (["--task", "latch", "--control", "1"], "--control: "),
        (["--task", "latch", "--seed-energies", "lsee"], "did you mean 'lse'"),
        (["--task", "latch", "--without", "lsee"], "did you mean 'lse'"),
        (["--task", "latch", "--candidates", "0"], "--candidates"),
        ([*TINY, "--budget", "0.001s"], "a budget of 0.001s is too small: to begin took"),
    ],
)
def test_mistakes_are_said_in_a_line(arguments: list[str], text: str) -> None:
    result = run(*arguments, code=2)
    assert text in " ".join(result.output.replace("│", " ").split())
    assert not Path("runs").exists()


def test_what_goes_on_after_an_interrupt() -> None:
    typed = ["attenergy", "discover", "--task", "latch"]
    assert resume_command(typed) == "attenergy discover --task latch --resume"
    assert resume_command([*typed, "--resume"]) == "attenergy discover --task latch --resume"
