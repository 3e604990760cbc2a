"""The reference is complete, and says what is there."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import commands_page
from reference import ROOMS, documented, names_page, resolve, undocumented

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
PINNED = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_every_public_name_is_documented() -> None:
    assert not undocumented(FOLDER), "put `::: ADDRESS` into a page of docs/reference/"


def test_a_new_name_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    import attenergy.analysis as room

    monkeypatch.setattr(room, "__all__", [*room.__all__, "catalogue"])
    assert undocumented(FOLDER) == ["attenergy.analysis.catalogue"]


def test_what_is_documented_exists() -> None:
    for address in documented(FOLDER):
        resolve(address)


def test_a_name_is_documented_once() -> None:
    lines = [
        line
        for page in FOLDER.glob("*.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("::: ")
    ]
    assert len(lines) == len(set(lines))


def test_the_list_has_every_name_with_a_sentence() -> None:
    page = names_page(FOLDER)
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md#([\w.]+)\) \| (.*) \|$", page, re.MULTILINE)
    assert {address for _, _, address, _ in rows} == set(documented(FOLDER))
    assert {"`attenergy`", *ROOMS} - {"`attenergy`"} <= set(re.findall(r"^## (\S+)$", page, re.M))
    silent = [address for name, _, address, text in rows if not text and name[0].islower()]
    assert silent in ([], ["attenergy.__version__"])


def test_the_page_on_the_command_line_is_up_to_date() -> None:
    written = (FOLDER / "command_line.md").read_text(encoding="utf-8")
    if f"typer=={version('typer')}\n" in PINNED:
        assert written == commands_page(), "run `make pages`"
    options = re.compile(r"--[a-z][a-z-]+")
    assert set(options.findall(written)) == set(options.findall(commands_page()))
