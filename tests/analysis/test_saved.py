"""Results as they were saved: all of it comes back, and nothing that a page must not hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("matplotlib")

from attenergy.analysis import Result, Table
from attenergy.analysis.drawing import Picture, colour, drawing
from attenergy.analysis.safe_svg import safe_svg
from attenergy.analysis.saved import read_result
from attenergy.registry import ArgumentError

EVIL = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 onload="alert(1)"><script>alert(2)</script><style>* {{ display: none }}</style>
<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">over</p></foreignObject>
<a xlink:href="https://example.org"><text>go</text></a>
<use xlink:href="https://example.org/x.svg#a"/><use xlink:href="#here"/>
<image href="https://example.org/x.png"/><image xlink:href="data:image/svg+xml;base64,AAAA"/>
<image xlink:href="data:image/png;base64,AAAA"/>
<path d="M0 0" style="fill: #0068b5; position: fixed; clip-path: url(#here)" onclick="x()"/>
<rect style="fill: url(https://example.org/y)" width="3"/><animate attributeName="x"/></svg>"""


@dataclass(frozen=True, eq=False)
class Example(Result):
    """A table, a line with tips, a bitmap."""

    name: ClassVar[str] = "example"
    title: ClassVar[str] = "Example"

    @property
    def sentence(self) -> str:
        return "Half of it is <true>."

    def numbers(self) -> dict[str, Any]:
        return {"share": 0.5}

    def tables(self) -> list[Table]:
        return [Table("Shares", ["head", "of", "share"], [["a", "b", "0.5"]], texts=2)]

    def pictures(self) -> list[Picture]:
        with drawing(wide=True) as (figure, axes):
            axes.scatter([0, 1], [0, 1], color=colour("series-1"), gid="points")
            axes.imshow([[0.0, 1.0]])
        tips = {"points": ["first <b>", "second"]}
        return [Picture("example-line", "Line", "A line.", figure, wide=True, tips=tips)]

    def notes(self) -> list[str]:
        return ["Of a planted case."]


def test_a_result_is_read_back(tmp_path: Path) -> None:
    assert read_result(tmp_path, "example") is None
    Example().save(tmp_path, about={"seconds": 1.5, "none": float("nan")})
    result = read_result(tmp_path, "example")
    assert result is not None
    assert (result.title, result.sentence) == ("Example", "Half of it is <true>.")
    assert result.notes == ["Of a planted case."]
    assert result.numbers == {"share": 0.5}
    assert result.about == {"seconds": 1.5, "none": None}
    assert result.tables == Example().tables()
    assert [path.name for path in result.files] == ["example-line.png", "example-line.svg"]
    (picture,) = result.pictures
    assert picture.wide


def test_a_picture_is_drawn_in_the_colours_of_a_page(tmp_path: Path) -> None:
    Example().save(tmp_path)
    result = read_result(tmp_path, "example")
    assert result is not None
    svg = result.svg(result.pictures[0], "1-")
    assert svg.startswith("<svg ")
    assert "var(--series-1)" in svg
    assert "var(--card)" in svg
    assert "#ffffff" not in svg
    assert "<title>first &lt;b&gt;</title>" in svg
    assert 'href="data:image/png;base64,' in svg
    assert 'id="1-example-line-' in svg
    assert "<style" not in svg
    assert 'aria-label="Line. A line."' in svg


def test_a_picture_of_somebody_else_only_draws() -> None:
    safe = safe_svg(EVIL, "evil.svg")
    for word in ("alert", "script", "foreignObject", "example.org", "onload", "onclick", "position",
                 "animate", "<a", "style>", "svg+xml"):  # fmt: skip
        assert word not in safe
    for word in ('href="#here"', "data:image/png;base64,AAAA", "fill: #0068b5", "url(#here)"):
        assert word in safe
    with pytest.raises(ArgumentError, match="entities"):
        safe_svg('<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "x.svg")
    with pytest.raises(ArgumentError, match="is no SVG"):
        safe_svg("<svg", "x.svg")
    with pytest.raises(ArgumentError, match="its root is"):
        safe_svg("<html/>", "x.svg")


@pytest.mark.parametrize(
    "change",
    [
        {"analysis": "other"},
        {"sentence": 3},
        {"tables": [{"title": "x"}]},
        {"pictures": [{"name": "../../secret", "title": "x", "about": "y"}]},
        {"pictures": [{"name": "x", "title": "x", "about": "y", "screen": '"><script>'}]},
    ],
)
def test_a_damaged_result_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    Example().save(tmp_path, pictures=False)
    path = tmp_path / "example.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArgumentError, match=r"example\.json"):
        read_result(tmp_path, "example")


def test_a_picture_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    Example().save(folder)
    (tmp_path / "secret.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "example-line.svg").unlink()
    (folder / "example-line.svg").symlink_to(tmp_path / "secret.svg")
    result = read_result(folder, "example")
    assert result is not None
    with pytest.raises(OSError, match="leads out of"):
        result.svg(result.pictures[0])
