"""Repeating a recorded run: equal if nothing was touched, different if anything was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.search.artifacts.replay import replay
from attenergy.search.artifacts.select_run import NoSuchRun, find_run
from attenergy.search.cli.app import app
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.runs.config import RunRecord


@pytest.fixture
def study(finished_study: Path) -> Study:
    return read_study(finished_study)


def changed(record: RunRecord, **update: Any) -> RunRecord:
    return record.model_copy(update=update)


def test_a_recorded_run_repeats_bit_for_bit(study: Study) -> None:
    record = find_run(study, "best")
    result = replay(record, study.folder, workers=0)
    assert result.equal
    assert result.again.metrics == record.metrics
    text = "\n".join(result.lines())
    assert "the same file" in text
    assert "equal: valid" in text


def test_a_changed_metric_curve_and_weight_are_found(study: Study, tmp_path: Path) -> None:
    record = study.records[0]
    valid = {**record.metrics["valid"], "accuracy": 0.75}
    points = [{**record.curve[0], "loss": 0.5}, *record.curve[1:]]
    old = study.folder / record.weights
    new = tmp_path / record.weights
    new.parent.mkdir(parents=True)
    new.write_bytes(old.read_bytes()[:-1] + b"\x00")
    forged = changed(record, metrics={**record.metrics, "valid": valid}, curve=points)
    result = replay(forged, tmp_path, workers=0)
    assert not result.equal
    metric, loss, weights = result.differences
    assert metric.startswith("metrics.valid.accuracy: recorded 0.75, repeated ")
    assert loss.startswith("curve[0].loss: recorded 0.5, repeated ")
    assert weights.startswith("weights: recorded sha256 ")
    assert "versions and machine are those of the record" in list(result.lines())


def test_a_changed_configuration_and_other_versions_are_named(study: Study) -> None:
    record = study.records[0]
    config = record.config.model_copy(update={"seed": record.config.seed + 77})
    forged = changed(
        record, config=config, weights="", versions={**record.versions, "torch": "1.0"}
    )
    result = replay(forged, study.folder, workers=0)
    assert result.differences[0].startswith(f"key: recorded {record.key}, its configuration gives")
    assert any(text.startswith("torch: 1.0, now ") for text in result.circumstances)
    assert "its weights were not kept" in result.weights


def test_a_pruned_run_is_compared_as_far_as_it_went(study: Study) -> None:
    record = study.records[0]
    pruned = changed(record, status="pruned", metrics={}, weights="")
    assert replay(pruned, study.folder, workers=0).equal
    bent = [{**record.curve[0], "loss": 0.5}]
    assert not replay(changed(pruned, curve=bent), study.folder, workers=0).equal


def test_a_run_by_the_clock_cannot_be_repeated(study: Study) -> None:
    config = study.records[0].config.model_copy(update={"seconds": 1.5})
    with pytest.raises(ValueError, match=r"trained for 1\.5 seconds"):
        replay(changed(study.records[0], config=config), study.folder)


def test_a_run_is_found_by_its_trial_number(study: Study, tmp_path: Path) -> None:
    trials = [r for r in study.records if r.purpose == "trial"]
    for number, record in enumerate(trials):  # one process: they end in the order of their numbers
        assert find_run(study, f"trial-{number}").key == record.key
    assert find_run(study, trials[1].key[:9]) == trials[1]
    assert find_run(study, "rbm").config.variant == "rbm"
    with pytest.raises(NoSuchRun, match="no trial-99 with a record; the study has 3 trials"):
        find_run(study, "trial-99")
    bare = shutil.copytree(study.folder, tmp_path / "bare")
    (bare / "study.db").unlink()
    with pytest.raises(NoSuchRun, match=r"has no study\.db"):
        find_run(read_study(bare), "trial-0")
    (bare / "plan.json").unlink()
    with pytest.raises(NoSuchRun, match="only a search with its plan has trial numbers"):
        find_run(read_study(bare), "trial-0")


def test_the_command_says_equal_or_ends_with_1(finished_study: Path, tmp_path: Path) -> None:
    def run(folder: Path) -> Any:
        arguments = ["replay", folder.name, "trial-0", "-w", "0", "--folder", str(folder.parent)]
        return CliRunner().invoke(app, arguments)

    good = run(finished_study)
    assert good.exit_code == 0
    assert "equal: " in good.stdout
    folder = shutil.copytree(finished_study, tmp_path / "forged")
    lines = (folder / "records.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["metrics"]["test"]["accuracy"] += 0.25
    (folder / "records.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    bad = run(folder)
    assert bad.exit_code == 1
    assert "metrics.test.accuracy: recorded" in bad.stdout


@pytest.mark.slow
def test_a_worker_process_repeats_it_too(study: Study) -> None:
    assert replay(study.records[0], study.folder, workers=1).equal
