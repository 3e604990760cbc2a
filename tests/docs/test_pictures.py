"""Every picture of the documentation stands on a page, near the command that made it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.commands import Mode, run_block

DOCS = ROOT / "docs"
#: Bytes; pages of entries show many at once.
MOST, MOST_OF_ENTRIES = 150_000, 40_000
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"[^>]*>")
MADE_BY = re.compile(r"<!-- made by: (.+?) -->")
INLINE = re.compile(r"`((?:python|attenergy) [^`\n]+)`")
BLOCK = re.compile(r"```sh\n(?:.*\n)*?\s*(?:python|attenergy|make)\b|```python\n(?:.*\n)*?.*\.save")
ABOVE = "the block above"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md")]


def pictures_of(page: Path) -> list[tuple[str, Path, str]]:
    """Alternative text, file and section of every picture of a page."""
    pictures = []
    for section in re.split(r"^(?=#+ )", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        for match in PICTURE.finditer(section):
            target = match[2] or match[3]
            if "://" not in target:
                pictures.append((match[1] or "", (page.parent / target).resolve(), section))
    return pictures


def files() -> list[Path]:
    return [p for p in DOCS.rglob("*") if p.suffix in {".png", ".svg", ".gif", ".jpg", ".webp"}]


def test_no_picture_is_left_over() -> None:
    shown = {file for page in PAGES for _, file, _ in pictures_of(page)}
    settings = [ROOT / "mkdocs.yml", *DOCS.rglob("*.css"), *DOCS.rglob("*.html")]
    elsewhere = "".join(path.read_text(encoding="utf-8") for path in settings if path.is_file())
    left = [f.relative_to(ROOT).as_posix() for f in files() if f not in shown]
    assert [name for name in left if Path(name).name not in elsewhere] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_pictures_of_a_page(page: Path) -> None:
    """They exist, say what one sees, and their section has the command that made them."""
    for text, file, section in pictures_of(page):
        name = f"{file.name} on {page.relative_to(ROOT)}"
        assert file.is_file(), f"{name}: no such file"
        assert len(text) > 5, f"{name}: no alternative text"
        made = MADE_BY.findall(section)
        assert made or INLINE.search(section) or BLOCK.search(section), f"{name}: made by what?"
        for line in set(made) - {ABOVE}:
            run_block(line, Mode(check=True))
        assert ABOVE not in made or "```python" in section, name


def test_pictures_are_small() -> None:
    for file in files():
        most = MOST_OF_ENTRIES if "entries" in file.parts else MOST
        assert file.stat().st_size <= most, f"{file.name}: {file.stat().st_size:,} bytes"
