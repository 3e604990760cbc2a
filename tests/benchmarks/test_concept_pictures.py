"""The pictures of the concepts are drawn by their script, and shown on a page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "pages"))
    import concept_pictures

    yield concept_pictures
    sys.modules.pop("concept_pictures")


def test_every_picture_has_a_function_and_a_page(script):
    drawn = {path.stem for path in script.FOLDER.glob("concept-*.png")}
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "concepts").glob("*.md"))
    assert drawn == set(script.PICTURES)
    assert all(f"pictures/{name}.png" in pages for name in drawn)


@pytest.mark.long
def test_pictures_are_small_files(script, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    script.main(["concept-attention", "concept-bound"])
    sizes = [path.stat().st_size for path in tmp_path.glob("*.png")]
    assert len(sizes) == 2
    assert max(sizes) < 150_000
