from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attenergy.search.cli.app import app

pytest.importorskip("matplotlib")


def sample(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tasks", "sample", *arguments])


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_matrix_is_drawn_and_printed(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = tmp_path / f"matrix.{ending}"
    result = sample("raven-small", "--picture", str(path))
    assert result.exit_code == 0
    assert result.stdout == sample("raven-small").stdout
    assert "answer: [" in result.stdout
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("task", "file", "message"),
    [
        ("stacked-recall", "recall.png", "only Raven matrices can be drawn"),
        ("raven-small", "matrix.foo", "'foo' is not supported"),
        ("raven-small", "no/such/folder/matrix.png", "No such file or directory"),
    ],
)
def test_what_cannot_be_drawn_ends_with_2(
    tmp_path: Path, task: str, file: str, message: str
) -> None:
    result = sample(task, "--picture", str(tmp_path / file))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_numbers_are_not_called_classes() -> None:
    result = CliRunner().invoke(app, ["tasks", "show", "fuzzy-logic-small"])
    assert "1 numbers per position" in result.stdout
    assert "r2=0" in result.stdout
