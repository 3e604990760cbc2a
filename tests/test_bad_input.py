"""Through the command line: every broken file and hostile formula is one line, and exit code 2."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from attenergy.energies import make_energy
from attenergy.registry import EnergySpec
from attenergy.search.cli.app import app

# A formula and where it goes wrong, counted from 1.
FORMULAS = {
    "__import__('os').system('touch hacked')": 1,
    "xi.__class__.__bases__": 3,
    "().__class__": 2,
    "9**9**9": 2,
    "9^9^9": 5,
    "(" * 10_000 + "xi": 501,
    "(" * 33 + "xi" + ")" * 33: 33,
    "-" * 200 + "xi": 1,
    "1e999*|xi|": 1,
    "|xi|^2 - lsee(X @ xi)": 10,
    "|xi|^2 - lse(Y @ xi)": 14,
    "|xi|^2 - lse(xi)": 10,
    "X @ xi": 1,
    "X + xi": 5,
    "xi @ X @ X": 6,
    "|xi|^2 +": 9,
    "|xi|^2 - lse(X @ xi": 20,
    "lambda: 0": 7,
    "exec(xi)": 1,
    "|xi|^2 if beta else 0": 8,
    "|xi|^2/0": 8,
    "|X @ xi|^xi": 10,
    "5": 1,
}

HEAD = "version: 1\nenergies:\n  a:\n    title: t\n"
GOOD = HEAD + '    formula: "|xi|^2"\n'

# Text of a file: line and column of its only problem.
FILES = {
    "": (1, 1),
    "[]": (1, 1),
    "version: 2\n": (1, 10),
    "energies: {}\n": (1, 1),
    "version: 1\nversion: 1\n": (2, 1),
    "version: 1\nenergy: {}\n": (2, 1),
    "version: 1\nenergies: [lse]\n": (2, 11),
    HEAD: (3, 3),
    GOOD + "    titel: x\n": (6, 5),
    GOOD + "    class: GraphHopfield\n": (3, 3),
    GOOD + "  a:\n    title: u\n": (6, 3),
    GOOD + "    domain: ball\n": (6, 13),
    GOOD + "    steps: {default: 0}\n": (3, 3),
    GOOD + "    steps: {default: 5, search: {low: 1, high: 4}}\n": (6, 5),
    GOOD + "    step_size: {default: fast}\n": (6, 26),
    GOOD + "    parameters: {beta: {init: -1.0, constraint: positive}}\n": (6, 18),
    GOOD + "    parameters: {beta: {init: 1.0, search: {low: 2, high: 1}}}\n": (6, 36),
    GOOD + "    parameters: {beta: {}}\n": (6, 18),
    GOOD + "    quadratic: true\n": (6, 16),
    GOOD + "    reference: !!python/object/apply:os.system ['touch hacked']\n": (6, 16),
    GOOD + "\tdomain: real\n": (6, 1),
    "version: 1\nenergies: *nobody\n": (2, 11),
    "version: 1\nenergies: {LSE: {title: t, formula: |xi|^2}}\n": (2, 37),
}


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, label: str = "") -> str:
    """The only line that `energies check` prints for a file with this text."""
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text, encoding="utf-8")
    begin = time.process_time()
    result = CliRunner().invoke(app, ["energies", "check", "bad.yaml"])
    assert time.process_time() - begin < 10
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml"], "something was executed"
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f[:24])
def test_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, formula: str) -> None:
    text = f"{HEAD}    formula: |-\n      {formula}\n"
    line = check(tmp_path, monkeypatch, text)
    place = re.match(r"bad\.yaml:6:(\d+): energies\.a\.formula: \S", line)
    assert place, line
    assert int(place[1]) == 6 + FORMULAS[formula], line


@pytest.mark.parametrize("power", ["9223372036854775808", "1" + "0" * 300, "-1" + "0" * 300])
def test_a_power_of_any_size_is_compiled(power: str) -> None:
    spec = EnergySpec(title="t", formula=f"|xi|^({power}) - lse(X @ xi)")
    assert make_energy(spec, dim=4)(torch.zeros(1, 4), torch.ones(2, 4)).shape == (1,)


@pytest.mark.parametrize("text", FILES, ids=lambda t: repr(t[-30:]))
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    line = check(tmp_path, monkeypatch, text)
    row, column = FILES[text]
    assert line.startswith(f"bad.yaml:{row}:{column}: "), line
