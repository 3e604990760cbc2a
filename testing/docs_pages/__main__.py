"""`python -m attenergy.testing.docs_pages docs` writes the pages into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from attenergy.registry import Registry, load_registry
from attenergy.tasks import make_task, needs_data
from attenergy.testing.docs_pages.energies import energies_page
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.entries.pages import pages
from attenergy.testing.docs_pages.entries.task_page import ceilings
from attenergy.testing.docs_pages.errors import errors_page, laws_page
from attenergy.testing.docs_pages.fields import fields_page
from attenergy.testing.docs_pages.formulas import formulas_page
from attenergy.testing.docs_pages.glossary import glossary_page
from attenergy.testing.docs_pages.tasks import tasks_page
from attenergy.testing.edge_cases import at_the_edges


def write(folder: Path) -> None:
    """Write all pages, and remove those of entries that are gone."""
    registry = load_registry(plugins=False)
    edges = {name: at_the_edges(spec) for name, spec in registry.energies.items()}
    texts = {
        "energies.md": energies_page(registry, edges),
        "tasks.md": tasks_page(registry),
        "formulas.md": formulas_page(),
        "errors.md": errors_page(),
        "laws.md": laws_page(),
        "registry_fields.md": fields_page(),
        "glossary.md": glossary_page(),
        **dict(pages(Facts(folder, registry, edges, all_ceilings(registry)))),
    }
    for address, text in texts.items():
        path = folder / address
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for kind in ("energies", "mixers", "tasks"):
        for path in (folder / kind).glob("*.md"):
            if f"{kind}/{path.name}" not in texts:
                path.unlink()


def all_ceilings(registry: Registry) -> dict[str, dict[str, str]]:
    """The ceilings of every task that needs no data, by name and split."""
    return {
        name: {} if needs_data(spec) else ceilings(make_task(name, registry=registry))
        for name, spec in registry.tasks.items()
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
