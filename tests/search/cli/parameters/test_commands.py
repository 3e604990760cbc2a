"""A command without its study lists those that there are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app


def refused(command: str) -> list[str]:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr.splitlines()


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("report", "attenergy report tiny"),
        ("analyse", "attenergy analyse tiny"),
        ("replay", "attenergy replay tiny"),
        ("dashboard", "attenergy dashboard tiny"),
        ("export", "attenergy export tiny --out DIR"),
        ("continue", "attenergy continue tiny --steps N"),
    ],
)
def test_a_verb_without_a_study_lists_them(finished_study: Path, verb: str, line: str) -> None:
    first, listed, last = refused(f"{verb} --folder {finished_study.parent}")
    assert first.startswith("name a study")
    assert first.endswith("newest first:")
    assert listed.split()[::3] == ["tiny", "stacked-recall"]  # the study, and its task
    assert last == f"type: {line}"


def test_an_unknown_study_lists_them_too(finished_study: Path) -> None:
    first, listed, last = refused(f"report tinny --folder {finished_study.parent}")
    assert "did you mean 'tiny'?" in first
    assert listed.split()[::3] == ["tiny", "stacked-recall"]
    assert last == "type: attenergy report tiny"


def test_where_none_is_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = refused("report")
    assert line.startswith("name a study; none is in runs/ yet: `attenergy search --task ")


def test_what_else_is_missing_is_still_said(finished_study: Path) -> None:
    text = "\n".join(refused(f"export tiny --folder {finished_study.parent}"))
    assert "--out" in text
    assert "name a study" not in text
