"""Files outside docs/ as pages of the site."""

from __future__ import annotations

from pathlib import Path

import pytest
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from navigation import on_nav
from outside import ALWAYS, on_files, outside, relinked, shown, uri

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("target", "source", "path"),
    [
        ("../examples/trace.py", "docs/traces.md", "examples/trace.py"),
        ("../../registry.yaml#L3", "docs/analysis/laws.md", "registry.yaml"),
        ("../benchmarks/", "docs/bench.md", "benchmarks/README.md"),
        ("../energies/tokens", "docs/bench.md", "energies/tokens"),
        ("docs/traces.md", "README.md", ""),
        ("energies.md", "docs/tasks.md", ""),
        ("../examples/none.py", "docs/traces.md", ""),
        ("https://pyg.org", "docs/graphs.md", ""),
        ("#here", "docs/graphs.md", ""),
    ],
)
def test_what_lies_outside(target: str, source: str, path: str) -> None:
    assert outside(target, source) == path


def test_links_lead_to_the_pages() -> None:
    text = "[a](../../examples/trace.py) [b](../traces.md#x) `[c](../../examples/trace.py)`"
    assert relinked(text, "docs/analysis/laws.md") == (
        "[a](../files/examples/trace.py.md) [b](../traces.md#x) `[c](../../examples/trace.py)`"
    )
    there = relinked("[a](docs/traces.md#x) [b](LICENSE) [c](SECURITY.md)", "CONTRIBUTING.md")
    assert there == "[a](../traces.md#x) [b](LICENSE.md) [c](SECURITY.md)"


def test_a_file_is_shown_as_code_and_a_folder_as_a_list() -> None:
    code = shown("examples/trace.py")
    assert "# examples/trace.py" in code
    assert "`````python\n" + (ROOT / "examples/trace.py").read_text(encoding="utf-8") in code
    assert "- [base.py](base.py.md)" in shown("attention/mixers")


def site_config() -> MkDocsConfig:
    config = load_config(str(ROOT / "mkdocs.yml"))
    config.plugins._current_plugin = "hooks"  # set by MkDocs while it builds
    return config


def test_pages_are_made_for_what_is_linked() -> None:
    config = site_config()
    page = File.generated(config, "a.md", content="[a](../examples/trace.py)")
    uris = set(on_files(Files([page]), config).src_uris)
    assert {"a.md", "files/examples/trace.py.md", *map(uri, ALWAYS)} <= uris
    assert not any("stack" in name for name in uris if name.startswith("files/examples"))


class Navigation:
    def __init__(self, pages: list[object]) -> None:
        self.pages = pages


class Page:
    def __init__(self, file: File) -> None:
        self.file, self.title = file, "A long title"


def test_a_page_that_the_navigation_misses_ends_the_build() -> None:
    config = site_config()
    entry, other = (File.generated(config, name, content="") for name in ("energies/a.md", "b.md"))
    nav = Navigation([Page(entry), Page(other)])
    titles = [page.title for page in on_nav(nav, Files([entry, other])).pages]
    assert titles == ["a", "A long title"]
    with pytest.raises(PluginError, match=r"reaches b\.md"):
        on_nav(Navigation([Page(entry)]), Files([entry, other]))
