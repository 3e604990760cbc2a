"""Every link of the documentation leads somewhere, and every page can be reached."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from mkdocs.config import load_config
from mkdocs.structure.files import Files, get_files
from mkdocs.structure.nav import get_navigation
from outside import ALWAYS, uri
from page_text import link_targets, parts, without_comments
from pymdownx.slugs import slugify
from reference import documented

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
GENERATED = {"docs/reference/names.md"}  # when the site is built
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_MARK = re.compile(r"""<(?:a|span|div)\s[^>]*(?:id|name)="([^"]+)\"""")


@cache
def anchors(path: Path) -> frozenset[str]:
    """What may stand after `#` in a link to the file, on GitHub and in the site: its headings."""
    text = path.read_text(encoding="utf-8")
    prose = without_comments("".join(piece for code, piece in parts(text) if not code))
    slug = slugify(case="lower")
    names: list[str] = []
    for heading in _HEADING.findall(prose):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        names.append(slug(words, "-"))
    repeated = {f"{name}-{n}" for name in names for n in range(1, names.count(name))}
    addresses = documented(path.parent) if path.parent == DOCS / "reference" else {}
    here = {address for address, page in addresses.items() if page == path.name}
    return frozenset({*names, *repeated, *_MARK.findall(prose), *here})


def wrong(page: Path) -> list[str]:
    problems = []
    for target in link_targets(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = posixpath.normpath(posixpath.join(page.parent.relative_to(ROOT).as_posix(), path))
        file = ROOT / place if path else page
        is_notebook = path.endswith(".ipynb") and file.with_suffix(".md").exists()
        if place in GENERATED or is_notebook:
            continue
        if not file.exists():
            problems.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            problems.append(f"{target}: no such heading; there are {sorted(anchors(file))}")
    return problems


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert not wrong(page)


def test_links_in_code_and_comments_are_not_followed() -> None:
    text = (
        "`[a](b.md)` <!-- [a](c.md) -->\n```python\nx[0](d.md)\n```\n[`e`](f.md) ![g](h.png 't')\n"
    )
    assert link_targets(text) == ["f.md", "h.png"]


def test_a_broken_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "b.md").write_text("# B\n\n## A `heading`: of b\n", encoding="utf-8")
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md#a-heading-of-b) [2](b.md#other) [3](c.md) [4](#none)", encoding="utf-8"
    )
    assert [problem.partition(":")[0] for problem in wrong(page)] == ["b.md#other", "c.md", "#none"]


def site_files() -> tuple[Files, set[str]]:
    """All pages, and those that the navigation names."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    files = get_files(config)
    for page in files.documentation_pages():
        assert page.src_uri
    get_navigation(files, config)
    nav = config.plugins["awesome-nav"].on_nav(None, config=config, files=files)
    return files, {page.file.src_uri for page in nav.pages}


@pytest.mark.filterwarnings("ignore")
def test_every_page_stands_in_the_navigation() -> None:
    files, placed = site_files()
    pages = {page.src_uri for page in files.documentation_pages()}
    assert pages <= placed, f"no line of docs/.nav.yml reaches {sorted(pages - placed)}"


def test_the_navigation_names_what_is_there() -> None:
    """Of the files outside docs/, which become pages when the site is built."""
    text = (DOCS / ".nav.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"files/\S+\.md", text))
    assert named == {uri(path) for path in ALWAYS}
    assert yaml.safe_load(text)["nav"][0]["Start"][0] == {"Home": "index.md"}
