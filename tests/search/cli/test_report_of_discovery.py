"""`report` on the folder of a discovery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.cli.app import app
from attenergy.search.discovery.results import page
from attenergy.search.discovery.results.discovery import save_discovery
from tests.search.discovery.results.conftest import around, made_up, write_final


def run(*words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "made-up"
    save_discovery(made_up(), place)
    scores = {"softmax": around(0.4), "discovered_5": around(0.5), "random_2": around(0.2)}
    write_final(place, "stacked-recall-small", scores, load_registry(plugins=False))
    return place


def test_a_table_is_printed(folder: Path) -> None:
    out = run("report", "made-up", "--format", "table").stdout
    assert "BEATS" in out
    assert "discovered_5" in out
    assert "What was rejected before any training" in out


def test_other_formats(folder: Path) -> None:
    assert json.loads(run("report", "made-up", "--format", "json").stdout)["name"] == "made-up"
    run("report", "made-up", "--format", "markdown", "-o", "story.md")
    assert Path("story.md").read_text().startswith("# made-up\n")


@pytest.mark.long
def test_the_page_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(page.inside, "landscapes", lambda *_: ())
    run("report", "made-up")
    assert "Family tree" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "words", [["export", "made-up", "-o", "out"], ["report", "made-up", "--analyse"]]
)
def test_what_needs_one_task_names_the_finals(folder: Path, words: list[str]) -> None:
    assert "made-up/finals/TASK" in run(*words, code=2).stderr


def test_a_damaged_file_ends_in_one_line(folder: Path) -> None:
    (folder / "discovered.json").write_text('{"name": 3}')
    assert "cannot be read as a discovery" in run("report", "made-up", code=2).stderr
