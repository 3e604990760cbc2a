"""What every analysis gives for free: text, Markdown, and files that are whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from attenergy.analysis import Result, Table
from attenergy.analysis.drawing import Picture, drawing


@dataclass(frozen=True, eq=False)
class Example(Result):
    """A result with one table and one picture."""

    name: ClassVar[str] = "example"
    title: ClassVar[str] = "Example"

    @property
    def sentence(self) -> str:
        return "Half of it is true."

    def numbers(self) -> dict[str, Any]:
        return {"share": 0.5, "none": float("nan"), "rows": [(1, float("inf"))], 2: "two"}

    def tables(self) -> list[Table]:
        return [Table("Shares", ["head", "share"], [["a|b", "0.5"], ["a longer one", "12.25"]])]

    def pictures(self) -> list[Picture]:
        with drawing() as (figure, axes):
            axes.plot([0, 1], [0, 1])
        return [Picture("example-line", "Line", "A line.", figure)]

    def notes(self) -> list[str]:
        return ["Of a planted case."]


def test_what_is_saved_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = Example().save(tmp_path / "made")
    names = ["example.json", "example.md", "example-line.png", "example-line.svg"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(names)
    data = json.loads(written[0].read_text())
    assert data["numbers"] == {"share": 0.5, "none": None, "rows": [[1, None]], "2": "two"}
    assert data["sentence"] == "Half of it is true."
    assert written[1].read_text().startswith("## Example\n\nHalf of it is true.\n\n**Shares**\n")
    assert written[2].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[3].read_bytes()
    again = [path.read_bytes() for path in Example().save(tmp_path / "again")]
    assert again == [path.read_bytes() for path in written]


def test_numbers_alone_need_no_pictures(tmp_path: Path) -> None:
    assert len(Example().save(tmp_path, pictures=False)) == 2


def test_a_table_is_aligned_in_text_and_escaped_in_markdown() -> None:
    (table,) = Example().tables()
    assert table.text().splitlines() == [
        "Shares",
        "head          share",
        "a|b             0.5",
        "a longer one  12.25",
    ]
    assert table.markdown().splitlines()[2:5] == [
        "| head | share |",
        "| --- | ---: |",
        "| a\\|b | 0.5 |",
    ]
    assert str(Example()).split("\n\n")[0] == "Half of it is true."
