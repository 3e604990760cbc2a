"""Pages made from the registry are up to date, and what they promise holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.registry import load_registry
from attenergy.testing.extremes import at_the_edges
from attenergy.testing.tables import energies_page, formulas_page
from attenergy.testing.task_page import tasks_page

REGISTRY = load_registry(plugins=False)
DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_page_on_energies_is_up_to_date() -> None:
    page = (DOCS / "energies.md").read_text(encoding="utf-8")
    assert page == energies_page(REGISTRY), "run `make docs`"
    table = [line for line in page.split("## At the edges")[1].splitlines() if line[:3] == "| `"]
    assert len(table) == len(REGISTRY.energies)
    for line in table:
        for verdict in map(str.strip, line.strip("|").split("|")[1:]):
            assert verdict in {"finite", "-"} or verdict.startswith("refused: "), line


def test_the_page_on_tasks_is_up_to_date() -> None:
    assert (DOCS / "tasks.md").read_text(encoding="utf-8") == tasks_page(REGISTRY), (
        "run `make docs`"
    )


def test_the_page_on_formulas_is_up_to_date() -> None:
    assert (DOCS / "formulas.md").read_text(encoding="utf-8") == formulas_page(), "run `make docs`"


@pytest.mark.slow  # what the page on energies says already
@pytest.mark.parametrize("name", REGISTRY.energies)
def test_every_energy_is_finite_at_the_edges_or_refuses_clearly(name: str) -> None:
    for case, verdict in at_the_edges(REGISTRY.energies[name]).items():
        assert verdict in {"finite", "-"} or verdict.startswith("refused: "), case
