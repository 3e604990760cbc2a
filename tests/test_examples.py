"""The examples run, here with few steps."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.tasks import CLASSES

pytestmark = pytest.mark.long  # whole searches or processes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
_PLACES = ("here", "there")


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


def test_a_saturated_model_is_advised_and_its_digits_are_recalled(tmp_path: Path) -> None:
    results = run("diagnosis.py", steps=3)
    assert not results["healthy"][1].advice
    assert {line.rule for line in results["saturated"][1].advice} >= {"saturated"}
    pytest.importorskip("sklearn")
    shares = run("digits.py", count=40, seeds=0, save=str(tmp_path))
    assert shares["prepared, beta 1"] < 0.1
    assert shares["prepared, suggested"] > 0.9
    assert shares["prepared, nearest"] > 0.9 > shares["raw, nearest"] > shares["chance"]
    assert (tmp_path / "digits-recalled.png").is_file()


def test_a_table_is_classified_beside_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    scores = run("table_classifier.py", steps=40, energies=("lse",), seeds=1)
    assert scores["chance"] < 0.65
    assert min(scores[name] for name in ("lse", "LogisticRegression")) > 0.85


def test_a_language_model_learns_more_than_single_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bits = run("text_model.py", steps=12, layers=("lse",), length=32, evaluated=64)
    assert bits["two bytes"] < bits["one byte"] < bits["chance"] == 8
    assert bits["lse"] < 6.5
    assert "lse" in capsys.readouterr().out


def test_a_task_of_ones_own_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("own_search")
    try:
        scores = module.main(steps=60, trials=4, seeds=1)
    finally:
        CLASSES.pop("Twice")
        CLASSES.owners.pop("Twice")
        del sys.modules["own_search"]
    assert {"softmax", "mean"} <= set(scores) <= {"softmax", "mean", "lse", "rbm"}
    assert scores["mean"] > 0.2  # chance is 0.143


@pytest.mark.slow  # two searches by command line, seven processes in turn
def test_what_is_all_yours_answers_the_same_in_another_process(tmp_path: Path) -> None:
    """An energy, a model and a table of one's own; stacks of two energies, exported and loaded."""
    pytest.importorskip("sklearn")
    shutil.copy(EXAMPLES / "all_yours.py", tmp_path)
    script = [sys.executable, "all_yours.py"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pairs = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    said = [(pair[0], json.loads(pair[1])) for pair in pairs if pair and pair[0] in _PLACES]
    assert [place for place, _ in said] == [*_PLACES, *_PLACES]
    for (_, here), (_, there), classes in zip(said[::2], said[1::2], (2, 10), strict=True):
        assert here == there
        assert torch.tensor(here).isfinite().all()
        assert torch.tensor(here).shape[::2] == (4, classes)
    assert not list(tmp_path.glob("*.yaml")), "all that it writes is in a temporary folder"


def test_a_vit_and_a_bert_change_their_energy() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("transformers")
    results = run("bert_vit.py", steps=50, tuning=1)
    assert len(results) == 2
    for scores in results.values():
        assert scores["lse"][0] == pytest.approx(scores["softmax"][0], abs=0.02)
    assert results["ViT on digits"]["softmax"][0] > 0.2  # chance is 0.1


def test_graphs_are_classified_along_their_edges() -> None:
    pytest.importorskip("torch_geometric")
    scores = run("graph_classifier.py", steps=40, seeds=1)
    assert scores["no edges"][0] < 0.6  # chance is 0.5
    assert scores["Gaussian spins"][0] > 0.7


def test_bags_are_classified_by_pooling(capsys: pytest.CaptureFixture[str]) -> None:
    scores = run("multiple_instance.py", steps=2, seeds=1)
    assert all(0.3 < score[0] <= 1 for score in scores.values())
    assert capsys.readouterr().out.count("largest weight on the secret pattern") == 3


def test_a_searched_model_predicts_the_same_in_another_process(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "searched_model.py", tmp_path)
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), "")))
    done = subprocess.run(
        [sys.executable, "searched_model.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here, there = done.stdout.splitlines()[-2:]
    values = [json.loads(line.split(maxsplit=1)[1]) for line in (here, there)]
    assert values[0] == values[1]
    assert torch.tensor(values[0]).isfinite().all()
