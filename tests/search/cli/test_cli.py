from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import attenergy
from attenergy.attention.models.transformer import Transformer
from attenergy.search.cli.app import app

TINY = [
    *["--task", "stacked-recall", "--set", "vocabulary=16", "--set", "pairs=4", "--steps", "3"],
    *["--fix", "valid_instances=64", "--fix", "test_instances=64", "--workers", "0"],
]
LOADING = "import attenergy; model = attenergy.load('runs/s/exported', part='model')"
GOOD = """
version: 1
energies:
  mine:
    title: "Mine [of my own]"
    formula: 0.5*|xi|^2 - lse(beta * X @ xi + h)/beta
    parameters:
      beta: {init: 1.0, constraint: positive}
    quadratic: 1.0
"""
BAD = """
version: 1
energies:
  first:
    title: First
    formula: 0.5*|xi|^2 - lsee(X @ xi)
  second:
    title: Second
    formula: 0.5*|xi|^2 -
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def read_json(*arguments: str) -> Any:
    return json.loads(run(*arguments).stdout)


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("attenergy")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "attenergy.search.cli"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_version() -> None:
    assert run("--version").stdout == f"attenergy {attenergy.__version__}\n"


def test_help_names_every_verb() -> None:
    text = run("--help").stdout
    for verb in ("energies", "mixers", "tasks", "search", "compare", "report", "export", "schema"):
        assert verb in text
    for verb in ("search", "compare", "report", "export", "energies", "tasks"):
        assert "Usage" in run(verb, "--help").stdout


LIGHT = [["--help"], ["search", "--help"], ["energies", "list"], ["tasks", "list"], ["schema"]]


@pytest.mark.long
def test_light_commands_import_neither_torch_nor_optuna() -> None:
    program = textwrap.dedent(f"""
        import sys
        from attenergy.search.cli import main
        for arguments in {LIGHT!r}:
            sys.argv = ["attenergy", *arguments]
            try:
                main()
            except SystemExit as end:
                assert not end.code, (arguments, end.code)
            heavy = sorted({{"torch", "optuna", "networkx", "numpy"}} & set(sys.modules))
            assert not heavy, (arguments, heavy)
        print("all are light")
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all are light\n")


def test_lists() -> None:
    assert [row["name"] for row in read_json("energies", "list", "-f", "json")][:2] == [
        *["lse", "polynomial"]
    ]
    assert "hyla" in run("mixers", "list").stdout
    assert "raven-small" in run("tasks", "list").stdout
    Path("my.yaml").write_text(GOOD)
    text = run("energies", "list", "--registry", "my.yaml").stdout
    assert "Mine [of my own]" in text


def test_show_energy() -> None:
    text = run("energies", "show", "lse").stdout
    assert "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta" in text
    assert "softmax_attention" in text
    assert "0.25 to 1.9" in text
    assert "1/sqrt(D)" in text
    data = read_json("energies", "show", "lse", "--format", "json")
    assert data["attention"] is True
    assert data["entry"]["quadratic"] == 1.0


# One second each: one formula, one class, one on a graph; the others when asked.
SHOWN = {"lse", "spherical_spins", "graph_memory"}
ENERGIES = [
    pytest.param(name, marks=[] if name in SHOWN else [pytest.mark.slow])
    for name in attenergy.load_registry().energies
]


@pytest.mark.parametrize("name", ENERGIES)
def test_show_every_energy(name: str) -> None:
    assert name in run("energies", "show", name).stdout


@pytest.mark.parametrize("name", list(attenergy.load_registry().mixers))
def test_show_every_mixer(name: str) -> None:
    assert "class" in read_json("energies", "show", name, "-f", "json")["entry"]


def test_show_and_sample_task() -> None:
    text = run("tasks", "show", "stacked-recall").stdout
    assert "valid=1.000" in text
    data = read_json("tasks", "show", "stacked-recall", "-f", "json")
    assert data["ceiling"]["test"] == {"value": 1.0, "error": 0.0}
    first = run("tasks", "sample", "raven-small", "--split", "ood", "--index", "3").stdout
    assert first == run("tasks", "sample", "raven-small", "--split", "ood", "--index", "3").stdout
    assert first != run("tasks", "sample", "raven-small", "--split", "ood", "--index", "4").stdout
    one, two = (run("tasks", "sample", "raven-small", "--seed", s).stdout for s in "12")
    assert one != two


def test_schema_is_a_schema() -> None:
    schema = json.loads(run("schema").stdout)
    assert "energies" in schema["properties"]


@pytest.mark.slow  # test_end_to_end.py checks one, test_plugin_package.py reads the JSON
def test_check_passes_a_lawful_energy() -> None:
    Path("my.yaml").write_text(GOOD)
    laws = json.loads(run("energies", "check", "my.yaml:mine", "--format", "json").stdout)
    assert {law["energy"] for law in laws} == {"mine"}
    assert all(law["passed"] is not False for law in laws)
    assert any("descent" in law["law"] and law["passed"] for law in laws)


@pytest.mark.long
def test_check_fails_an_energy_that_breaks_a_law() -> None:
    # A quadratic part ten times too small makes a step that overshoots: descent is broken.
    Path("my.yaml").write_text(GOOD.replace("quadratic: 1.0", "quadratic: 0.1"))
    result = run("energies", "check", "my.yaml", code=1)
    assert "FAILS" in result.stdout


def test_check_reports_every_formula_with_its_place() -> None:
    Path("my.yaml").write_text(BAD)
    text = run("energies", "check", "my.yaml", code=2).stderr
    assert "my.yaml:6:27: energies.first.formula: unknown function 'lsee'" in text
    assert "my.yaml:9:" in text
    assert "energies.second.formula" in text


def test_a_missing_title_does_not_hide_a_mistake_in_the_formula() -> None:
    Path("my.yaml").write_text(BAD.replace("    title: First\n", "    titel: First\n"))
    for command in ("energies check my.yaml", "compare --registry my.yaml -e first,lse -t raven"):
        text = run(*command.split(), code=2).stderr
        assert "missing key 'title'" in text
        assert "unknown key 'titel'" in text
        assert text.index("unknown function 'lsee'") < text.index("my.yaml:9:"), "all, in order"


BAD_INPUT = [
    (["energies", "show", "lsee"], "did you mean 'lse'?"),
    (["energies", "check", "none.yaml"], "none.yaml"),
    (["energies", "check", "good.yaml:mien"], "did you mean 'mine'?"),
    (["energies", "check", "empty.yaml"], "holds no energies"),
    (["energies", "list", "--registry", "bad.yaml", "--registry", "none.yaml"], "none.yaml"),
    (["tasks", "show", "ravn"], "did you mean 'raven'?"),
    (["tasks", "sample", "raven-small", "--split", "odd"], "did you mean 'ood'?"),
    (["tasks", "sample", "raven-small", "--index", "-1"], "--index"),
    (["search"], "--task"),
    (["search", "--task", "ravn"], "did you mean 'raven'?"),
    (["search", *TINY, "--energies", "lse,rmb"], "did you mean 'rbm'?"),
    (["search", *TINY, "--baseline", "sotfmax"], "did you mean 'softmax'?"),
    (["search", *TINY, "--registry", "bad.yaml"], "bad.yaml:6:27"),
    (["search", *TINY, "--fix", "heads"], "is not NAME=VALUE"),
    (["search", *TINY, "--fix", "hads=2"], "did you mean 'heads'?"),
    (["search", *TINY, "--set", "pairs=5"], "given twice"),
    (["search", *TINY, "--study", "a/b"], "study"),
    (["search", *TINY, "--trials", "0"], "--trials"),
    (["search", *TINY, "--sampler", "grid"], "--sampler"),
    (["compare", *TINY, "--variants", ","], "names no variant"),
    (["compare", *TINY, "-e", "lse", "-n", "3"], "Possible options: --seeds"),
    (["compare", *TINY, "--variants", "lse,sofmax"], "did you mean 'softmax'?"),
    (["compare", *TINY, "-e", "lse", "--learning-rates", "1e-3,x"], "'x' is not a number"),
    (["compare", *TINY, "-e", "lse", "--learning-rates", "-1"], "greater than 0"),
    (["compare", *TINY, "--registry", "bad.yaml", "-e", "lse,first"], "bad.yaml:6:27"),
    (["report", "nothing"], "none is in runs"),
    (["export", "nothing", "-o", "out"], "none is in runs"),
    (["serach"], "serach"),
]


@pytest.mark.parametrize(
    ("arguments", "text"), BAD_INPUT, ids=lambda v: v if isinstance(v, str) else " ".join(v)[-50:]
)
def test_bad_input_ends_with_2_and_a_text(arguments: list[str], text: str) -> None:
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    Path("empty.yaml").write_text("version: 1\n")
    result = run(*arguments, code=2)
    assert text in result.stderr
    assert result.stdout == ""
    assert not Path("runs").exists()


@pytest.mark.long
def test_search_report_and_export(tmp_path: Path) -> None:
    options = [*TINY, "--trials", "2", "-e", "lse,softmax", "--finalists", "1", "--seeds", "2"]
    options += ["--final-budget", "none"]
    result = run("search", *options, "--study", "s", "--format", "json")
    assert result.stderr.splitlines()[-1] == LOADING
    board = json.loads(result.stdout)
    assert board["rows"][0]["final"]
    assert "[2/2]" in result.stderr
    names: dict[str, Any] = {}
    exec(LOADING, names)  # noqa: S102 - what is printed is pasted
    assert isinstance(names["model"], Transformer)
    assert Path("runs/s/leaderboard.md").read_text().startswith("# stacked-recall: accuracy")

    assert "study 's' exists" in run("search", *options, "--study", "s", code=2).stderr
    again = run("search", *options, "--study", "s", "--resume")
    assert again.stdout.splitlines()[-1] == LOADING
    assert "\nattenergy report s\n" in again.stdout
    assert "finalists" in again.stderr
    assert "[" not in again.stderr  # nothing was left to run

    assert "## Budget of every variant" in run("report", "s", "--format", "markdown").stdout
    run("report", "s", "--format", "json", "-o", "report.json")
    assert json.loads(Path("report.json").read_text())["plan"]["study"] == "s"

    assert run("export", "s", "-o", "out").stdout == "out\n"
    assert "already holds an export" in run("export", "s", "-o", "out", code=2).stderr
    run("export", "s", "-o", "out", "--trial", "1", "--force")
    assert "no row '99'" in run("export", "s", "-o", "new", "--trial", "99", code=2).stderr
    assert not Path("new").exists()


def test_search_without_export() -> None:
    options = [*TINY, "--trials", "1", "-e", "softmax", "--finalists", "0", "--no-export"]
    assert "accuracy" in run("search", *options).stdout
    assert not Path("runs/stacked-recall/exported").exists()


def test_compare_prints_paired_differences() -> None:
    text = run("compare", *TINY, "--variants", "softmax,lse", "--seeds", "2").stdout
    assert "- softmax" in text
    assert "## Plan" in run("report", "compare-stacked-recall", "-f", "markdown").stdout


@pytest.mark.long
def test_the_console_script() -> None:
    assert shell("--version").stdout == f"attenergy {attenergy.__version__}\n"
    done = shell("energies", "show", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no energy or mixer 'nothing'")
    # That it searches, with a worker of its own, is tried in `test_end_to_end.py`.


@pytest.mark.long
def test_report_writes_a_page_beside_the_study(finished_study: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = shutil.copytree(finished_study, tmp_path / "runs" / "tiny")
    result = run("report", "tiny", "--folder", str(folder.parent), "--pictures", "drawn")
    assert result.stdout == ""
    assert f"written to {folder / 'report.html'}" in result.stderr
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (Path("drawn") / "curves.png").is_file()
