"""The navigation: every page stands in it, an entry of the registry under its name alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files, InclusionLevel
from mkdocs.structure.nav import Navigation

_ENTRIES = {"energies", "mixers", "tasks"}  # folders whose pages are made from the registry


@event_priority(-1000)  # after awesome-nav
def on_nav(nav: Navigation, files: Files, **_: Any) -> Navigation:
    """Shorten the names of entries; end the build if the navigation does not reach a page."""
    placed = set()
    for page in nav.pages:
        placed.add(page.file.src_uri)
        path = PurePosixPath(page.file.src_uri)
        if str(path.parent) in _ENTRIES:
            page.title = path.stem
    pages = (f for f in files.documentation_pages() if f.inclusion is not InclusionLevel.NOT_IN_NAV)
    lost = sorted(page.src_uri for page in pages if page.src_uri not in placed)
    if lost:
        raise PluginError(f"no line of docs/.nav.yml reaches {', '.join(lost)}")
    return nav
