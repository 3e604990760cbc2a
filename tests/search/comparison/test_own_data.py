"""A user's data from a comparison to a report, an export and a repeat, without the file between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import attenergy
from attenergy.search.cli.app import app
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.plugin_needs import read_needs
from attenergy.search.training.predict import predict
from attenergy.tasks import make_task

FIX = ["--fix", "width=8", "--fix", "heads=2", "--fix", "layers=1", "--fix", "mlp=0"]


def write(path: Path, sign: int) -> None:
    numbers = torch.linspace(-1, 1, 80)[torch.randperm(80)].tolist()
    lines = ["x,y", *(f"{x:.4f},{['low', 'high'][sign * x > 0]}" for x in numbers)]
    path.write_text("\n".join(lines), encoding="utf-8")


def call(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.csv", 1)
    return tmp_path


COMPARE = [
    *("compare", "--task", "table", "--variants", "softmax,lse", "--seeds", 1, "--steps", 30),
    *("--workers", 0, "--plain", "--study", "mine", "--set", "path=mine.csv", *FIX),
]


def test_data_that_change_are_other_data(here: Path) -> None:
    output = call(*COMPARE, "--set", "target=y")
    assert "y is a class, 2 of them: high 40, low 40" in output
    call(*COMPARE, "--set", "target=y")  # goes on with the same
    records = read_study(here / "runs" / "mine").records
    options = records[0].config.task_spec.options
    assert options["path"] == "mine.csv"  # as it was typed: no path of a machine
    assert records[0].config.training.test_instances == 12
    write(here / "mine.csv", -1)
    text = refused(*COMPARE, "--set", "target=y")
    assert f"content': '{options['content']}'" in text
    assert "give this one another name" in text
    text = refused(*COMPARE, "--set", "target=y", "--set", f"content={options['content']}")
    assert "the data at 'mine.csv' have changed" in text


def test_a_study_is_read_without_its_data(here: Path) -> None:
    call(*COMPARE, "--set", "target=y")
    (here / "mine.csv").rename(here / "moved.csv")
    study = read_study(here / "runs" / "mine")
    assert study.task.chance == {"accuracy": 0.5, "balanced_accuracy": 0.5}
    assert not read_needs(study.folder)
    board = json.loads(call("report", "mine", "--format", "json"))
    assert board
    call("export", "mine", "--trial", "softmax", "-o", "out")
    assert "was trained on the data 'mine.csv'; nothing outside" in refused("replay", "mine")
    text = call("replay", "mine", "softmax", "--data", "moved.csv", "--workers", 0)
    assert "equal: " in text
    write(here / "moved.csv", -1)
    assert "have changed" in refused("replay", "mine", "softmax", "--data", "moved.csv")


def test_an_export_scores_as_its_record_says(here: Path) -> None:
    call(*COMPARE, "--set", "target=y")
    call("export", "mine", "--trial", "softmax", "-o", "out")
    record = next(
        r for r in read_study(here / "runs" / "mine").records if r.config.variant == "softmax"
    )
    task = make_task(record.config.task_spec)
    model = attenergy.load("out", part="model").eval()
    with torch.inference_mode():
        scores = task.evaluate(lambda b: predict(model, b, task.scored_positions), "test", 100)
    assert scores == pytest.approx(record.metrics["test"], abs=1e-6)


def test_mistakes_show_before_anything_is_trained(here: Path) -> None:
    for options, said in (
        ([], "name the column to predict with --set target=COLUMN; mine.csv has x, y"),
        (["--set", "target=z"], "no column of mine.csv 'z'"),
        (["--set", "target=y", "--set", "valid=2"], "'valid' must be a share"),
        (["--set", "target=y", "--set", "colums=x"], "no option of Table 'colums'"),
    ):
        assert said in refused(*COMPARE, *options)
    missing = [word for word in COMPARE if word != "path=mine.csv"]
    missing[missing.index("--set")] = "--plain"
    assert "is needed: --set path=FILE (see docs/own_data.md)" in refused(*missing)
    assert not (here / "runs" / "mine").exists()
    assert "size 1" in call("tasks", "show", "table", *COMPARE[COMPARE.index("--set") :][:2],
                            "--set", "target=y")  # fmt: skip


def test_a_search_goes_on_with_the_same_data_only(here: Path) -> None:
    words = [
        *("search", "--task", "table", "--variants", "softmax", "--trials", 1, "--steps", 5),
        *("--finalists", 0, "--workers", 0, "--plain", "--no-export", "--set", "path=mine.csv"),
        *("--set", "target=y", "--fix", "layers=1", "--fix", "mlp=0"),
    ]
    call(*words)
    call(*words[:6], 2, *words[7:], "--resume")
    write(here / "mine.csv", -1)
    text = refused(*words[:6], 3, *words[7:], "--resume")
    assert "content" in text
