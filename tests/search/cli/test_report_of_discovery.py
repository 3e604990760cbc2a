"""`report` on the folder of a discovery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.cli.app import app
from attenergy.search.discovery.plan import DiscoverPlan
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


FORMATS = [["--format", name] for name in ("table", "html", "markdown", "json")]


@pytest.fixture
def unwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a discovery that was killed before it had written what it came to."""
    monkeypatch.chdir(tmp_path)
    place = Path("runs", "night")
    place.mkdir(parents=True)
    plan = DiscoverPlan(study="night", folder=str(place), tasks=("denoising", "latch"), budget="2h")
    (place / "discover.json").write_text(plan.model_dump_json())
    return place


@pytest.mark.parametrize("words", [*FORMATS, ["--pictures", "drawn"]])
def test_a_discovery_without_a_result_says_how_to_go_on(unwritten: Path, words: list[str]) -> None:
    again = "  attenergy discover --task denoising,latch --budget 2h --study night --resume\n"
    for lines in (None, "no record at all\n"):
        if lines is not None:
            (unwritten / "records.jsonl").write_text(lines)
        said = run("report", "night", *words, code=2).stderr
        assert "runs/night: this discovery has written no result yet; to go on with it:\n" in said
        assert again in said
    moved = run("report", "night", *words, "--folder", str(unwritten.parent.resolve()), code=2)
    assert f"--study night --folder {unwritten.parent.resolve()} --resume\n" in moved.stderr


def test_what_needs_a_study_says_that_there_is_no_result(unwritten: Path) -> None:
    said = run("export", "night", "-o", "out", code=2).stderr
    assert "is a discovery that has written no result yet" in said


@pytest.mark.parametrize("words", FORMATS)
def test_a_plug_in_that_is_missing_is_named(folder: Path, words: list[str]) -> None:
    need = {"name": "kit", "version": "1", "module": "kit"}
    need |= {"provides": {"formula function": ["gone"]}}
    (folder / "plugins.json").write_text(json.dumps([need]))
    said = run("report", "made-up", *words, code=2).stderr
    assert "the plug-in kit 1 is needed (formula function 'gone') and not loaded here" in said
    assert "attenergy --plugin kit" in said


@pytest.mark.parametrize(("field", "value"), [("name", "x; rm"), ("tasks", ["../up"])])
def test_a_name_that_is_no_folder_is_refused_with_its_file(
    folder: Path, field: str, value: object
) -> None:
    path = folder / "discovered.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    said = run("report", "made-up", "--format", "table", code=2).stderr
    assert "runs/made-up/discovered.json: cannot be read as a discovery: " in said


def test_a_score_of_any_size_is_short(folder: Path) -> None:
    path = folder / "discovered.json"
    data = json.loads(path.read_text())
    for formula, size in zip(data["population"], (1e300, -1e300, 1e9, -1e17), strict=False):
        formula["scores"] = dict.fromkeys(data["rungs"], size)
        formula["cost"] = abs(size)
    data["predictions"][0] |= {"correlation": 1e308, "low": -1e300, "high": 1e300}
    data["ablations"][1]["scores"] = dict.fromkeys(data["rungs"], -1e300)
    path.write_text(json.dumps(data))
    for form in ("table", "markdown"):
        shown = run("report", "made-up", "--format", form).stdout
        assert "0" * 20 not in shown
        assert "1e+300" in shown
