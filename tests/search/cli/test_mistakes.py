"""Mistakes of a user, typed or in a file: each ends in few words and exit code 2."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import attenergy.registry
from attenergy.search.cli.app import app

SEARCH = "search --task stacked-recall --energies lse,softmax --trials 1 --steps 2 --workers 0"
COMPARE = "compare --task stacked-recall --variants softmax,lse --seeds 1 --steps 2 --workers 0"

COMMANDS = [
    *(
        f"{SEARCH} {wrong}"
        for wrong in (
            "--fix heads=0",
            "--fix heads=x",
            "--fix heads=3",
            "--fix nothing=1",
            "--fix lse.steps=-1",
            "--fix lse.beta=nan",
            "--fix variant=nope",
            "--set nope=1",
            "--set pairs=-1",
            "--seconds 1",
            "--budget 0.1s",
            "--from nope",
            "--from nope --storage sqlite:///elsewhere.db",
            "--from nope --join",
            "--sampler brute-force --join --fairness seconds --seconds 1",
            "--storage nope://x",
            "--storage sqlite:////nowhere/x.db",
            "--log nope",
            "--trial-memory 1K",
            "--baseline nope",
            "--space nope",
            "--registry none.yaml",
            "--registry .",
            "--registry bytes.yaml",
            "--study a/b",
            "--study ''",
            "--folder text.txt",
        )
    ),
    *(
        f"{COMPARE} {wrong}"
        for wrong in (
            "--fix heads=0",
            "--fix learning_rate=-1",
            "--fix lse.beta=x",
            "--fix lse.solver=nope",
            "--set vocabulary=2",
            "--learning-rates x",
            "--learning-rates -1",
            "--sweep nope",
            "--budget 0.1s",
            "--bundle smoke",
        )
    ),
    *(
        f"search {file}"
        for file in ("bytes.yaml", "empty.yaml", "wrong.yaml", "null.yaml", ".", "text.txt")
    ),
    "energies show nope",
    "energies check .",
    "energies check bytes.yaml",
    "tasks sample mqar --split nope",
    "tasks sample mqar --picture x.png",
    "tasks sample raven-small --picture x.nope",
    "tasks list --bundle nope",
    "report nope",
    "export nope -o x",
    "replay nope",
    "dashboard nope --port 999999",
    "frobnicate",
]
#: Of a storage that the user named: the study is not in it, but it was looked for.
LOCKS = {Path("elsewhere.db"), Path(".elsewhere.db.lock"), Path(".elsewhere.db.turn")}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bytes.yaml").write_bytes(b"\xff\xfe\x00")
    Path("empty.yaml").write_text("")
    Path("wrong.yaml").write_text("task: [1, 2]\ntrials: many\n")
    Path("null.yaml").write_text('task: stacked-recall\nfolder: "a\\0b"\n')
    Path("text.txt").write_text("x")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_ends_with_2_and_no_traceback_and_leaves_nothing(command: str) -> None:
    before = set(Path().rglob("*"))
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    assert result.stderr
    assert result.stdout == ""
    assert set(Path().rglob("*")) - before <= LOCKS


def test_a_run_is_named_by_a_number_of_any_length(finished_study: Path) -> None:
    number = "9" * 5000  # Python reads 4300 digits at most
    words = ["replay", str(finished_study), number]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith("no run with key '9999")


ROOMS = ("registry", "energies", "attention", "tasks", "search", "analysis")
#: Their plain errors are of the toolkit's own making, or are caught by their callers.
PLAIN = {
    "registry/yaml_document.py",
    "energies/language/nodes.py",
    "attention/integrations/huggingface/request.py",
}


@pytest.mark.parametrize("room", ROOMS)
def test_mistakes_of_a_user_are_errors_of_the_toolkit(room: str) -> None:
    """A plain ValueError would be shown as a bug: raise ArgumentError, or a kind of its own."""
    top = Path(attenergy.registry.__file__).resolve().parents[1]
    plain = []
    for path in sorted((top / room).rglob("*.py")):
        name = path.relative_to(top).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                kind = ast.unparse(node.exc.func)
                if kind in {"ValueError", "TypeError"} and name not in PLAIN:
                    plain.append(f"{name}:{node.lineno}: {kind}")
    assert plain == []
