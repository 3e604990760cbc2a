"""The command `bench policies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app
from tests.search.bench.conftest import planted_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bench") / "planted.json"
    path.write_text(planted_table(noise=0.05).model_dump_json())
    return str(path)


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["bench", "policies", *arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_policies_are_compared_and_drawn(table: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "regret.png"
    names = "random@4,short+sampler=random"
    result = run(
        *("--table", table, "--policies", names, "--minutes", "2,3", "--repeats", "2"),
        *("--picture", str(picture), "--out", str(tmp_path / "result.json")),
    )
    assert "the reference is random at 4 minutes" in " ".join(result.stdout.split())
    assert "short+sampler=random, 3 minutes: 2 replays" in result.stderr
    assert json.loads((tmp_path / "result.json").read_text())["repeats"] == 2
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_stands_alone_and_is_the_same_again(table: str) -> None:
    words = ("--table", table, "-p", "random", "-m", "3", "-n", "2", "--format", "json")
    first, again = (run(*words).stdout for _ in range(2))
    assert first == again
    data = json.loads(first)
    assert data["reference"] == {"policy": "random", "minutes": 3.0}
    assert len(data["outcomes"][0]["regrets"]) == 2


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--policies", "rando"), "random"),
        (("--minutes", "0"), "above 0"),
        (("--policies", "random@x"), "not a number"),
        (("--minutes", "x"), "not a number"),
        (("--policies", "random+steps=1/2"), "not of 200"),
        (("--table", "nowhere.json"), "nowhere.json"),
        (("--picture", "regret.xyz", "-p", "random", "-n", "2", "-m", "1"), "xyz"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    table: str, words: tuple[str, ...], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = () if "--table" in words else ("--table", table)
    result = run(*given, *words, code=2)
    assert what in " ".join(result.output.split())
