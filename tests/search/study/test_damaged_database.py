"""A damaged database ends in words: what is damaged, and that the records are intact."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app
from tests.search.conftest import TINY_FIX, TINY_TASK


def sql(*statements: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


DAMAGES = {
    "not a database": lambda path: path.write_text("not a database, whatever its name is" * 99),
    "truncated": truncate,
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:100] + b"\0" * 40_000),
    **{
        f"without {table}": sql(f"DROP TABLE {table}")
        for table in ("studies", "trials", "trial_user_attributes", "study_user_attributes")
    },
    "unknown state": sql("UPDATE trials SET state = 'RESTING'"),
    "no json": sql("UPDATE trial_user_attributes SET value_json = '{'"),
    "another version": sql("UPDATE alembic_version SET version_num = 'v99'"),
}


@pytest.fixture
def folder(finished_study: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(finished_study, tmp_path / "tiny")
    for name in ("study.db-wal", "study.db-shm"):
        (folder / name).unlink(missing_ok=True)
    return folder


def resume(folder: Path, trials: int = 4) -> list[str]:
    words = ["search", "--task", "stacked-recall", "--study", "tiny", "-e", "lse,rbm,softmax"]
    words += ["--folder", str(folder.parent), "--steps", "4", "--finalists", "0", "-w", "0"]
    words += ["--trials", str(trials), "--resume", "--plain", "--no-export"]
    for name, value in TINY_FIX.items():
        words += ["--fix", f"{name}={value}"]
    for name, value in TINY_TASK.items():
        words += ["--set", f"{name}={value}"]
    return words


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_told_and_the_records_are_read(name: str, folder: Path) -> None:
    DAMAGES[name](folder / "study.db")
    records = (folder / "records.jsonl").read_bytes()
    for words in (resume(folder), ["replay", str(folder), "trial-0", "-w", "0"]):
        result = CliRunner().invoke(app, words)
        if name in {"unknown state", "another version"} and words[0] == "replay":
            assert result.exit_code == 0, result.output  # which run it was can still be read
            continue
        assert result.exit_code == 2, (words[0], result.output)
        assert "study.db cannot be used: " in result.stderr, result.stderr
        assert "The study's database is damaged; the records beside it" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert (folder / "records.jsonl").read_bytes() == records
    assert CliRunner().invoke(app, ["report", str(folder), "-f", "markdown"]).exit_code == 0


@pytest.mark.long
def test_the_search_goes_on_from_the_records_as_the_words_say(folder: Path) -> None:
    (folder / "study.db").write_text("damaged" * 1000)
    assert CliRunner().invoke(app, resume(folder)).exit_code == 2
    (folder / "study.db").rename(folder / "study.damaged")
    result = CliRunner().invoke(app, resume(folder))
    assert result.exit_code == 0, result.output
    assert "3 trials are taken from the records into the study" in result.output


def test_what_is_no_file_is_no_database(folder: Path, tmp_path: Path) -> None:
    path, outside = folder / "study.db", tmp_path / "outside.db"
    path.rename(outside)
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(outside)):
        make()
        for words in (["replay", str(folder), "trial-0"], ["dashboard", str(folder), "-p", "0"]):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 2, result.output
            assert "study.db" in result.stderr
        path.rmdir() if path.is_dir() else path.unlink()
