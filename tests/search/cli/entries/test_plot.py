"""`energies plot`: the finding on the terminal, files in a folder, mistakes in a line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from attenergy.analysis.landscapes import landscape as surface
from attenergy.search.cli.app import app

OWN = """
version: 1
energies:
  mine:
    title: My energy
    formula: 0.5*|xi|^2 - lse(beta * X @ xi)/beta
    parameters:
      beta: {init: 3.0, constraint: positive, search: {low: 0.1, high: 10}}
    step_size: {default: 1.0, search: {low: 0.25, high: 1.9}}
    steps: {default: 1, search: {low: 1, high: 3}}
  other:
    title: Another
    formula: 0.5*|xi|^2 - sum_n(X @ xi)
    step_size: {default: 1.0, search: {low: 0.25, high: 1.9}}
    steps: {default: 1, search: {low: 1, high: 3}}
"""


@pytest.fixture
def plot(tmp_path, monkeypatch):
    """The command in an empty folder, with coarse pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surface, "RESOLUTION", 12)
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "pair.csv").write_text("1,0\n-1,0\n")
    return lambda *words: CliRunner().invoke(app, ["energies", "plot", *words])


@pytest.mark.long
def test_all_that_can_be_drawn(plot, tmp_path):
    result = plot(
        "lse", "--patterns", "pair.csv", "--sweep", "beta=0.5:2:3", "--weights", "--gif", "-o",
        "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "lse at beta 0.7071 with 2 stored patterns has one minimum" in result.stdout
    assert "1 to 2 at beta 1" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"landscape.png", "landscape.svg", "landscape.json", "landscape.md"} <= names
    assert {"landscape-basins.png", "minima-sweep.png", "weights.png", "retrieval.gif"} <= names
    assert "written to out: landscape.json" in result.stderr


def test_numbers_as_json(plot):
    result = plot("own.yaml:mine", "--patterns", "pair.csv", "-f", "json", "-o", "one.png")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)["landscape"]
    assert data["energy"] == "mine at beta 3"
    assert len(data["minima"]) == 2
    assert data["patterns"] == [pytest.approx([1, 0]), pytest.approx([-1, 0])]
    assert "one.png" in result.stderr


def test_spins_have_levels(plot, tmp_path):
    result = plot("classical_hopfield", "--patterns", "2", "--seed", "3")
    assert result.exit_code == 0, result.stderr
    assert "of 256 states are minima" in result.stdout
    assert (tmp_path / "landscapes" / "classical_hopfield" / "levels.png").is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["lsee"], "did you mean 'lse'?"),
        (["0.5*|xi|^2 - lsee(X @ xi)"], "unknown function 'lsee'"),
        (["own.yaml"], "own.yaml holds 2 energies; name one: own.yaml:mine, own.yaml:other"),
        (["own.yaml:min"], "did you mean 'mine'?"),
        (["lse", "--patterns", "none.csv"], "none.csv"),
        (["lse", "--patterns", "0"], "planted patterns must be 1 to 4096"),
        (["lse", "--patterns", "own.yaml"], "or a file .npy, .csv, .tsv, .txt or .json"),
        (["lse", "--sweep", "beta"], "is not NAME=LOW:HIGH"),
        (["lse", "--sweep", "betta=1:2"], "did you mean 'beta'?"),
        (["lse", "--sweep", "beta=1:2", "--beta", "3"], "'beta' is swept and set to 3"),
        (["lse", "--beta", "3", "--set", "beta=4"], "beta is given twice"),
        (["lse", "--beta", "-3"], "'beta' must be above 0"),
        (["lse", "--set", "beta=" + "9" * 30], "for --set: beta: this number is too large"),
        (["lse", "--seed", "9" * 20], "2147483647"),
        (["lse", "--step-size", "inf"], "must be a finite number, got inf"),
        (["lse", "-o", "a.pdf"], "one file is .png, .svg or .gif, got .pdf"),
        (["lse", "-o", "own.yaml"], "is a file"),
        (["learned", "--weights"], "has no weights over patterns"),
        (["causal_tokens"], "is a game"),
        (["classical_hopfield", "--gif"], "spins flip"),
        (["classical_hopfield", "--step-size", "1"], "they have no step size"),
    ],
)
def test_what_is_wrong_ends_in_a_line_and_code_2(plot, words, named, tmp_path):
    result = plot(*words)
    assert result.exit_code == 2, result.stdout
    assert named in " ".join(result.stderr.replace("│", "").split())
