"""The road of a new user: one file with one new formula, to a layer in somebody's model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from attenergy.search.cli.app import app

pytestmark = pytest.mark.long  # whole searches or processes

REGISTRY = """\
version: 1
energies:
  lifted_sink:
    title: Attention with a sink of its own height, which no built-in entry has
    formula: 0.5*|xi|^2 - softplus(1 + lse(beta * X @ xi + h))/beta
    parameters:
      beta: {init: 0.2, constraint: positive, search: {low: 0.05, high: 2.0, log: true}}
    quadratic: 1.0
    step_size: {default: 1.0, search: {low: 0.25, high: 1.9}}
    steps: {default: 1, search: {low: 1, high: 2}}
tasks:
  tiny-recall:
    title: Stacked recall in a second
    class: StackedRecall
    options: {vocabulary: 32, pairs: 4}
    model: {layers: 1, width: 16, heads: 2, mlp: 0, positions: relative}
    training: {steps: 20, batch_size: 32, learning_rate: 1e-2, warmup: 5, weight_decay: 0.0,
               evaluate_every: 10, valid_instances: 64, test_instances: 64}
    space: tiny
spaces:
  tiny: {learning_rate: {low: 1e-3, high: 3e-2, log: true}}
"""

IMPORT = """
import sys, torch, attenergy
layer = attenergy.load("layer")
model = torch.nn.Sequential(torch.nn.Linear(3, 16), layer, torch.nn.Linear(16, 1))
model(torch.randn(4, 7, 3)).square().mean().backward()
learns = any(p.grad is not None and p.grad.any() for p in layer.parameters())
print(type(layer).__name__, layer.energy.spec.formula, learns)
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def here(*arguments: str) -> Result:
    """A command in this process; others try its script and its workers."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my.yaml").write_text(REGISTRY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_a_new_energy_is_checked_searched_ranked_exported_and_imported(folder: Path) -> None:
    checked = here("energies", "check", "my.yaml")
    lines = [line for line in checked.stdout.splitlines() if " ok " in line]
    assert len(lines) >= 6
    assert "FAILS" not in checked.stdout

    searched = here(
        "search", "--task", "tiny-recall", "--registry", "my.yaml", "--study", "mine",
        "--energies", "lifted_sink,lse", "--trials", "4", "--finalists", "1", "--seeds", "2",
        "--final-budget", "none", "--workers", "0",
    )  # fmt: skip
    assert "Traceback" not in searched.stderr
    for name in ("lifted_sink", "lse", "softmax"):
        assert name in searched.stdout
    assert "attenergy.load(" in searched.stdout

    records = [
        json.loads(line) for line in (folder / "runs/mine/records.jsonl").read_text().splitlines()
    ]
    assert records[0]["config"]["variant"] == "softmax"
    mine = [r for r in records if r["config"]["variant"] == "lifted_sink"]
    assert mine
    assert all(r["status"] == "complete" for r in mine)

    (folder / "my.yaml").unlink()  # what is exported does not need the file that it came from
    here("export", "mine", "--trial", mine[0]["key"], "-o", "layer")
    imported = run(folder, sys.executable, "-c", IMPORT)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.split()[0] == "EnergyAttention"
    assert "softplus(1 + lse(beta * X @ xi + h))" in imported.stdout
    assert imported.stdout.split()[-1] == "True"
