"""`python -m attenergy.testing.docs_pages docs` writes the pages into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from attenergy.registry import load_registry
from attenergy.testing.docs_pages.energies import energies_page
from attenergy.testing.docs_pages.formulas import formulas_page
from attenergy.testing.docs_pages.tasks import tasks_page


def write(folder: Path) -> None:
    """Write all pages."""
    registry = load_registry(plugins=False)
    (folder / "energies.md").write_text(energies_page(registry), encoding="utf-8")
    (folder / "tasks.md").write_text(tasks_page(registry), encoding="utf-8")
    (folder / "formulas.md").write_text(formulas_page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
