"""All pages of entries, by their address in `docs/`."""

from __future__ import annotations

from collections.abc import Iterator

from attenergy.testing.docs_pages.entries.energy_page import energy_page
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.entries.gallery import gallery_page
from attenergy.testing.docs_pages.entries.mixer_page import mixer_page, mixers_page
from attenergy.testing.docs_pages.entries.task_page import task_page

_KINDS = {"energies": energy_page, "mixers": mixer_page, "tasks": task_page}


def pages(facts: Facts) -> Iterator[tuple[str, str]]:
    """Address and text of every page; all there are, so that others are left-overs."""
    for kind, page in _KINDS.items():
        for name in getattr(facts.registry, kind):
            yield f"{kind}/{name}.md", page(facts, name)
    yield "mixers.md", mixers_page(facts)
    if facts.pictures:
        yield "gallery.md", gallery_page(facts)
