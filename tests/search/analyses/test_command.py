"""`attenergy analyse` and `attenergy report --analyse` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib")

from attenergy.search.cli.app import app

pytestmark = pytest.mark.long  # whole searches or processes


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.usefixtures("examples")
def test_the_finding_comes_first_then_pictures_then_the_table(own_study: Path) -> None:
    result = run("analyse", "tiny", "--plain", "--instances", "8")
    lines = result.stdout.splitlines()
    assert lines[0] == "Entropy of the weights"
    assert lines[1].startswith("The weights of ")
    assert lines[2].startswith("pictures: entropies-bars.png and .svg in ")
    assert "layer" in result.stdout
    assert "refusing: not done for" in result.stdout
    assert "[2/4] Entropy of the weights" in result.stderr
    (folder,) = (own_study / "analysis").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("entropies.json", "entropies.md", "entropies-bars.png", "entropies-bars.svg"),
        *("analyses.html", "analyses.md"),
    }
    page = (folder / "analyses.html").read_text()
    assert "default-src 'none'" in page
    assert "img-src data:" in page
    assert '<section id="entropies">' in page
    assert "its layers have no states" in page
    assert "![Entropy](<./entropies-bars.png>)" in (folder / "analyses.md").read_text()


@pytest.mark.usefixtures("own_study")
def test_two_models_stand_side_by_side(examples: Any, tmp_path: Path) -> None:
    words = ("analyse", "tiny", "entropies", "--instances", "8", "--format", "json")
    data = json.loads(run(*words, "--trial", "lse", "--against", "baseline").stdout)
    assert [model["model"] for model in data] == ["lse", "softmax"]
    assert all("entropies" in model["analyses"] for model in data)
    (page,) = Path("runs/tiny/analysis").glob("*-against-*.html")
    text = page.read_text()
    assert text.count('<div class="beside">') == 1
    assert text.count('<p class="finding">') == 2
    assert examples.count == 2
    run(*words, "--trial", "lse", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "analyses.html").is_file()
    run(*words, "--trial", "lse")
    assert examples.count == 3  # what lies in the study is of the same model


@pytest.mark.usefixtures("examples", "own_study")
def test_mistakes_end_with_code_2_and_say_what_is_allowed() -> None:
    for words, said in (
        (("tiny", "entropie"), "did you mean 'entropies'"),
        (("tiny", "--set", "entropies.scal=1"), "did you mean 'scale'"),
        (("tiny", "--set", "pairs=3"), "give --task"),
        (("tiny", "refusing"), "refusing: its layers have no states"),
        (("tinny",), "did you mean 'tiny'"),
        (("tiny", "--trial", "nobody"), "no run with key 'nobody'"),
        (("tiny", "--split", "vald"), "did you mean 'valid'"),
        ((), "name a study (or the folder of an export"),
        (("tiny", "--task", "raven-small"), "cannot read"),
    ):
        output = run("analyse", *words, code=2).output
        assert said in " ".join(output.replace("│", " ").split()), output


@pytest.mark.usefixtures("examples")
def test_the_analyses_are_listed_with_their_options() -> None:
    text = run("analyse", "--list").stdout
    assert "How sharp are the weights?" in text
    assert "entropies.scale" in text
    data = json.loads(run("analyse", "--list", "-f", "json").stdout)
    assert [kind["name"] for kind in data] == ["failing", "entropies", "needy", "refusing"]
    assert data[1]["options"][0]["allowed"] == "at least 0"


def test_an_interrupt_writes_the_page_of_what_is_finished(examples: Any, own_study: Path) -> None:
    examples.error = KeyboardInterrupt()
    result = run("analyse", "tiny", "entropies", "failing", "--instances", "8", code=130)
    assert "interrupted" in result.output
    (page,) = (own_study / "analysis").glob("*/analyses.html")
    assert "Entropy of the weights" in page.read_text()


@pytest.mark.usefixtures("own_study")
def test_a_mistake_in_an_analysis_is_shown_after_the_rest(examples: Any) -> None:
    examples.error = ZeroDivisionError("by design")
    result = CliRunner().invoke(app, ["analyse", "tiny", "--instances", "8"])
    assert result.exit_code == 1
    assert "Entropy of the weights" in result.stdout
    assert "This is a mistake inside attenergy" in result.output


@pytest.mark.usefixtures("own_study")
def test_a_report_shows_winner_and_baseline(examples: Any) -> None:
    run("report", "tiny", "--analyse", "entropies", "--plain")
    page = Path("runs/tiny/report.html").read_text()
    assert '<section id="analyses">' in page
    assert page.count('<p class="finding">') == examples.count
    text = run("report", "tiny", "--analyse", "entropies", "--format", "markdown").stdout
    assert "### Entropy of the weights" in text
    data = json.loads(run("report", "tiny", "--analyse=entropies", "-f", "json").stdout)
    assert {"entropies"} == {name for model in data["analyses"] for name in model["analyses"]}
    assert "analyses" not in json.loads(run("report", "tiny", "-f", "json").stdout)


@pytest.mark.usefixtures("own_study", "examples")
def test_a_report_of_all_analyses_needs_no_value() -> None:
    run("report", "tiny", "--analyse", "--plain")
    assert '<section id="analyses">' in Path("runs/tiny/report.html").read_text()
    run("report", "--analyse", "tiny", "--plain")
    run("report", "tiny")
    assert '<section id="analyses">' not in Path("runs/tiny/report.html").read_text()
