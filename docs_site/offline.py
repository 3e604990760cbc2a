"""Nothing of the site comes from elsewhere: it opens from a folder, without a network."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(https?:)?//[^"'> ]+"""
    r"""|<link\b(?![^>]*\brel=["']?(?:canonical|prev|next))[^>]*\bhref=["']?(https?:)?//[^"'> ]+"""
)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """End the build at a page whose script, style, picture or frame lies on another machine."""
    fetched = _FETCHED.search(output)
    if fetched:
        raise PluginError(f"{page.file.src_uri}: a browser would fetch {fetched[0]!r}")
    return output
