"""The examples run, here with few steps."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, **options: Any) -> Any:
    return runpy.run_path(str(EXAMPLES / name))["main"](**options)


def test_all_forms_of_an_energy_recall_the_same() -> None:
    states = run("own_energy.py")
    assert len(states) == 6
    for state in states.values():
        torch.testing.assert_close(state, states["name"])


def test_a_loop_of_ones_own_finds_a_layer(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert run("own_loop.py", trials=2, steps=40) > 0.3  # chance is 0.1
    assert "on test digits" in capsys.readouterr().out


def test_regression_in_context_beside_its_references(capsys: pytest.CaptureFixture[str]) -> None:
    scores = run("in_context.py", steps=100, energies=("lse",))
    assert 0.2 < scores["lse"] < 0.95  # answering 0 has 0, the Bayes predictor 0.93
    assert "bayes          r2 0.9" in capsys.readouterr().out
