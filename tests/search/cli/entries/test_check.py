"""`energies check` of what is in no file: a formula, a name, a function of a module."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from attenergy import testing
from attenergy.search.cli.app import app

FORMULA = "0.5*|xi|^2 - lse(beta * X @ xi)/beta"
MODULE = """
def energy(xi, X, beta=2.0):
    return 0.5 * xi @ xi - (beta * (X @ xi)).logsumexp(0) / beta

def wrong(xi, X):
    return X @ xi
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """The command, in a folder with a module, with one law for all."""
    (tmp_path / "my_energies.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    law = "2 masking equals deleting"
    monkeypatch.setattr(testing, "LAWS", {law: testing.LAWS[law]})
    yield lambda *words: CliRunner().invoke(app, ["energies", "check", *words, "-f", "json"])
    sys.modules.pop("my_energies", None)


@pytest.mark.parametrize("energy", [FORMULA, "lse", "my_energies:energy"])
def test_what_is_in_no_file_is_checked(check, energy):
    result = check(energy, "--set", "beta=3.0")
    assert result.exit_code == 0, result.stderr
    assert [row["passed"] for row in json.loads(result.stdout)] == [True]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--law", "7"], "7"),
        (["--law", "law-bounded"], "9"),
        (["--law", "7", "--law", "law-descent", "--law", "7"], "47"),
    ],
)
def test_some_laws_alone(words, numbers):
    result = CliRunner().invoke(app, ["energies", "check", "lse", *words, "-f", "json"])
    assert result.exit_code == 0, result.stderr
    assert "".join(row["law"][0] for row in json.loads(result.stdout)) == numbers
    count = {1: "1 law holds for lse", 2: "all 2 laws hold for lse"}[len(numbers)]
    assert count in result.stderr


def test_laws_that_do_not_apply_or_are_not_there():
    run = CliRunner().invoke
    result = run(app, ["energies", "check", "0.5*|xi|^4 - lse(X @ xi)", "--law", "4"])
    assert result.exit_code == 0
    assert "no law is broken by" in result.stdout
    assert "1 does not apply" in result.stdout
    result = run(app, ["energies", "check", "lse", "--law", "law-decent"])
    assert result.exit_code == 2
    assert "no law 'law-decent' (did you mean 'law-descent'?); known: 1, 2" in " ".join(
        result.stderr.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["0.5*|xi|^2 - lsee(X @ xi)"], "column 14: unknown function 'lsee'; did you mean 'lse'?"),
        (["lsee"], "did you mean 'lse'?"),
        (["my_energies:enrgy"], "has no attribute 'enrgy'"),
        (["no_module:energy"], "No module named 'no_module' (and there is no such file)"),
        (["my_energies:wrong"], "must return one number for a state"),
        ([FORMULA, "--set", "betta=3"], "did you mean 'beta'?"),
        ([FORMULA, "--set", "beta=-3"], "'beta' must be above 0, got -3"),
        (["none.yaml", "--set", "beta=3"], "--set is for a single energy"),
    ],
)
def test_what_is_wrong_ends_in_a_line_and_code_2(check, words, named):
    result = check(*words)
    assert result.exit_code == 2
    assert named in " ".join(result.stderr.split())
