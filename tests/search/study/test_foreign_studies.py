"""Studies that somebody sent: nothing is made, connected to, or read outside of their folder."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.replay import replay
from attenergy.search.cli.app import app
from attenergy.search.results.study_folder import NoRuns, read_study
from attenergy.search.results.task_table import read_matrix
from attenergy.search.runs.records import MAX_LINE, read_records


@pytest.fixture
def folder(finished_study: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_study, tmp_path / "sent" / "tiny")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.long
def test_no_command_opens_the_storage_that_a_plan_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a database was opened")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    monkeypatch.setattr("attenergy.search.storage.database.RDBStorage", refuse)
    before = tree(tmp_path)
    for url in (f"sqlite:///{tmp_path}/made.db", "postgresql://me@127.0.0.1:1/x", "mysql://h/x"):
        edit(folder / "plan.json", storage=url)
        for words in (
            ["replay", str(folder), "trial-0"],
            ["export", str(folder), "--trial", "trial-0", "-o", str(tmp_path / "out")],
            ["dashboard", str(folder), "-p", "0"],
        ):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 2, result.output
            assert "database was opened" not in result.output
        assert CliRunner().invoke(app, ["report", str(folder), "-f", "json"]).exit_code == 0
    assert tree(tmp_path) == before


def test_a_trial_number_is_looked_up_without_a_trace(folder: Path, tmp_path: Path) -> None:
    before = tree(tmp_path), (folder / "study.db").read_bytes()
    result = CliRunner().invoke(app, ["replay", str(folder), "trial-1", "-w", "0"])
    assert result.exit_code == 0, result.output
    assert (tree(tmp_path), (folder / "study.db").read_bytes()) == before


def test_a_database_that_never_ends_is_given_up(folder: Path) -> None:
    (folder / "study.db").unlink()
    with sqlite3.connect(folder / "study.db") as base:
        for table in ("studies", "study_user_attributes", "trial_user_attributes", "trials"):
            base.execute(f"CREATE TABLE {table} (study_id, study_name, key, value_json)")
        base.execute("DROP TABLE studies")
        base.execute(
            "CREATE VIEW studies AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT i AS study_id, 'tiny' AS study_name FROM n"
        )
    base.close()
    result = CliRunner().invoke(app, ["replay", str(folder), "trial-0"])
    assert result.exit_code == 2
    assert "it has no table" in result.stderr


@pytest.mark.parametrize("place", ["../../secret", "/secret", "weights/link"])
def test_weights_outside_of_the_folder_are_not_read(
    folder: Path, tmp_path: Path, place: str
) -> None:
    study = read_study(folder)
    secret = tmp_path / "secret"
    shutil.copyfile(folder / study.records[0].weights, secret)
    (folder / "weights" / "link").symlink_to(secret)
    name = str(secret) if place.startswith("/") else place
    record = study.records[0].model_copy(update={"weights": name})
    with pytest.raises(ValueError, match=r"the weights of run .* leads out of"):
        export_run(record, folder, tmp_path / "out")
    with pytest.raises(ValueError, match=r"the weights of run .* leads out of"):
        replay(record, folder, workers=0)
    assert not (tmp_path / "out").exists()


def test_weights_of_another_size_are_refused_before_the_model_is_made(folder: Path) -> None:
    record = read_study(folder).records[0]
    model = record.config.model.model_copy(update={"width": 10**7, "heads": 1})
    forged = record.model_copy(update={"config": record.config.model_copy(update={"model": model})})
    with pytest.raises(ValueError, match=r"does not fit|larger than its weights explain"):
        export_run(forged, folder, folder.parent / "out")


@pytest.mark.parametrize("name", ["..", ".", "/etc", "a/../../b", "a\\b", "", "-x", "\0"])
def test_a_matrix_names_folders_inside_its_own(folder: Path, name: str) -> None:
    column = {
        "name": name, "task": "t", "metric": "accuracy", "split": "test", "chance": 0.1,
        "ceiling": None, "scores": {}, "missing": {},
    }  # fmt: skip
    data = {"title": "t", "variants": ["a"], "columns": [column]}
    (folder.parent / "matrix.json").write_text(json.dumps(data))
    before = tree(folder.parent)
    with pytest.raises(ValueError, match=r"matrix\.json: cannot be read as a matrix: "):
        read_matrix(folder.parent)
    result = CliRunner().invoke(app, ["report", str(folder.parent)])
    assert result.exit_code == 2
    assert tree(folder.parent) == before
    data = {"title": "t", "variants": [], "columns": []}
    (folder.parent / "matrix.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="no variants or no columns"):
        read_matrix(folder.parent)


@pytest.mark.parametrize("name", ["records.jsonl", "plan.json"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    folder: Path, tmp_path: Path, name: str
) -> None:
    path, outside = folder / name, tmp_path / "outside"
    path.rename(outside)
    for make in (
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(outside),
        path.mkdir,
    ):
        make()
        with pytest.raises((OSError, ValueError)):
            read_study(folder)
        result = CliRunner().invoke(app, ["report", str(folder)])
        assert result.exit_code == 2, result.output
        path.rmdir() if path.is_dir() else path.unlink()


def test_records_of_any_length_and_depth_are_refused(folder: Path) -> None:
    path = folder / "records.jsonl"
    good = path.read_bytes()
    for line, text in (
        (b"x" * (MAX_LINE + 10), "longer than"),
        (b"[" * 100_000, "not a run record"),
        (b'{"key": ' + b"9" * 100_000 + b"}", "not a run record"),
        (b'{"key": "\\ud800"}', "not a run record"),
        (b"\xff\xfe", "not a run record"),
    ):
        path.write_bytes(good + line + b"\n")
        with pytest.raises(ValueError, match=rf"records\.jsonl:\d+: .*{text}") as caught:
            read_records(folder)
        assert str(caught.value).isprintable()
    path.write_bytes(good + b'{"torn')
    assert len(read_records(folder)) == len(good.splitlines())


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NoRuns):
        read_study(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
