"""The site fetches nothing."""

from __future__ import annotations

import pytest
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from offline import on_post_page


class Page:
    file = File("traces.md", "docs", "site", use_directory_urls=False)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/a"></script>',
        "<img alt='a' src=//a.org/b.png>",
        '<link rel="stylesheet" href="https://fonts.org/css">',
    ],
)
def test_what_would_be_fetched_ends_the_build(html: str) -> None:
    with pytest.raises(PluginError, match=r"traces\.md: a browser would fetch"):
        on_post_page(html, page=Page())


def test_links_and_own_files_are_let_be() -> None:
    html = '<a href="https://pyg.org">a</a><script src="../b.js"></script><link href="c.css">'
    assert on_post_page(html, page=Page()) == html
